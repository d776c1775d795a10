/**
 * No configuration file, however short or odd, makes a Core talk to an engine that is not verified: generated files
 * against engines that are not what they should be.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { charterDigest } from '../../../../attestation/governance/index.ts';
import { readDeveloperAnchor, readNodeFiles } from '../../../../attestation/node/node-files.ts';
import { systemClock } from '../../../../common/clock.ts';
import { parseConfig } from '../../../../common/config.ts';
import { isKmsError } from '../../../../common/errors.ts';
import { createLogger } from '../../../../common/log.ts';
import { NodeConfig } from '../../../../common/node-config.ts';
import { openCoreMesh } from '../../../../parent/core/mesh/core-mesh.ts';
import { makeTestParty } from '../../../helpers/mesh-pair.ts';
import { startTestAttester, testPcrs } from '../../../helpers/software-nsm.ts';
import { tempDir } from '../../../helpers/temp-dir.ts';
import { acceptCore, attestationToml, nodeConfigIn, testTrust } from '../../../helpers/test-trust.ts';
import { forgeLeaf, forgeProof, intrude, sendProof } from './adversary.ts';

const RUNS = 200;
/** Number of the engine that is as it should be. */
const RIGHT = 3;
/** Where a file of the configuration may be: where it belongs, one that is none, or a folder of another network. */
type Place = string;
const PLACES: readonly Place[] = ['governance', 'odd/empty.cbor', 'odd/garbage.cbor', 'odd/missing.cbor'];
const log = createLogger({ name: 'test', level: 'silent' });

/** Lines that nobody should be able to turn anything off with. */
const WISHES = [
  'insecure = true',
  'verify = false',
  'attestation = false',
  '[attestation]',
  'enabled = false',
  'required = false',
  'anchor = "none"',
  'measurements = []',
  '[mesh]',
  'verify_peers = false',
  'max_skew_ms = 1e12',
  'developer_mode = false',
  '[engine]',
  'plaintext = true',
] as const;

const NO_HELLO = {
  releaseSetVersion: 1,
  recordVersion: 1,
  keyPolicyHash: new Uint8Array(48),
  manifestVersion: 0,
  manifestHead: new Uint8Array(),
};

t.test('no configuration connects a Core to an engine that is not verified', async (t) => {
  const folder = tempDir(t);
  const other = tempDir(t);
  const socketPath = join(folder, 'e.sock');
  const [trust, foreign] = [await testTrust(folder, socketPath), await testTrust(other)];
  mkdirSync(join(folder, 'odd'));
  writeFileSync(join(folder, 'odd', 'empty.cbor'), '');
  writeFileSync(join(folder, 'odd', 'garbage.cbor'), Buffer.alloc(300, 0x9f));
  const { nsm } = await trust.attester({ role: 'core' });

  /** Engines that are wrong: a plain echo, TLS that knows nothing of the mesh, another release, another root. */
  const { network, party } = trust.charter;
  const { identity } = await makeTestParty(network, party);
  const digest = charterDigest(trust.charter);
  const place = { role: 'engine', instanceId: trust.instanceId, charterDigest: digest } as const;
  const impostors = await Promise.all([
    startTestAttester({ ...place, root: trust.root, pcrs: testPcrs('engine', 'unknown') }),
    startTestAttester(place),
  ]);
  const pretend = async (socket: Socket, which: number): Promise<void> => {
    const attester = impostors[which];
    if (which === RIGHT) return void (await acceptCore(socket, right));
    if (attester === undefined) return void socket.pipe(socket);
    const hello = () => ({ ...NO_HELLO, identityCertificate: identity.certificate });
    const { moduleId } = attester;
    const context = new Uint8Array(32);
    const self = {
      role: 'engine',
      party,
      network,
      context,
      incarnation: 1,
      moduleId,
      attester: attester.nsm,
      identity,
      hello,
    } as const;
    const leaf = await forgeLeaf({ self });
    const intruder = await intrude(socket, leaf, 'engine-calls', { isServer: true });
    await sendProof(intruder, await forgeProof(self, leaf, intruder));
    intruder.socket.resume();
  };
  const { endpoint: right } = await trust.engineEndpoint(t);
  let which = 0;
  const server = createServer((socket) => {
    socket.on('error', () => {});
    void pretend(socket, which).catch(() => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  t.teardown(() => server.close());

  const lines = `developer_mode = true
[engine]
socket_path = "${socketPath}"
[public_vault.storage.file]
path = "${join(folder, 'public')}"
[private_vault.storage.file]
path = "${join(folder, 'private')}"
[state]
path = "${join(folder, 'core.sqlite')}"
${attestationToml(folder)}`.split('\n');
  const files = fc.oneof(
    { weight: 4, arbitrary: fc.constant<Place>('governance') },
    { weight: 1, arbitrary: fc.constantFrom<Place[]>(...PLACES, other) },
  );

  let dialled = 0;
  /** How far a Core of this configuration comes. */
  const start = async (text: string): Promise<'connected' | 'refused'> => {
    try {
      const config = parseConfig(NodeConfig, { text, env: {}, name: 'generated' });
      const anchor = await readDeveloperAnchor(config);
      const attestation = { anchor, ...(await readNodeFiles(config, anchor)), attester: nsm };
      const mesh = await openCoreMesh({ config, attestation, clock: systemClock, log });
      dialled++;
      try {
        await mesh.dial(AbortSignal.timeout(60_000));
        return 'connected';
      } finally {
        await mesh.close();
      }
    } catch (error) {
      if (!isKmsError(error)) throw error;
      return 'refused';
    }
  };

  const withFile = (line: string, name: string, choice: Place): string => {
    if (!line.startsWith(`${name}_path`) || choice === 'governance') return line;
    if (choice === other) return line.replace(folder, other);
    return `${name}_path = "${join(folder, choice)}"`;
  };
  const wish: fc.Arbitrary<[string, number]> = fc.tuple(fc.constantFrom(...WISHES), fc.nat(lines.length));
  const generated = fc.record({
    dropped: fc.oneof(fc.constant<number[]>([]), fc.array(fc.nat(lines.length - 1), { maxLength: 6 })),
    wishes: fc.oneof(fc.constant<[string, number][]>([]), fc.array(wish, { maxLength: 2 })),
    charter: files,
    record: files,
    releases: files,
    engine: fc.nat(2),
  });
  const good = {
    dropped: [] as number[],
    wishes: [] as [string, number][],
    charter: 'governance',
    record: 'governance',
    releases: 'governance',
  };
  await fc.assert(
    fc.asyncProperty(generated, async ({ dropped, wishes, charter, record, releases, engine }) => {
      which = engine;
      const placed = (line: string): string =>
        withFile(withFile(withFile(line, 'charter', charter), 'record', record), 'releases', releases);
      const wished = (at: number): string[] => wishes.flatMap(([text, after]) => (after === at ? [text] : []));
      const left = lines.flatMap((line, at) => [...(dropped.includes(at) ? [] : [placed(line)]), ...wished(at)]);
      return (await start(left.join('\n'))) === 'refused';
    }),
    { numRuns: RUNS, examples: [0, 1, 2].map((engine) => [{ ...good, engine }]) },
  );
  which = RIGHT;
  t.equal(await start(lines.join('\n')), 'connected', 'the whole configuration and the right engine');
  t.ok(dialled >= 4, `${dialled} of the configurations were good enough to dial`);
  t.equal(foreign.charter.network === network, false, 'the other folder is of another network');
});

t.test('the shortest configurations are refused by name, not filled with defaults', async (t) => {
  const folder = tempDir(t);
  const whole = nodeConfigIn(folder, join(folder, 'e.sock'));
  t.ok(whole.attestation.charter_path, 'the whole one is read');
  for (const text of ['', 'developer_mode = true', `[engine]\nsocket_path = "${join(folder, 'e.sock')}"`]) {
    const read = () => parseConfig(NodeConfig, { text, env: {}, name: 'short' });
    t.throws(read, { code: 'CONFIG_INVALID', message: /attestation/ });
  }
});
