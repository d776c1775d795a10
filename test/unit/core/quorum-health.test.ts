/** What the Core of a party says of its quorum, and of what it has for key generations. */
import { setImmediate as turn } from 'node:timers/promises';
import { fromBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { KmsError } from '../../../common/errors.ts';
import { healthOf } from '../../../parent/core/rpc/quorum-status.ts';
import {
  HealthStatus,
  HealthStatusResponseSchema,
  KeyMaterialAvailabilityResponseSchema,
  NodeType,
} from '../../../proto/gen/kms_pb.js';
import { GetMetaStoreInfoResponseSchema, MetaStoreType } from '../../../proto/gen/metastore-status_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { DEFAULT_CONTEXT_ID } from '../../../wire/ids.ts';
import { QuorumEngine } from './quorum-engine.ts';
import { idOf, KEY_ID, keyGeneration, newContext, preprocessing } from './requests.ts';
import { callsOf, startPartyCore as start } from './start-party-core.ts';

const A = idOf('a');
const B = idOf('b');
const META = '/metastore_status.v1.MetaStoreStatusService';
const EMPTY = new Uint8Array(0);

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
