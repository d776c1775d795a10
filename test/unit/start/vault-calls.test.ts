/** What the link says of a vault, and what it hands on of a restart. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import type { CallHandler } from '../../../enclave/call.ts';
import type { OpenedStart } from '../../../enclave/start/open-start.ts';
import { OPEN_GATE } from '../../../enclave/start/start-gate.ts';
import { quorumRestart, vaultStatus } from '../../../enclave/start/vault-calls.ts';
import { QuorumRestartCallSchema, type VaultStatus, VaultStatusSchema } from '../../../proto/gen/engine_pb.js';
import { present } from '../../helpers/present.ts';
import { restore, startScene } from './start-scene.ts';

async function call(handler: CallHandler, body = new Uint8Array()): Promise<Uint8Array> {
  const none = (): Promise<never> => Promise.reject(new Error('not used'));
  const { signal } = new AbortController();
  return await handler({ body, evidence: new Uint8Array(), signal, report: () => {}, objects: { store: none } });
}

const ask = async (deps: Parameters<typeof vaultStatus>[0]): Promise<VaultStatus> =>
  fromBinary(VaultStatusSchema, await call(vaultStatus(deps)));

t.test('a vault in clear has a keychain and no state', async (t) => {
  const status = await ask({ party: 1, incarnation: 3, keychain: 'clear', sealed: undefined, start: undefined });
  t.match(status, { party: 1, incarnation: 3n, keychain: 'clear', sealed: false, sequence: 0n });
  t.equal(status.start, undefined);
});

t.test('a sealed one tells its newest state, what it holds, and how its start stands', async (t) => {
  const quorum = startScene(t, 4);
  await quorum.startAll();
  await quorum.run();
  const entry = { version: 1, writing: { place: '1-a', digest: new Uint8Array(48), sizeBytes: 100 } };
  await quorum.kill([2]);
  await restore(quorum, 2);
  const party = await quorum.start(2);
  const start: OpenedStart = {
    gate: OPEN_GATE,
    begin: () => {},
    report: () => party.start.report(),
    get record() {
      return party.own.current?.bytes;
    },
    remembered: () => party.memory.all().map(({ bytes }) => bytes),
    restartNumber: 0,
    restart: async () => {},
    close: async () => {},
  };
  let trouble: string | undefined = 'AWS KMS asks for fewer requests';
  const sealer = { keyring: { trouble: () => trouble } };
  const sealed = { head: party.head, keyPolicyHash: new Uint8Array(48).fill(1), sealer };
  const deps = { party: 2, incarnation: 2, keychain: 'aws-kms', sealed, start };
  t.match(await ask(deps), { sealed: true, restored: true, start: { phase: 'waiting', needed: 2, restored: [2] } });
  t.equal((await ask(deps)).keyTrouble, 'AWS KMS asks for fewer requests');
  trouble = undefined;
  await quorum.run();
  await party.head.advance(new Map([['a', entry]]));
  await party.head.advance(new Map([['b', { version: 1, writing: undefined }]]));
  const status = await ask(deps);
  t.match(status, {
    restored: false,
    keyTrouble: '',
    objects: 1n,
    bytes: 100n,
    start: { phase: 'confirmed', reason: '' },
  });
  t.equal(status.sequence, BigInt(present(party.head.point).sequence));
  t.same(Buffer.from(status.digest), Buffer.from(present(party.head.point).digest));
  t.equal(status.start?.remembered.length, 3);
});

t.test('a restart is handed on as it came, in a copy', async (t) => {
  const taken: Uint8Array[] = [];
  const handler = quorumRestart({ restart: async (encoded) => void taken.push(encoded) });
  const body = toBinary(QuorumRestartCallSchema, create(QuorumRestartCallSchema, { restart: Uint8Array.of(1, 2) }));
  t.same(await call(handler, body), new Uint8Array(0));
  body.fill(0);
  t.same(
    taken.map((one) => [...one]),
    [[1, 2]],
  );
  await t.rejects(call(handler, Uint8Array.of(0xff)), { code: 'REQUEST_INVALID' });
});
