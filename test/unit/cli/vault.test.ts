/** `arca vault status` and `arca quorum restart`: what operators see and write down, and what governance signs. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import t, { type Test } from 'tap';
import { charterDigest, charterFor } from '../../../attestation/governance/index.ts';
import { certifyIdentity } from '../../../attestation/mesh/identity.ts';
import { decodeRestart, restartDigest } from '../../../attestation/start/quorum-restart.ts';
import { type SignedStart, type StartRecord, signStart } from '../../../attestation/start/start-record.ts';
import { toHex } from '../../../common/bytes.ts';
import { NodeKey } from '../../../native/engine/index.ts';
import { openGrpcServer } from '../../../parent/grpc/server.ts';
import { GrpcError, STATUS } from '../../../parent/grpc/status.ts';
import { AdminService, RestartQuorumResponseSchema } from '../../../proto/gen/arca-admin_pb.js';
import { QuorumRestartCallSchema, VaultStatusSchema } from '../../../proto/gen/engine_pb.js';
import { CHARTER } from '../attestation/governance/fixtures.ts';
import { START } from '../start/start-values.ts';
import { arca, governanceFolder, jsonOf } from './governed-node.ts';

const DIGEST = new Uint8Array(48).fill(0xab);
const SEALED = {
  party: 2,
  keychain: 'aws-kms',
  sealed: true,
  sequence: 41n,
  digest: DIGEST,
  objects: 7n,
  bytes: 4096n,
  incarnation: 9n,
  keyPolicy: new Uint8Array(48).fill(1),
  start: {
    phase: 'waiting',
    reason: 'not yet',
    acknowledged: [1],
    needed: 2,
    refused: [{ party: 3, why: 'other-leaf' }],
  },
} satisfies MessageInitShape<typeof VaultStatusSchema>;
const PIN = `41:${toHex(DIGEST)}`;

/** A node whose vault is this. */
async function serveVault(t: Test, status: MessageInitShape<typeof VaultStatusSchema>) {
  const taken: Uint8Array[] = [];
  const at = (name: string): string => `/${AdminService.typeName}/${name}`;
  const server = openGrpcServer({
    methods: new Map([
      [
        at('GetVault'),
        { kind: 'unary', handle: async () => toBinary(VaultStatusSchema, create(VaultStatusSchema, status)) },
      ],
      [
        at('GetBackup'),
        {
          kind: 'unary',
          handle: async () => {
            throw new GrpcError(STATUS.UNIMPLEMENTED, 'no backup vault');
          },
        },
      ],
      [
        at('RestartQuorum'),
        {
          kind: 'unary',
          handle: async (body: Uint8Array) => {
            taken.push(fromBinary(QuorumRestartCallSchema, body).restart.slice());
            return toBinary(RestartQuorumResponseSchema, create(RestartQuorumResponseSchema));
          },
        },
      ],
    ]),
    onFault: (error) => t.fail(String(error)),
  });
  const { port } = await server.listen('127.0.0.1', 0);
  t.teardown(() => server.close(100));
  return { url: `http://127.0.0.1:${port}`, taken };
}

t.test('shows what is to be written down, and why the engine does not serve', async (t) => {
  const dir = governanceFolder(t);
  const { url } = await serveVault(t, SEALED);
  const { stdout, code } = await arca(dir, 'vault', 'status', '--url', url);
  t.equal(code, 0);
  t.match(stdout, new RegExp(`pin +${PIN}`));
  t.match(stdout, /keychain +aws-kms\n/);
  t.match(stdout, /start +waiting: by 1 others \(1\), 2 needed\n +not yet\n +party 3 refuses it: other-leaf/);
  const json = jsonOf(await arca(dir, 'vault', 'status', '--url', url, '--json'));
  t.match(json, { vaults: [{ party: 2, pin: PIN, sequence: 41, start: { phase: 'waiting', acknowledged: [1] } }] });
});

t.test('a vault in clear has nothing to write down', async (t) => {
  const dir = governanceFolder(t);
  const { url } = await serveVault(t, { party: 1, keychain: 'clear' });
  const { stdout } = await arca(dir, 'vault', 'status', '--url', url);
  t.match(stdout, /keychain +clear \(nothing is sealed: developer mode\)/);
  t.notMatch(stdout, /pin/);
  const held = await arca(dir, 'vault', 'status', '--url', url, '--pin', PIN);
  t.equal(held.code, 1);
  t.match(held.stdout, /THE VAULT IS IN CLEAR/);
});

t.test('holds the vault against what was written down', async (t) => {
  const dir = governanceFolder(t);
  const { url } = await serveVault(t, SEALED);
  const other = toHex(new Uint8Array(48));
  const cases = [
    [PIN, 0, /pin/],
    [`40:${other}`, 0, /pin/],
    [`42:${other}`, 1, /THE VAULT WAS PUT BACK: it is at state 41, and state 42 was written down/],
    [`41:${other}`, 1, /THE VAULT IS ANOTHER ONE/],
  ] as const;
  for (const [pin, expected, text] of cases) {
    const { code, stdout } = await arca(dir, 'vault', 'status', '--url', url, '--pin', pin);
    t.equal(code, expected, pin);
    t.match(stdout, text, pin);
  }
  for (const bad of ['41', '41:ab', ':', `x:${other}`, `41:${other.toUpperCase()}00`]) {
    t.equal((await arca(dir, 'vault', 'status', '--url', url, '--pin', bad)).code, 2, bad);
  }
});

/** A start of a party of the governance folder's network. */
async function startOf(t: Test, party: number, change: Partial<StartRecord> = {}): Promise<SignedStart> {
  const key = NodeKey.generate();
  t.teardown(() => key.dispose());
  const claim = { network: CHARTER.network, party, purpose: 'record', key: key.purposePublicKey('record') } as const;
  const certificate = await certifyIdentity(claim, (digest) => key.signDigest(digest));
  const own = { party, charterDigest: charterDigest(charterFor(CHARTER, party)) };
  return signStart(
    { ...START, ...own, ...change },
    { certificate, sign: (digest) => key.signPurpose('record', digest) },
  );
}

t.test('a restart is collected, made, shown, signed and applied', async (t) => {
  const dir = governanceFolder(t);
  const starts = await Promise.all(
    [1, 2, 3].map((party) => startOf(t, party, party < 3 ? { source: START.manifest } : {})),
  );
  const nodes = await Promise.all(
    starts.map((own, at) => {
      const remembered = starts.filter((other) => other !== own).map(({ bytes }) => bytes);
      const start = { phase: 'quorum-restart', record: own.bytes, remembered, restart: 4n };
      return serveVault(t, { party: at + 1, keychain: 'aws-kms', sealed: true, start });
    }),
  );
  const files = nodes.map((_, at) => `@party-${at + 1}.starts`);
  for (const [at, { url }] of nodes.entries()) {
    const { code, stdout } = await arca(dir, 'quorum', 'restart', 'collect', '--out', files[at] ?? '', '--url', url);
    t.equal(code, 0);
    t.match(
      stdout,
      new RegExp(`party ${at + 1}  0x[0-9a-f]{40}  start 3, state 7${at < 2 ? '  from a backup of state 7' : ''}`),
    );
  }
  const out = ['--charter', '@charter', '--out', '@restart.cbor', '--json'];
  const made = jsonOf(await arca(dir, 'quorum', 'restart', 'make', ...files, ...out));
  const encoded = Uint8Array.from(readFileSync(join(dir, 'restart.cbor')));
  t.match(made, { number: 5, network: CHARTER.network, subject: toHex(restartDigest(encoded)), remembered: [] });
  t.same(
    decodeRestart(encoded).starts.map(({ start }) => start.party),
    [1, 2, 3],
  );
  const shown = await arca(dir, 'quorum', 'restart', 'show', '@restart.cbor');
  t.match(shown.stdout, new RegExp(`subject +${String(made.subject)}`));
  const signing = ['--key', '@g1.pem', '--charter', '@charter', '--json'];
  const approved = jsonOf(await arca(dir, 'proposal', 'approve', '@restart.cbor.proposal', ...signing));
  t.match(approved, { proposal: { kind: 'quorum-restart', digest: made.subject }, status: { signatures: 1 } });
  const first = nodes[0];
  const applied = await arca(dir, 'quorum', 'restart', 'apply', '@restart.cbor', '--url', first?.url ?? '');
  t.equal(applied.code, 0);
  t.same(first?.taken.map(toHex), [toHex(encoded)]);
  t.equal((await arca(dir, 'quorum', 'restart', 'make', ...files, ...out)).code, 1, 'nothing is written over');
});

t.test('marks who starts from an older vault than others remember', async (t) => {
  const dir = governanceFolder(t);
  const [old, other] = [await startOf(t, 1), await startOf(t, 2)];
  const later = await startOf(t, 1, { incarnation: 9, manifest: { sequence: 70, digest: DIGEST } });
  for (const [name, own, remembered] of [
    ['a', old, []],
    ['b', other, [later.bytes]],
  ] as const) {
    const start = { phase: 'quorum-restart', record: own.bytes, remembered: [...remembered] };
    const { url } = await serveVault(t, { party: 1, sealed: true, start });
    await arca(dir, 'quorum', 'restart', 'collect', '--out', `@${name}`, '--url', url);
  }
  const out = ['--charter', '@charter', '--out', '@restart.cbor'];
  const { stdout } = await arca(dir, 'quorum', 'restart', 'make', '@a', '@b', ...out);
  t.match(stdout, /party 1 .* start 9, state 70 .*REMEMBERED BY OTHERS/);
});

t.test('what is no file of starts, or of another network, is refused', async (t) => {
  const dir = governanceFolder(t);
  const { url } = await serveVault(t, { party: 1, keychain: 'clear' });
  const none = await arca(dir, 'quorum', 'restart', 'collect', '--out', '@x', '--url', url);
  t.match(none.stderr, /no node here has a start/);
  for (const file of ['@charter', '@g1.pem', '@missing']) {
    const { code } = await arca(dir, 'quorum', 'restart', 'make', file, '--charter', '@charter', '--out', '@y');
    t.equal(code, 1, file);
  }
  const foreign = await startOf(t, 1, { charterDigest: new Uint8Array(48) });
  const served = await serveVault(t, { sealed: true, start: { phase: 'waiting', record: foreign.bytes } });
  await arca(dir, 'quorum', 'restart', 'collect', '--out', '@f', '--url', served.url);
  const refused = await arca(dir, 'quorum', 'restart', 'make', '@f', '--charter', '@charter', '--out', '@y');
  t.match(refused.stderr, /starts of party 1 are of another network or charter/);
});
