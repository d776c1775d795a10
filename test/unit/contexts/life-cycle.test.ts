/** Contexts and epochs over the link of whole engines: what is made, refused, destroyed, and there after a restart. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { ReachCallSchema, ReachResultSchema } from '../../../proto/gen/engine_pb.js';
import {
  BandwidthBenchmarkRequestSchema,
  BandwidthBenchmarkResponseSchema,
  DestroyMpcContextRequestSchema,
  DestroyMpcContextResponseSchema,
  DestroyMpcEpochRequestSchema,
  type MpcNodeSchema,
  NewMpcContextRequestSchema,
  NewMpcEpochRequestSchema,
} from '../../../proto/gen/kms_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { DEFAULT_CONTEXT_ID, DEFAULT_EPOCH_ID } from '../../../wire/ids.ts';
import { publicDecryption } from '../../helpers/party-requests.ts';
import { present } from '../../helpers/present.ts';
import { askPublicly, dealKey, plaintextOf } from '../../helpers/quorum-decryptions.ts';
import { type QuorumEngine, type QuorumEngines, quorumEngines, settled } from '../../helpers/quorum-engines.ts';
import { type Fields, idOf } from '../../helpers/requests.ts';

const CONTEXT = idOf(0xc0);
const EPOCH = idOf(0xe0);

const newContext = (
  quorum: QuorumEngines,
  {
    parties = quorum.parties.slice(0, 4),
    id = CONTEXT,
    change = {} as Record<number, Fields<typeof MpcNodeSchema>>,
  } = {},
): Uint8Array => {
  const mpcNodes = parties.map((partyId) => ({
    partyId,
    mpcIdentity: `party-${partyId}`,
    externalUrl: `https://party${partyId}.example:443`,
    signerAddress: present(quorum.record.parties.find(({ party }) => party === partyId)?.address),
    ...change[partyId],
  }));
  const context = {
    contextId: { requestId: id },
    mpcNodes,
    threshold: Math.max(1, (mpcNodes.length - 1) / 3),
    softwareVersion: '1.0.0',
  };
  return toBinary(NewMpcContextRequestSchema, create(NewMpcContextRequestSchema, { newContext: context }));
};
const newEpoch = (overrides: Fields<typeof NewMpcEpochRequestSchema> = {}): Uint8Array =>
  toBinary(NewMpcEpochRequestSchema, create(NewMpcEpochRequestSchema, { epochId: { requestId: EPOCH }, ...overrides }));
const destroyEpoch = (requestId: string): Uint8Array =>
  toBinary(DestroyMpcEpochRequestSchema, create(DestroyMpcEpochRequestSchema, { epochId: { requestId } }));
const destroyContext = (requestId: string): Uint8Array =>
  toBinary(DestroyMpcContextRequestSchema, create(DestroyMpcContextRequestSchema, { contextId: { requestId } }));

async function epochsOf({ describe }: QuorumEngine): Promise<string[]> {
  return ((await describe()).threshold?.epochs ?? []).map(({ epochId }) => epochId).sort();
}
async function contextsOf({ describe }: QuorumEngine): Promise<string[]> {
  return ((await describe()).threshold?.contexts ?? []).map(({ contextId }) => contextId).sort();
}

t.test('with one quorum', async (t) => {
  const quorum = quorumEngines(t, 4);
  const engines = [...(await quorum.startAll())];
  await settled(engines);
  const [one] = engines;
  const first = present(one);
  let encrypted = new Uint8Array();
  const all = (method: number, body: Uint8Array) => Promise.all(engines.map(({ link }) => link.call(method, body)));

  t.test('a new epoch is made by all together, has keys of its own, and is there after a restart', async (t) => {
    await all(ENGINE_METHOD.newEpoch, newEpoch());
    for (const engine of engines) t.same(await epochsOf(engine), [DEFAULT_EPOCH_ID, EPOCH].sort());
    const evaluation = await dealKey(t, quorum, engines, { epochId: { requestId: EPOCH } });
    const ciphertext = await evaluation.encrypt(99n, 2, 2);
    encrypted = Uint8Array.from(ciphertext);
    const ask = { epochId: { requestId: EPOCH } };
    const request = publicDecryption(idOf(2), [{ ciphertext, fheType: 2 }], ask);
    t.same((await askPublicly(engines, request)).map(plaintextOf), [99n, 99n, 99n, 99n]);
    const elsewhere = publicDecryption(idOf(2), [{ ciphertext, fheType: 2 }]);
    const [refused] = await askPublicly([first], elsewhere);
    t.match(refused, { status: 'rejected', reason: { code: 'NOT_FOUND' } }, 'keys belong to their epoch');
    for (const [index, engine] of engines.entries()) engines[index] = await quorum.restart(engine);
    const again = publicDecryption(idOf(2), [{ ciphertext, fheType: 2 }], ask);
    t.same((await askPublicly(engines, again)).map(plaintextOf), [99n, 99n, 99n, 99n]);
  });

  t.test('an epoch that cannot be made is refused at once', async (t) => {
    const { link } = present(engines[0]);
    const refused = (body: Uint8Array) => link.call(ENGINE_METHOD.newEpoch, body);
    await t.rejects(refused(newEpoch()), { code: 'REQUEST_INVALID', message: /exists already/ });
    await t.rejects(refused(newEpoch({ epochId: { requestId: 'x' } })), { code: 'REQUEST_INVALID' });
    await t.rejects(refused(Uint8Array.of(255)), { code: 'REQUEST_INVALID' });
    const elsewhere = { epochId: { requestId: idOf(5) }, contextId: { requestId: idOf(6) } };
    await t.rejects(refused(newEpoch(elsewhere)), { code: 'NOT_FOUND', facts: { contextId: idOf(6) } });
    const resharing = {
      epochId: { requestId: idOf(5) },
      previousEpoch: {},
      domain: { name: 'd', version: '1', chainId: Uint8Array.of(1), verifyingContract: `0x${'0'.repeat(40)}` },
    };
    await t.rejects(refused(newEpoch(resharing)), { code: 'UNIMPLEMENTED' });
  });

  t.test('an epoch that one party alone is asked for is not made, and leaves nothing when that ends', async (t) => {
    const { link, party } = present(engines[0]);
    const stop = new AbortController();
    const body = newEpoch({ epochId: { requestId: idOf(7) } });
    const alone = link.call(ENGINE_METHOD.newEpoch, body, { signal: stop.signal });
    const twice = link.call(ENGINE_METHOD.newEpoch, body);
    await t.rejects(twice, { code: 'ALREADY_EXISTS' });
    await t.rejects(link.call(ENGINE_METHOD.destroyEpoch, destroyEpoch(idOf(7))), { code: 'PRECONDITION_FAILED' });
    const busy = link.call(ENGINE_METHOD.destroyContext, destroyContext(DEFAULT_CONTEXT_ID));
    await t.rejects(busy, { code: 'PRECONDITION_FAILED' });
    stop.abort();
    await t.rejects(alone, { code: 'CANCELLED' });
    t.notOk((await epochsOf(present(engines[0]))).includes(idOf(7)));
    t.notOk(await present(quorum.storages.get(party)).has(['EpochData', idOf(7)]));
  });

  t.test('a context of the same parties is approved, kept and used; another numbering is refused', async (t) => {
    const { link } = present(engines[0]);
    const address = new Uint8Array(20).fill(1);
    const change = { 2: { signerAddress: address }, 4: { signerAddress: undefined } };
    const strange = link.call(ENGINE_METHOD.newContext, newContext(quorum, { change }));
    await t.rejects(strange, { code: 'REQUEST_INVALID', message: /party 2 is 0x.*not 0x0101.*party 4 has neither/ });
    await all(ENGINE_METHOD.newContext, newContext(quorum));
    for (const engine of engines) t.same(await contextsOf(engine), [DEFAULT_CONTEXT_ID, CONTEXT].sort());
    const again = link.call(ENGINE_METHOD.newContext, newContext(quorum));
    await t.rejects(again, { code: 'ALREADY_EXISTS', facts: { contextId: CONTEXT } });
    const where = { contextId: { requestId: CONTEXT }, epochId: { requestId: idOf(0xe1) } };
    await all(ENGINE_METHOD.newEpoch, newEpoch(where));
    const evaluation = await dealKey(t, quorum, engines, { ...where, requestId: { requestId: idOf(3) } });
    const ciphertext = await evaluation.encrypt(5n, 2, 2);
    const request = publicDecryption(idOf(3), [{ ciphertext, fheType: 2 }], where);
    t.same((await askPublicly(engines, request)).map(plaintextOf), [5n, 5n, 5n, 5n]);
    const wrong = publicDecryption(idOf(3), [{ ciphertext, fheType: 2 }], { epochId: where.epochId });
    t.match((await askPublicly(engines, wrong))[0], { reason: { code: 'NOT_FOUND' } }, 'not in the default context');
  });

  t.test('the other parties are reached, and the network is measured', async (t) => {
    const { link } = present(engines[1]);
    const call = (contextId = ''): Uint8Array => toBinary(ReachCallSchema, create(ReachCallSchema, { contextId }));
    for (const contextId of ['', CONTEXT]) {
      const { parties } = fromBinary(ReachResultSchema, await link.call(ENGINE_METHOD.reach, call(contextId)));
      t.same(
        parties.map(({ party, reachable }) => [party, reachable]),
        [
          [1, true],
          [3, true],
          [4, true],
        ],
      );
    }
    await t.rejects(link.call(ENGINE_METHOD.reach, call(idOf(6))), { code: 'NOT_FOUND' });
    const benchmark = { kind: 1, numberSessions: 2, payloadSizePerSession: 1000 };
    const measure = (fields: Fields<typeof BandwidthBenchmarkRequestSchema>): Promise<Uint8Array> =>
      link.call(
        ENGINE_METHOD.bandwidth,
        toBinary(BandwidthBenchmarkRequestSchema, create(BandwidthBenchmarkRequestSchema, fields)),
      );
    const { peersInfo } = fromBinary(BandwidthBenchmarkResponseSchema, await measure(benchmark));
    t.same(
      peersInfo.map(({ peerId, bytesSent }) => [peerId, bytesSent]),
      [
        [1, 2000n],
        [3, 2000n],
        [4, 2000n],
      ],
    );
    await t.rejects(measure({ ...benchmark, numberSessions: 257 }), { code: 'REQUEST_INVALID' });
    await t.rejects(measure({ ...benchmark, kind: 7 as 1 }), { code: 'REQUEST_INVALID' });
  });

  t.test('destroying an epoch erases its masks and shares; the last one stays', async (t) => {
    const { link, party } = present(engines[0]);
    const storage = present(quorum.storages.get(party));
    t.ok(await storage.has(['FheKeyInfo', EPOCH, idOf(2)]), 'there before');
    const items = [{ ciphertext: encrypted, fheType: 2 }];
    const waiting = askPublicly(
      [present(engines[0])],
      publicDecryption(idOf(2), items, { epochId: { requestId: EPOCH } }),
    );
    await link.call(ENGINE_METHOD.destroyEpoch, destroyEpoch(EPOCH));
    const destroyed = { code: 'NOT_FOUND', message: 'the epoch was destroyed' };
    t.match(await waiting, [{ status: 'rejected', reason: destroyed }], 'a decryption that waited');
    t.same(await storage.list(['FheKeyInfo', EPOCH]), []);
    t.notOk(await storage.has(['EpochData', EPOCH]));
    await t.rejects(link.call(ENGINE_METHOD.destroyEpoch, destroyEpoch(EPOCH)), { code: 'NOT_FOUND' });
    await t.rejects(link.call(ENGINE_METHOD.destroyEpoch, destroyEpoch('')), { code: 'REQUEST_INVALID' });
    t.notOk((await epochsOf(present(engines[0]))).includes(EPOCH));
    await link.call(ENGINE_METHOD.destroyEpoch, destroyEpoch(idOf(0xe1)));
    const last = link.call(ENGINE_METHOD.destroyEpoch, destroyEpoch(DEFAULT_EPOCH_ID));
    await t.rejects(last, { code: 'PRECONDITION_FAILED', message: /last epoch/ });
  });

  t.test('destroying a context destroys its epochs; the last one stays, and so it is after a restart', async (t) => {
    const engine = present(engines[1]);
    const { link } = engine;
    const gone = await link.call(ENGINE_METHOD.destroyContext, destroyContext(CONTEXT));
    const { epochIds } = fromBinary(DestroyMpcContextResponseSchema, gone);
    t.same(
      epochIds.map(({ requestId }) => requestId),
      [idOf(0xe1)],
    );
    await t.rejects(link.call(ENGINE_METHOD.destroyContext, destroyContext(CONTEXT)), { code: 'NOT_FOUND' });
    const last = link.call(ENGINE_METHOD.destroyContext, destroyContext(DEFAULT_CONTEXT_ID));
    await t.rejects(last, { code: 'PRECONDITION_FAILED', message: /last context/ });
    const again = await quorum.restart(engine);
    engines[1] = again;
    t.same(await contextsOf(again), [DEFAULT_CONTEXT_ID]);
    t.same(await epochsOf(again), [DEFAULT_EPOCH_ID, EPOCH].sort());
  });

  t.test('the default context, once destroyed, does not come back with a restart', async (t) => {
    const engine = present(engines[2]);
    await engine.link.call(ENGINE_METHOD.destroyContext, destroyContext(DEFAULT_CONTEXT_ID));
    t.same(await contextsOf(engine), [CONTEXT]);
    t.equal((await engine.describe()).threshold?.settled, true);
    const again = await quorum.restart(engine);
    engines[2] = again;
    t.same(await contextsOf(again), [CONTEXT]);
    t.same(await epochsOf(again), [idOf(0xe1)]);
    t.equal((await again.describe()).threshold?.settled, true);
  });
});

t.test('a context that leaves a party out is known there as one of others', async (t) => {
  const quorum = quorumEngines(t, 7);
  const engines = await quorum.startAll();
  await settled(engines);
  const seventh = present(engines[6]);
  await seventh.link.call(ENGINE_METHOD.newContext, newContext(quorum));
  const [, other] = (await seventh.describe()).threshold?.contexts ?? [];
  t.match(other, { contextId: CONTEXT, threshold: 1, party: 0 });
  const asked = seventh.link.call(ENGINE_METHOD.newEpoch, newEpoch({ contextId: { requestId: CONTEXT } }));
  await t.rejects(asked, { code: 'PRECONDITION_FAILED', message: /no party of the context/ });
  const three = newContext(quorum, { id: idOf(9), parties: [1, 2, 3] });
  await t.rejects(seventh.link.call(ENGINE_METHOD.newContext, three), { code: 'REQUEST_INVALID' });
});

t.test('a node that has destroyed the default context and has no epoch left waits for none', async (t) => {
  const quorum = quorumEngines(t, 4);
  const engines = await quorum.startAll();
  await settled(engines);
  const first = present(engines[0]);
  await first.link.call(ENGINE_METHOD.newContext, newContext(quorum));
  await first.link.call(ENGINE_METHOD.destroyContext, destroyContext(DEFAULT_CONTEXT_ID));
  const again = await quorum.restart(first);
  t.match((await again.describe()).threshold, { settled: true, epochs: [], contexts: [{ contextId: CONTEXT }] });
  const back = newContext(quorum, { id: DEFAULT_CONTEXT_ID });
  await again.link.call(ENGINE_METHOD.newContext, back);
  t.same(await contextsOf(again), [DEFAULT_CONTEXT_ID, CONTEXT].sort(), 'it can be made again');
});

t.test('a context needs the approval of governance where no key on the node gives it', async (t) => {
  const quorum = quorumEngines(t, 4);
  const engines = await quorum.startAll();
  await settled(engines);
  const second = await quorum.restart(present(engines[1]), { withoutGovernanceKey: true });
  const body = newContext(quorum);
  await t.rejects(second.link.call(ENGINE_METHOD.newContext, body), { code: 'APPROVAL_MISSING' });
  t.same(await contextsOf(second), [DEFAULT_CONTEXT_ID]);
});

t.test('an epoch during whose making a party dies is held by all in the end, or by nobody', async (t) => {
  const quorum = quorumEngines(t, 4);
  const patience = { quorum: { roundTimeoutMs: 1_000 } };
  const engines = [...(await quorum.startAll(patience))];
  await settled(engines);
  for (const [index, delayMs] of [0, 5, 10, 20, 40, 80].entries()) {
    const epochId = { requestId: idOf(0x100 + index) };
    const stop = new AbortController();
    const ask = (asked: readonly QuorumEngine[]) =>
      Promise.allSettled(
        asked.map(({ link }) => link.call(ENGINE_METHOD.newEpoch, newEpoch({ epochId }), { signal: stop.signal })),
      );
    const held = async (): Promise<boolean[]> =>
      await Promise.all(engines.map(async (engine) => (await epochsOf(engine)).includes(epochId.requestId)));
    const first = ask(engines);
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    await present(engines[3]).stop();
    engines[3] = await quorum.start(4, patience);
    // They wait for each other until they are told to stop, or the outcome is clear.
    const again = ask(engines.slice(3));
    if ((await Promise.race([first, again])) && (await held()).includes(false)) stop.abort();
    await Promise.all([first, again]);
    const holders = await held();
    t.equal(new Set(holders).size, 1, `killed after ${delayMs} ms: ${holders.join(', ')}`);
  }
});
