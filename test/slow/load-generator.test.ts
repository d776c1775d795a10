/** The load generator counts what really happened, on gRPC and on frames. */
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { openGrpcServer } from '../../parent/grpc/server.ts';
import { GrpcError, STATUS } from '../../parent/grpc/status.ts';
import { FrameDecoder } from '../../wire/frame-decoder.ts';
import { encodeFrame, FRAME_KIND, parseCallPayload } from '../../wire/frames.ts';
import { buildLoadGenerator, type LoadTarget, runLoad } from '../helpers/load-generator.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const PATH = '/test.Echo/Call';
const ID_AT = 5;
t.setTimeout(600_000); // the first build compiles 24 crates
const program = await buildLoadGenerator();
const folder = tempDir(t);
const bodyPath = join(folder, 'body');
const body = Buffer.concat([Buffer.alloc(ID_AT, 1), Buffer.from('ab'.repeat(32)), randomBytes(99_000)]);
writeFileSync(bodyPath, body);

const load = (target: LoadTarget, answerPath?: string) =>
  runLoad(program, {
    target,
    bodyPath,
    idAt: ID_AT,
    inFlight: 8,
    connections: 3,
    warmUpSeconds: 0.1,
    seconds: 0.5,
    ...(answerPath === undefined ? {} : { answerPath }),
  });

/** Keeps the ids that came and whether everything else was as it should be. */
function judge() {
  const ids = new Set<string>();
  let wrong = 0;
  return {
    see(message: Uint8Array): void {
      const text = Buffer.from(message.subarray(ID_AT, ID_AT + 64)).toString('latin1');
      const rest = body.subarray(ID_AT + 64).equals(message.subarray(ID_AT + 64));
      if (!/^[0-9a-f]{64}$/.test(text) || ids.has(text) || !rest) wrong++;
      ids.add(text);
    },
    get calls() {
      return ids.size;
    },
    get wrong() {
      return wrong;
    },
  };
}

async function echoServer(handle: (message: Uint8Array) => Uint8Array): Promise<LoadTarget> {
  const answer = async (message: Uint8Array) => handle(message);
  const methods = new Map([[PATH, { kind: 'unary', handle: answer } as const]]);
  const server = openGrpcServer({ methods, onFault: (error) => t.fail(String(error)) });
  const { host, port } = await server.listen('127.0.0.1', 0);
  t.teardown(() => server.close(0));
  return { kind: 'grpc', address: `${host}:${port}`, path: PATH };
}

t.test('calls a gRPC method with a fresh id each time', async (t) => {
  const seen = judge();
  const target = await echoServer((message) => {
    seen.see(message);
    return Uint8Array.of(7);
  });
  const answerPath = join(folder, 'answer');
  const result = await load(target, answerPath);
  t.ok(result.calls > 0, `${result.calls} calls`);
  t.ok(seen.calls >= result.calls, 'counts no call that did not happen');
  t.equal(seen.wrong, 0);
  t.equal(result.errors, 0);
  t.ok(result.p50Ms > 0 && result.p50Ms <= result.p99Ms && result.p99Ms <= result.maxMs, 'latencies are ordered');
  t.strictSame([...readFileSync(answerPath)], [7]);
});

t.test('names and counts failed calls', async (t) => {
  const target = await echoServer(() => {
    throw new GrpcError(STATUS.NOT_FOUND, 'no');
  });
  const result = await load(target);
  t.equal(result.calls, 0);
  t.strictSame(Object.keys(result.errorsByName), ['grpc status 5']);
  t.equal(result.errors, result.errorsByName['grpc status 5']);
});

t.test('calls several servers at once with one id, and needs as many answers as it is told', async (t) => {
  const seen = [judge(), judge(), judge()];
  const ids: string[][] = [[], [], []];
  const targets = await Promise.all(
    seen.map((each, index) =>
      echoServer((message) => {
        each.see(message);
        ids[index]?.push(Buffer.from(message.subarray(ID_AT, ID_AT + 64)).toString('latin1'));
        if (index === 2) throw new GrpcError(STATUS.UNAVAILABLE, 'no');
        return Uint8Array.of(index);
      }),
    ),
  );
  const address = targets.map((target) => (target.kind === 'grpc' ? target.address : '')).join(',');
  const answerPath = join(folder, 'answers');
  const two = await load({ kind: 'grpc', address, path: PATH, answers: 2 }, answerPath);
  t.ok(two.calls > 0 && two.errors === 0, `${two.calls} calls`);
  t.strictSame(
    [1, 2].map((number) => [...readFileSync(`${answerPath}.${number}`)]),
    [[0], [1]],
  );
  t.throws(() => readFileSync(`${answerPath}.3`), 'one did not answer');
  t.strictSame(
    seen.map(({ wrong }) => wrong),
    [0, 0, 0],
  );
  const asked = ids.map((each) => each.toSorted());
  t.strictSame(asked[0], asked[1]);
  t.strictSame(asked[0], asked[2], 'all are asked, whether they answer or not');

  const all = await load({ kind: 'grpc', address, path: PATH });
  t.equal(all.calls, 0);
  t.strictSame(Object.keys(all.errorsByName), ['grpc status 14']);
});

t.test('calls over frames with a fresh id each time', async (t) => {
  const seen = judge();
  const server = createServer((socket) => {
    const reader = new FrameDecoder();
    socket.on('data', (chunk) => {
      for (const { kind, callId, payload } of reader.push(chunk)) {
        if (kind !== FRAME_KIND.call) continue;
        seen.see(parseCallPayload(payload).body);
        for (const part of encodeFrame(FRAME_KIND.result, callId, Uint8Array.of(7))) socket.write(part);
      }
    });
    socket.on('error', () => {});
  });
  const socketPath = join(folder, 's');
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  t.teardown(() => server.close());
  const result = await load({ kind: 'engine', socketPath, method: 2, hello: new Uint8Array(2) });
  t.ok(result.calls > 0, `${result.calls} calls`);
  t.equal(seen.wrong, 0);
  t.equal(result.errors, 0);
});
