/** The request status service and gRPC health, with `@grpc/grpc-js` where a stream is read. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { Client, credentials } from '@grpc/grpc-js';
import t from 'tap';
import { KmsError } from '../../../common/errors.ts';
import {
  HealthCheckRequestSchema,
  HealthCheckResponseSchema,
  HealthCheckResponse_ServingStatus as Serving,
} from '../../../proto/gen/health_pb.js';
import {
  type ListRequestsResponse,
  MetaStoreType,
  RequestProcessingStatus as Status,
} from '../../../proto/gen/metastore-status_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { crsGeneration, idOf, publicDecryption, userDecryption } from './requests.ts';
import { startTestCore, type TestCore, untilAborted } from './test-core.ts';

const A = idOf('a');
const B = idOf('b');

t.test('tells what became of requests, in every store or in one', async (t) => {
  const core = await startTestCore(t);
  await core.raw('PublicDecryptSync', publicDecryption(A));
  core.engine.answers.set(ENGINE_METHOD.userDecrypt, () => {
    throw new KmsError('CIPHERTEXT_INVALID', 'not a ciphertext');
  });
  await core.status('UserDecryptSync', userDecryption(A));
  core.generations.onRun = untilAborted;
  await core.raw('CrsGen', crsGeneration(B));

  const all = await core.client.metaStore('GetRequestStatuses', { requestIds: [`0x${A.toUpperCase()}`, 'bad', B] });
  t.match(all.statuses, [
    { requestId: A, metaStoreType: MetaStoreType.PUBLIC_DECRYPTION, status: Status.COMPLETED },
    {
      requestId: A,
      metaStoreType: MetaStoreType.USER_DECRYPTION,
      status: Status.FAILED,
      errorMessage: 'not a ciphertext',
    },
    { requestId: B, metaStoreType: MetaStoreType.CRS_GENERATION, status: Status.PROCESSING },
  ]);
  t.equal(all.statuses.length, 3);
  const one = await core.client.metaStore('GetRequestStatuses', {
    requestIds: [A, B],
    metaStoreType: MetaStoreType.CRS_GENERATION,
  });
  t.same(
    one.statuses.map(({ requestId }) => requestId),
    [B],
  );
});

t.test('lists a store page by page, and by status', async (t) => {
  const core = await startTestCore(t);
  const ids = Array.from({ length: 25 }, (_, at) => idOf(`list ${at}`));
  for (const id of ids) await core.raw('PublicDecryptSync', publicDecryption(id));
  const metaStoreType = MetaStoreType.PUBLIC_DECRYPTION;
  const found: string[] = [];
  let pageToken: string | undefined = '0';
  while (pageToken !== undefined) {
    const page: ListRequestsResponse = await core.client.metaStore('ListRequests', {
      metaStoreType,
      maxResults: 10,
      pageToken,
    });
    found.push(...page.requests.map(({ requestId }) => requestId));
    pageToken = page.nextPageToken;
  }
  t.same(found, ids);
  const filters = [
    [Status.COMPLETED, 25],
    [Status.FAILED, 0],
    [Status.ANY, 25],
  ] as const;
  for (const [statusFilter, count] of filters) {
    const page = await core.client.metaStore('ListRequests', { metaStoreType, statusFilter });
    t.equal(page.requests.length, count, Status[statusFilter]);
  }
});

t.test('says how full each store is, in the published order', async (t) => {
  const core = await startTestCore(t);
  await core.raw('PublicDecryptSync', publicDecryption(A));
  const { metaStores } = await core.client.metaStore('GetMetaStoreInfo', {});
  t.same(
    metaStores.map(({ type, capacity, currentCount }) => [type, capacity, currentCount]),
    [
      [MetaStoreType.KEY_GENERATION, -1, 0],
      [MetaStoreType.PUBLIC_DECRYPTION, 10_000, 1],
      [MetaStoreType.USER_DECRYPTION, 10_000, 0],
      [MetaStoreType.CRS_GENERATION, -1, 0],
    ],
  );
});

t.test('is healthy while the engine is connected and the last run taken up', async (t) => {
  const core = await startTestCore(t, { recover: false });
  t.equal(await core.client.health(), Serving.NOT_SERVING);
  await core.core.recover();
  t.equal(await core.client.health(), Serving.SERVING);
  t.equal(await core.client.health('kms_service.v1.CoreServiceEndpoint'), Serving.SERVING);
  core.engine.become('disconnected');
  t.equal(await core.client.health(), Serving.NOT_SERVING);
});

t.test('tells watchers of each change, and of the end', async (t) => {
  const core = await startTestCore(t);
  const [known, unknown] = [watch(core, ''), watch(core, 'other')];
  t.teardown(() => known.close());
  t.teardown(() => unknown.close());
  t.equal(await known.next(), Serving.SERVING);
  t.equal(await unknown.next(), Serving.SERVICE_UNKNOWN);
  core.engine.become('disconnected');
  t.equal(await known.next(), Serving.NOT_SERVING);
  core.engine.become('connected');
  t.equal(await known.next(), Serving.SERVING);
  const closed = core.core.close(2000);
  t.equal(await known.next(), Serving.NOT_SERVING);
  t.equal(await known.next(), undefined, 'the stream ends');
  await closed;
});

/** Watches health with an independent client. */
function watch({ core }: TestCore, service: string): { next(): Promise<Serving | undefined>; close(): void } {
  const client = new Client(`127.0.0.1:${core.address.port}`, credentials.createInsecure());
  const same = (bytes: Buffer): Buffer => bytes;
  const request = Buffer.from(toBinary(HealthCheckRequestSchema, create(HealthCheckRequestSchema, { service })));
  const stream = client.makeServerStreamRequest('/grpc.health.v1.Health/Watch', same, same, request);
  stream.on('error', () => undefined);
  const messages = stream[Symbol.asyncIterator]();
  return {
    async next() {
      const { done, value } = await messages.next();
      return done ? undefined : fromBinary(HealthCheckResponseSchema, value as Buffer).status;
    },
    close: () => client.close(),
  };
}
