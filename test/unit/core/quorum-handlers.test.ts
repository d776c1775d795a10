/** What the Core of a threshold node does beside answering a status: who waits, what is asked again, who is told what. */
import { setImmediate as turn } from 'node:timers/promises';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { KmsError } from '../../../common/errors.ts';
import { healthOf } from '../../../parent/core/rpc/quorum-status.ts';
import { RequestStore } from '../../../parent/core/store/request-store.ts';
import {
  DestroyMpcContextRequestSchema,
  DestroyMpcContextResponseSchema,
  EpochResultResponseSchema,
  HealthStatus,
  HealthStatusResponseSchema,
  KeyMaterialAvailabilityResponseSchema,
  NodeType,
} from '../../../proto/gen/kms_pb.js';
import {
  GetMetaStoreInfoResponseSchema,
  GetRequestStatusesRequestSchema,
  GetRequestStatusesResponseSchema,
  MetaStoreType,
} from '../../../proto/gen/metastore-status_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { DEFAULT_CONTEXT_ID, DEFAULT_EPOCH_ID } from '../../../wire/ids.ts';
import { QuorumEngine } from './quorum-engine.ts';
import {
  idBody,
  idOf,
  KEY_ID,
  keyGeneration,
  newContext,
  newEpoch,
  preprocessing,
  publicDecryption,
  userDecryption,
} from './requests.ts';
import { startTestCore, storeFile, type TestCore, type TestCoreOptions } from './test-core.ts';

const A = idOf('a');
const B = idOf('b');
const META = '/metastore_status.v1.MetaStoreStatusService';
const EMPTY = new Uint8Array(0);
const QUORUM_MISSING = new KmsError('UNAVAILABLE', 'not done yet: asked at 1 of 3 parties', { waiting: 'quorum' });

async function start(
  t: Parameters<typeof startTestCore>[0],
  options: TestCoreOptions & { engine?: QuorumEngine } = {},
): Promise<TestCore & { readonly engine: QuorumEngine }> {
  const engine = options.engine ?? new QuorumEngine();
  const core = await startTestCore(t, { file: ':memory:', threshold: true, ...options, engine });
  return { ...core, engine };
}

const callsOf = ({ engine }: TestCore, method: number): number =>
  engine.calls.filter((call) => call.method === method).length;

t.test('an accepted decryption is asked for again until a quorum has been asked, however often', async (t) => {
  const core = await start(t, { waits: { quorumMs: 1, resultMs: 20 } });
  let missing = 10;
  core.engine.answers.set(ENGINE_METHOD.publicDecrypt, () => {
    if (missing-- > 0) throw QUORUM_MISSING;
    return Uint8Array.of(0x22, 2, 1, 2);
  });
  await core.raw('PublicDecrypt', publicDecryption(A));
  while (core.store.find('public_decrypt', A)?.state === 'running') await turn();
  t.equal(await core.status('GetPublicDecryptionResult', idBody(A)), 'OK');
  t.equal(callsOf(core, ENGINE_METHOD.publicDecrypt), 11, 'more often than an engine may be stopped by a request');
  t.ok(
    core.engine.calls.every(({ body }) => Buffer.from(body).equals(publicDecryption(A))),
    'the same bytes each time',
  );
  t.equal(core.limiterUsed(), 0, 'its tokens are back');
});

t.test('an accepted decryption outlasts an engine that has too many, without being counted as its fault', async (t) => {
  const core = await start(t, { waits: { quorumMs: 1 } });
  let full = 10;
  core.engine.answers.set(ENGINE_METHOD.publicDecrypt, () => {
    if (full-- > 0) throw new KmsError('RESOURCE_EXHAUSTED', 'too many requests wait for other parties');
    return Uint8Array.of(0x22, 2, 1, 2);
  });
  await core.raw('PublicDecrypt', publicDecryption(A));
  t.equal(await core.status('GetPublicDecryptionResult', idBody(A)), 'OK');
  full = 1;
  t.equal(
    await core.status('PublicDecryptSync', publicDecryption(B)),
    'RESOURCE_EXHAUSTED',
    'nobody was promised this',
  );
});

t.test('what a protocol gave up is told in its own words, and as no abort of the client', async (t) => {
  const core = await start(t);
  const failure = new KmsError('ABORTED', 'inconsistent epoch: the opened value is outside its bounds');
  core.engine.answers.set(ENGINE_METHOD.publicDecrypt, () => Promise.reject(failure));
  await t.rejects(core.raw('PublicDecryptSync', publicDecryption(A)), {
    name: 'GrpcError',
    status: 13,
    explanation: failure.message,
  });
  core.engine.answers.set(ENGINE_METHOD.publicDecrypt, () =>
    Promise.reject(new KmsError('ABORTED', 'the set-up aborted')),
  );
  t.equal(await core.status('PublicDecryptSync', publicDecryption(B)), 'ABORTED', 'the published word for such a text');
});

t.test('an id that the engine knows for another request is refused, though the store has forgotten it', async (t) => {
  const core = await start(t);
  core.engine.answers.set(ENGINE_METHOD.publicDecrypt, () =>
    Promise.reject(new KmsError('ALREADY_EXISTS', 'another request with this id was asked for before')),
  );
  t.equal(await core.status('PublicDecryptSync', publicDecryption(A)), 'ALREADY_EXISTS');
  t.equal(core.store.find('public_decrypt', A), undefined);
});

t.test('requests that one party alone is asked for give way to those of all parties', async (t) => {
  const core = await start(t, { waits: { quorumMs: 1, turnMs: 10 } });
  const flood = new Set<string>();
  let given = 0;
  core.engine.answers.set(ENGINE_METHOD.publicDecrypt, (body, { signal }) => {
    if (!flood.has(Buffer.from(body).toString('hex'))) return Uint8Array.of(0x22, 1, 9);
    return new Promise((_resolve, reject) => {
      signal?.addEventListener('abort', () => {
        given++;
        reject(new KmsError('CANCELLED', 'the caller gave up'));
      });
    });
  });
  const small = { ciphertexts: [{ ciphertext: new Uint8Array(1), fheType: 5 }] };
  const bodies = Array.from({ length: 3100 }, (_, at) => publicDecryption(idOf(`flood ${at}`), small));
  for (const body of bodies) flood.add(Buffer.from(body).toString('hex'));
  await Promise.all(bodies.map((body) => core.raw('PublicDecrypt', body)));
  t.equal(await core.status('PublicDecryptSync', publicDecryption(A)), 'OK', 'within its minute');
  t.ok(given > 0, 'others gave way');
  t.equal(core.store.count('public_decrypt').running, bodies.length, 'and none of them is lost');
  await core.stop();
});

t.test('while a quorum is missing the engine is not asked more often than the pace', async (t) => {
  const core = await start(t, { waits: { quorumMs: 60_000, resultMs: 20 } });
  core.engine.answers.set(ENGINE_METHOD.userDecrypt, () => Promise.reject(QUORUM_MISSING));
  await core.raw('UserDecrypt', userDecryption(A));
  t.equal(await core.status('GetUserDecryptionResult', idBody(A)), 'UNAVAILABLE');
  t.equal(callsOf(core, ENGINE_METHOD.userDecrypt), 1);
  await core.stop();
  t.equal(core.logs.filter((line) => line.includes('"level":"error"')).length, 0, 'a stop in between is no fault');
});

t.test('an engine that stops three times by a request still ends it, whatever the quorum said between', async (t) => {
  const core = await start(t, { waits: { quorumMs: 1 } });
  const stopped = new KmsError('UNAVAILABLE', 'the engine went away', { reason: 'engine stopped' });
  let calls = 0;
  core.engine.answers.set(ENGINE_METHOD.publicDecrypt, () => {
    throw calls++ % 2 === 0 ? QUORUM_MISSING : stopped;
  });
  await core.raw('PublicDecrypt', publicDecryption(A));
  t.equal(await core.status('GetPublicDecryptionResult', idBody(A)), 'INTERNAL');
  t.equal(calls, 6);
});

t.test('a call that waits stores nothing when too few parties are asked, and the next one starts afresh', async (t) => {
  const core = await start(t);
  core.engine.answers.set(ENGINE_METHOD.publicDecrypt, () => Promise.reject(QUORUM_MISSING));
  t.equal(await core.status('PublicDecryptSync', publicDecryption(A)), 'UNAVAILABLE');
  t.equal(core.store.find('public_decrypt', A), undefined);
  core.engine.answers.set(ENGINE_METHOD.publicDecrypt, () => Uint8Array.of(0x22, 2, 1, 2));
  t.equal(await core.status('PublicDecryptSync', publicDecryption(A)), 'OK');
});

t.test('the reason of a decryption that found no quorum is shown to operators', async (t) => {
  const core = await start(t);
  const failure = new KmsError('TASK_FAILED', 'asked at 1 of 2t + 1 = 3 parties');
  core.engine.answers.set(ENGINE_METHOD.publicDecrypt, () => Promise.reject(failure));
  await core.raw('PublicDecrypt', publicDecryption(A));
  t.equal(await core.status('GetPublicDecryptionResult', idBody(A)), 'INTERNAL');
  const request = toBinary(
    GetRequestStatusesRequestSchema,
    create(GetRequestStatusesRequestSchema, { requestIds: [A] }),
  );
  const answer = await core.raw(`${META}/GetRequestStatuses`, request);
  t.match(fromBinary(GetRequestStatusesResponseSchema, answer).statuses, [{ errorMessage: failure.message }]);
});

t.test('a restart loses no accepted decryption, and those that wait for a quorum keep no other waiting', async (t) => {
  const file = storeFile(t);
  const first = await start(t, { file });
  const held = Promise.withResolvers<Uint8Array>();
  first.engine.answers.set(ENGINE_METHOD.publicDecrypt, () => held.promise);
  const ids = Array.from({ length: 200 }, (_, at) => idOf(`waiting ${at}`));
  for (const id of ids) await first.raw('PublicDecrypt', publicDecryption(id));
  first.engine.answers.set(ENGINE_METHOD.userDecrypt, () => held.promise);
  await first.raw('UserDecrypt', userDecryption(B));
  await first.stop();

  const engine = new QuorumEngine();
  const asked = new Set<string>();
  engine.answers.set(ENGINE_METHOD.publicDecrypt, (body) => {
    asked.add(Buffer.from(body).toString('hex'));
    return held.promise;
  });
  const second = await start(t, { file, engine });
  t.equal(await second.status('GetUserDecryptionResult', idBody(B)), 'OK', 'behind two hundred that wait');
  t.equal(asked.size, ids.length);
  held.resolve(Uint8Array.of(0x22, 1, 7));
  for (const id of ids) t.equal(await second.status('GetPublicDecryptionResult', idBody(id)), 'OK', id);
});

t.test('an accepted decryption whose body is lost has failed after a restart', async (t) => {
  const file = storeFile(t);
  const store = new RequestStore({ file, decCapacity: 10, minDecCache: 5 });
  const place = { contextId: DEFAULT_CONTEXT_ID, epochId: DEFAULT_EPOCH_ID };
  await store.acknowledge(store.begin({ kind: 'public_decrypt', id: A, digest: '', ...place }));
  store.close();
  const core = await start(t, { file });
  t.equal(await core.status('GetPublicDecryptionResult', idBody(A)), 'INTERNAL');
  t.equal(callsOf(core, ENGINE_METHOD.publicDecrypt), 0);
});

t.test('an epoch is acknowledged before it is made, and its result is two empty lists', async (t) => {
  const core = await start(t, { limits: { new_epoch: 25 } });
  const made = Promise.withResolvers<Uint8Array>();
  const real = core.engine.answers.get(ENGINE_METHOD.newEpoch);
  core.engine.answers.set(ENGINE_METHOD.newEpoch, async (body, options) => {
    await made.promise;
    return (await real?.(body, options)) ?? EMPTY;
  });
  await core.raw('NewMpcEpoch', newEpoch(A));
  t.equal(await core.status('GetEpochResult', idBody(A)), 'UNAVAILABLE');
  t.equal(core.limiterUsed(), 25, 'its tokens are held while it is made');
  made.resolve(EMPTY);
  while (core.store.find('epoch', A)?.state === 'running') await turn();
  t.match(fromBinary(EpochResultResponseSchema, await core.raw('GetEpochResult', idBody(A))), {
    reshareResponses: [],
    crsResponses: [],
  });
  t.equal(core.limiterUsed(), 0);
  t.equal(callsOf(core, ENGINE_METHOD.newEpoch), 1);
  const { body } = core.engine.calls.find(({ method }) => method === ENGINE_METHOD.newEpoch) ?? {};
  t.ok(Buffer.from(body ?? EMPTY).equals(newEpoch(A)), 'as the client sent it');
});

t.test('an engine that goes away while it makes an epoch says afterwards what became of it', async (t) => {
  for (const [stored, status] of [
    [true, 'OK'],
    [false, 'INTERNAL'],
  ] as const) {
    const core = await start(t);
    core.engine.answers.set(ENGINE_METHOD.newEpoch, () => {
      core.engine.become('disconnected');
      if (stored) core.engine.epochs.set(A, DEFAULT_CONTEXT_ID);
      throw new KmsError('UNAVAILABLE', 'the engine went away during the call', { reason: 'engine stopped' });
    });
    await core.raw('NewMpcEpoch', newEpoch(A));
    t.equal(await core.status('GetEpochResult', idBody(A)), 'UNAVAILABLE', 'not known yet');
    core.engine.describeAgain();
    core.engine.become('connected');
    while (core.store.find('epoch', A)?.state === 'running') await turn();
    t.equal(await core.status('GetEpochResult', idBody(A)), status, `${stored ? 'stored' : 'lost'}`);
    await core.stop();
  }
});

t.test('after a restart an epoch that was being made is what the engine says', async (t) => {
  const file = storeFile(t);
  const first = await start(t, { file });
  first.engine.answers.set(ENGINE_METHOD.newEpoch, () => new Promise(() => undefined));
  await first.raw('NewMpcEpoch', newEpoch(A));
  await first.raw('NewMpcEpoch', newEpoch(B));
  await first.stop();
  const engine = new QuorumEngine();
  engine.epochs.set(A, DEFAULT_CONTEXT_ID);
  engine.describeAgain();
  const second = await start(t, { file, engine });
  t.equal(await second.status('GetEpochResult', idBody(A)), 'OK', 'the engine had stored it');
  t.equal(await second.status('GetEpochResult', idBody(B)), 'INTERNAL', 'it had not');
  t.equal(callsOf(second, ENGINE_METHOD.newEpoch), 0, 'a ceremony is not begun by one party alone');
  t.equal(await second.status('NewMpcEpoch', newEpoch(B)), 'OK', 'but may be asked for again');
});

t.test('a context goes with its epochs, whose ids it tells', async (t) => {
  const core = await start(t);
  await core.raw('NewMpcContext', newContext(A));
  await core.raw('NewMpcEpoch', newEpoch(B, { contextId: { requestId: A } }));
  while (core.store.find('epoch', B)?.state === 'running') await turn();
  const call = { contextId: { requestId: A }, epochId: { requestId: B } };
  t.equal(await core.status('PublicDecryptSync', publicDecryption(idOf('1'), call)), 'NOT_FOUND', 'no key there');
  const body = toBinary(
    DestroyMpcContextRequestSchema,
    create(DestroyMpcContextRequestSchema, { contextId: { requestId: A } }),
  );
  const answer = fromBinary(DestroyMpcContextResponseSchema, await core.raw('DestroyMpcContext', body));
  t.match(answer.epochIds, [{ requestId: B }]);
  t.equal(await core.status('GetEpochResult', idBody(B)), 'NOT_FOUND');
});

t.test('health names every party of every context, by the published bounds', async (t) => {
  const engine = new QuorumEngine(7);
  const core = await start(t, { engine });
  await core.raw('NewMpcContext', newContext(A));
  engine.silent.add(3).add(6);
  const response = fromBinary(HealthStatusResponseSchema, await core.raw('GetHealthStatus', EMPTY));
  t.equal(response.nodeType, NodeType.THRESHOLD);
  t.strictSame(response.myFheKeyIds, [KEY_ID]);
  t.equal(response.peersFromAllContexts.length, 2);
  const [context] = response.peersFromAllContexts;
  t.match(context, {
    contextId: { requestId: DEFAULT_CONTEXT_ID },
    myPartyId: 1,
    thresholdRequired: 3,
    nodesReachable: 5,
    status: HealthStatus.HEALTHY,
  });
  t.strictSame(
    context?.peers.map(({ peerId, reachable, error }) => [peerId, reachable, error]),
    [2, 3, 4, 5, 6, 7].map((party) => {
      const silent = engine.silent.has(party);
      return [party, !silent, silent ? 'no answer within 2 s' : ''];
    }),
  );
  t.match(context?.peers[0], { endpoint: '127.0.0.1:50101', latencyMs: 3 });
});

t.test('parties are not probed once for each of many who ask', async (t) => {
  const core = await start(t);
  await Promise.all(Array.from({ length: 50 }, () => core.raw('GetHealthStatus', EMPTY)));
  t.ok(callsOf(core, ENGINE_METHOD.reach) <= 2, `${callsOf(core, ENGINE_METHOD.reach)} probes`);
});

t.test('health tells what it can while the engine is away, or cannot ask', async (t) => {
  const core = await start(t);
  core.engine.answers.set(ENGINE_METHOD.reach, () => Promise.reject(new KmsError('INTERNAL', 'internal error')));
  const asked = fromBinary(HealthStatusResponseSchema, await core.raw('GetHealthStatus', EMPTY));
  t.match(asked.peersFromAllContexts, [{ nodesReachable: 1, status: HealthStatus.UNHEALTHY }]);
  const other = await start(t);
  other.engine.become('disconnected');
  const away = fromBinary(HealthStatusResponseSchema, await other.raw('GetHealthStatus', EMPTY));
  t.match(away.peersFromAllContexts, [{ nodesReachable: 0, status: HealthStatus.UNHEALTHY }]);
  t.match(away.peersFromAllContexts[0]?.peers, [
    { peerId: 2, reachable: false, error: 'the engine is down' },
    { peerId: 3, reachable: false },
    { peerId: 4, reachable: false },
  ]);
});

t.test('a context that this node is no part of is not probed', async (t) => {
  const core = await start(t);
  core.engine.contexts.set(A, { contextId: A, threshold: 1, party: 0, nodes: [] });
  core.engine.describeAgain();
  const response = fromBinary(HealthStatusResponseSchema, await core.raw('GetHealthStatus', EMPTY));
  t.strictSame(
    response.peersFromAllContexts.map(({ contextId }) => contextId?.requestId),
    [DEFAULT_CONTEXT_ID],
  );
});

t.test('the words for health are those of the published bounds for all sizes', async (t) => {
  const { OPTIMAL, HEALTHY, DEGRADED, UNHEALTHY } = HealthStatus;
  const words: [number, (HealthStatus | undefined)[]][] = [
    [4, [UNHEALTHY, UNHEALTHY, UNHEALTHY, HEALTHY, OPTIMAL]],
    [7, [UNHEALTHY, UNHEALTHY, UNHEALTHY, UNHEALTHY, DEGRADED, HEALTHY, HEALTHY, OPTIMAL]],
    [10, [...Array(5).fill(UNHEALTHY), DEGRADED, DEGRADED, HEALTHY, HEALTHY, HEALTHY, OPTIMAL]],
    [13, [...Array(6).fill(UNHEALTHY), DEGRADED, DEGRADED, DEGRADED, HEALTHY, HEALTHY, HEALTHY, HEALTHY, OPTIMAL]],
  ];
  for (const [n, expected] of words) {
    t.strictSame(
      Array.from({ length: n + 1 }, (_, reachable) => healthOf(reachable, n)),
      expected,
      `${n} parties`,
    );
  }
});

t.test('preprocessings are shown until a key generation uses them up', async (t) => {
  const core = await start(t);
  await core.raw('InsecureKeyGenPreproc', preprocessing(A));
  await core.raw('InsecureKeyGenPreproc', preprocessing(B));
  for (const id of [A, B]) while (core.store.find('preproc', id)?.state === 'running') await turn();
  const shown = async (): Promise<string[]> =>
    fromBinary(KeyMaterialAvailabilityResponseSchema, await core.raw('GetKeyMaterialAvailability', EMPTY))
      .preprocessingIds;
  t.strictSame(await shown(), [A, B].sort());
  await core.raw('InsecureKeyGen', keyGeneration(idOf('key made'), A));
  t.strictSame(await shown(), [B]);
  const health = fromBinary(HealthStatusResponseSchema, await core.raw('GetHealthStatus', EMPTY));
  t.strictSame(health.myPreprocessingKeyIds, [B]);
  const info = fromBinary(GetMetaStoreInfoResponseSchema, await core.raw(`${META}/GetMetaStoreInfo`, EMPTY));
  t.match(info.metaStores.at(-1), { type: MetaStoreType.PREPROCESSING, capacity: -1, currentCount: 2 });
});
