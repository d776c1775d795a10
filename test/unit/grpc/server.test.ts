/** The gRPC server as an independent client, `@grpc/grpc-js`, sees it. */
import { randomBytes } from 'node:crypto';
import { type CallOptions, Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import t from 'tap';
import { decodeDetails } from '../../../parent/grpc/status.ts';
import { type EchoServer, startEchoServer } from './echo-server.ts';

const same = (bytes: Buffer): Buffer => bytes;

function open(t: { teardown(fn: () => void): void }, { port }: EchoServer, options = {}): Client {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
    'grpc.max_receive_message_length': -1,
    'grpc.max_send_message_length': -1,
    ...options,
  });
  t.teardown(() => client.close());
  return client;
}

function call(client: Client, name: string, body: Uint8Array, options: CallOptions = {}): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      `/test.Echo/${name}`,
      same,
      same,
      Buffer.from(body),
      new Metadata(),
      options,
      (error: ServiceError | null, answer?: Buffer) => (error ? reject(error) : resolve(answer ?? Buffer.alloc(0))),
    );
  });
}

t.test('echoes messages of all sizes', async (t) => {
  const client = open(t, await startEchoServer(t));
  for (const size of [0, 1, 5, 16_384, 99_000, 262_144, 262_145, 5_000_000]) {
    const body = randomBytes(size);
    t.ok(body.equals(await call(client, 'Echo', body)), `${size} bytes`);
  }
});

t.test('serves many calls at once on one connection', async (t) => {
  const echo = await startEchoServer(t);
  const client = open(t, echo);
  const bodies = Array.from({ length: 300 }, () => randomBytes(20_000));
  const answers = await Promise.all(bodies.map((body) => call(client, 'Echo', body)));
  t.ok(answers.every((answer, at) => bodies[at]?.equals(answer)));
  t.equal(echo.server.heldBytes, 0, 'and holds none of their bytes afterwards');
});

t.test('answers errors with status, message and google.rpc details', async (t) => {
  const client = open(t, await startEchoServer(t));
  const error = await call(client, 'Fail', new Uint8Array(10)).then(
    () => t.fail('should fail'),
    (error: ServiceError) => error,
  );
  t.match(error, { code: status.NOT_FOUND, details: 'no such thing: 100% gone, é' });
  const header = (error as ServiceError).metadata.get('grpc-status-details-bin')[0];
  t.ok(Buffer.isBuffer(header));
  t.same(decodeDetails(Buffer.from(header ?? '').toString('base64')), {
    reason: 'NOT_FOUND',
    metadata: { message: 'there is nothing here' },
    retryAfterMs: 1500,
  });
});

t.test('answers INTERNAL without detail when a handler breaks', async (t) => {
  const echo = await startEchoServer(t);
  const client = open(t, echo);
  await t.rejects(call(client, 'Crash', new Uint8Array(1)), { code: status.INTERNAL, details: 'internal error' });
  t.match(echo.faults, [TypeError]);
});

t.test('answers UNIMPLEMENTED for a method that does not exist', async (t) => {
  const client = open(t, await startEchoServer(t));
  await t.rejects(call(client, 'Nothing', randomBytes(99_000)), { code: status.UNIMPLEMENTED });
});

t.test('answers RESOURCE_EXHAUSTED for a message that is too large, and goes on serving', async (t) => {
  const client = open(t, await startEchoServer(t, { maxMessageBytes: 100_000 }));
  await t.rejects(call(client, 'Echo', new Uint8Array(100_001)), { code: status.RESOURCE_EXHAUSTED });
  await t.rejects(call(client, 'Echo', new Uint8Array(3_000_000)), { code: status.RESOURCE_EXHAUSTED });
  t.equal((await call(client, 'Echo', new Uint8Array(100_000))).length, 100_000);
});

t.test('answers RESOURCE_EXHAUSTED when all calls together hold too much', async (t) => {
  const echo = await startEchoServer(t, { maxHeldBytes: 1_000_000 });
  const client = open(t, echo);
  const began = echo.waiting();
  const waiting = call(client, 'Wait', new Uint8Array(900_000), { deadline: Date.now() + 60_000 });
  waiting.catch(() => undefined);
  await began;
  await t.rejects(call(client, 'Echo', new Uint8Array(200_000)), { code: status.RESOURCE_EXHAUSTED });
  t.equal((await call(client, 'Echo', new Uint8Array(50_000))).length, 50_000);
});

t.test('takes gzip requests and bounds what comes out of them', async (t) => {
  const echo = await startEchoServer(t, { maxMessageBytes: 1_000_000 });
  const client = open(t, echo, { 'grpc.default_compression_algorithm': 2 });
  t.equal((await call(client, 'Echo', new Uint8Array(999_999))).length, 999_999);
  await t.rejects(call(client, 'Echo', new Uint8Array(20_000_000)), { code: status.RESOURCE_EXHAUSTED });
  const bodies = await Promise.all(Array.from({ length: 12 }, () => call(client, 'Echo', new Uint8Array(500_000))));
  t.ok(
    bodies.every((body) => body.length === 500_000),
    'more at once than may decompress at once',
  );
});

t.test('tells the handler when the client cancels', async (t) => {
  const echo = await startEchoServer(t);
  const client = open(t, echo);
  const began = echo.waiting();
  const done = new Promise<ServiceError | null>((resolve) => {
    const running = client.makeUnaryRequest('/test.Echo/Wait', same, same, Buffer.alloc(1), (error) => resolve(error));
    void began.then(() => running.cancel());
  });
  await (await began).cancelled;
  t.match(await done, { code: status.CANCELLED });
});

t.test('tells the handler when the deadline passes', async (t) => {
  const echo = await startEchoServer(t);
  const client = open(t, echo);
  const began = echo.waiting();
  const running = call(client, 'Wait', new Uint8Array(1), { deadline: Date.now() + 50 });
  running.catch(() => undefined);
  await (await began).cancelled;
  await t.rejects(running, { code: status.DEADLINE_EXCEEDED });
});

t.test('streams answers, and an error after them', async (t) => {
  const client = open(t, await startEchoServer(t));
  const read = async (body: Uint8Array): Promise<{ numbers: number[]; code?: number }> => {
    const numbers: number[] = [];
    try {
      const stream = client.makeServerStreamRequest('/test.Echo/Count', same, same, Buffer.from(body));
      for await (const message of stream) numbers.push((message as Buffer)[0] ?? -1);
      return { numbers };
    } catch (error) {
      return { numbers, code: (error as ServiceError).code };
    }
  };
  t.same(await read(Uint8Array.of(3, 0)), { numbers: [0, 1, 2] });
  t.same(await read(Uint8Array.of(0, 0)), { numbers: [] });
  t.same(await read(Uint8Array.of(2, 1)), { numbers: [0, 1], code: status.ABORTED });
  t.same(await read(Uint8Array.of(0, 1)), { numbers: [], code: status.ABORTED });
});

t.test('lets calls end when it closes, and drops those that take too long', async (t) => {
  const echo = await startEchoServer(t);
  const client = open(t, echo);
  const began = echo.waiting();
  const stuck = call(client, 'Wait', new Uint8Array(1));
  stuck.catch(() => undefined);
  const { cancelled } = await began;
  const closed = echo.server.close(50);
  await cancelled;
  await closed;
  await t.rejects(stuck);
  t.equal(echo.server.callsInFlight, 0);
});

t.test('names a port that is taken', async (t) => {
  const first = await startEchoServer(t);
  const second = await startEchoServer(t);
  await second.server.close();
  const { openGrpcServer } = await import('../../../parent/grpc/server.ts');
  const third = openGrpcServer({ methods: new Map(), onFault: () => undefined });
  await t.rejects(third.listen('127.0.0.1', first.port), {
    code: 'STATE_INVALID',
    message: `the port is taken by another process: 127.0.0.1:${first.port}`,
  });
});
