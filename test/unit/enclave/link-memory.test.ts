/** Memory behind a link: what a body came in, and the body itself, are given back as soon as nobody reads them. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { type Duplex, duplexPair } from 'node:stream';
import { create, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { systemClock } from '../../../common/clock.ts';
import type { CallHandler } from '../../../enclave/call.ts';
import { LinkServer } from '../../../enclave/service/link-server.ts';
import { WorkBudget } from '../../../enclave/service/work-budget.ts';
import { HelloSchema } from '../../../proto/gen/engine_pb.js';
import { FrameDecoder } from '../../../wire/frame-decoder.ts';
import {
  ENGINE_METHOD,
  encodeCall,
  encodeFrame,
  FRAME_KIND,
  type Frame,
  LINK_PROTOCOL_VERSION,
} from '../../../wire/frames.ts';
import { silentLog as log } from '../../helpers/engine-clients.ts';
import type { Teardown } from '../../helpers/temp-dir.ts';

const CHUNK_BYTES = 16_384;
const BODY = Uint8Array.from({ length: 99_000 }, (_, i) => i % 251);

/** Both ends of a connection as the system makes it: what is read is the reader's alone. */
async function socketPair(t: Teardown): Promise<readonly [Socket, Socket]> {
  const server = createServer().listen(0, '127.0.0.1');
  t.teardown(() => void server.close());
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a port is needed');
  const accepted = once(server, 'connection');
  const near = connect(address.port, '127.0.0.1');
  const [far] = await accepted;
  return [near, far];
}

/** A link, and what its engine reads, piece by piece. A stream in memory leaves it to the caller what those are. */
function openLink(t: Teardown, handler: CallHandler, [caller, stream]: readonly [Duplex, Duplex] = duplexPair()) {
  const read: Uint8Array[] = [];
  stream.on('data', (chunk: Uint8Array) => read.push(chunk));
  const budget = new WorkBudget({ calls: 10, bytes: 1_000_000 });
  const handlers = { [ENGINE_METHOD.publicDecrypt]: handler };
  const server = new LinkServer(
    { stream, peer: 'a test' },
    { handlers, budget, developerMode: true, clock: systemClock, log },
  );
  t.teardown(() => {
    server.end();
    caller.destroy();
  });
  const decoder = new FrameDecoder();
  const waiting: ((frame: Frame) => void)[] = [];
  caller.on('data', (chunk: Uint8Array) => {
    for (const frame of decoder.push(chunk)) if (frame.kind !== FRAME_KIND.hello) waiting.shift()?.(frame);
  });
  const hello = { protocolVersion: LINK_PROTOCOL_VERSION, developerMode: true, role: 'core' };
  for (const part of encodeFrame(FRAME_KIND.hello, 0, toBinary(HelloSchema, create(HelloSchema, hello)))) {
    caller.write(part);
  }
  /** Sends these chunks, each in a buffer of its own, and gives the answer to the call in them. */
  const send = (chunks: readonly Uint8Array[]): Promise<Frame> => {
    const { promise, resolve } = Promise.withResolvers<Frame>();
    waiting.push(resolve);
    for (const chunk of chunks) caller.write(chunk);
    return promise;
  };
  return { budget, send, read };
}

/** A call as it comes off TLS: pieces of at most so many bytes, none of which shares its buffer. */
function pieces(callId: number, body: Uint8Array, sizeBytes = CHUNK_BYTES): Uint8Array[] {
  const whole = Buffer.concat(encodeCall(callId, ENGINE_METHOD.publicDecrypt, new Uint8Array(), body));
  return Array.from({ length: Math.ceil(whole.byteLength / sizeBytes) }, (_, i) =>
    Uint8Array.from(whole.subarray(i * sizeBytes, (i + 1) * sizeBytes)),
  );
}

t.test('pieces of a body are freed once it is put together, before it is answered', async (t) => {
  let held = Number.NaN;
  const link = openLink(
    t,
    async ({ body }) => {
      await new Promise(setImmediate);
      held = link.read.reduce((sum, { byteLength }) => sum + byteLength, 0);
      return Uint8Array.from(body);
    },
    await socketPair(t),
  );
  await link.send(pieces(1, BODY.subarray(0, 100)));
  link.read.length = 0; // greeting and small calls are views of what they came in
  const { kind, payload } = await link.send(pieces(2, BODY));
  t.equal(kind, FRAME_KIND.result);
  t.equal(Buffer.compare(payload, BODY), 0, 'every byte came');
  t.ok(link.read.length > 1, 'in pieces');
  t.equal(held, 0);
});

t.test('pieces that are their sender’s stay as they are', async (t) => {
  const { send } = openLink(t, async ({ body }) => Uint8Array.from(body));
  const chunks = pieces(1, BODY);
  const { payload } = await send(chunks);
  t.equal(Buffer.compare(payload, BODY), 0);
  t.same(Buffer.concat(chunks).subarray(-BODY.byteLength), Buffer.from(BODY));
});

t.test('a piece that holds a whole call is left to its handler', async (t) => {
  const [small, large] = [pieces(1, BODY.subarray(0, 100)), pieces(2, BODY)];
  const both = [Uint8Array.from(Buffer.concat([small[0] ?? BODY, large[0] ?? BODY])), ...large.slice(1)];
  const seen: Uint8Array[] = [];
  const handler: CallHandler = async ({ body }) => {
    await new Promise(setImmediate);
    seen.push(body);
    return Uint8Array.from(body);
  };
  const { send } = openLink(t, handler, await socketPair(t));
  const answers = [send(both.slice(0, 1)), send(both.slice(1))];
  const sizes = (await Promise.all(answers)).map(({ payload }) => payload.byteLength);
  t.same(sizes, [100, BODY.byteLength]);
  for (const body of seen) t.equal(Buffer.compare(body, BODY.subarray(0, body.byteLength)), 0, 'still there');
});

t.test('a body is freed when its operation says so; the call is answered and its bytes are counted out', async (t) => {
  const bodies: Uint8Array[] = [];
  const { budget, send } = openLink(t, async ({ body, freeBody }) => {
    bodies.push(body);
    const answer = Uint8Array.of(body[7] ?? 0);
    if (bodies.length === 1) freeBody?.();
    return answer;
  });
  for (const [index, left] of [0, BODY.byteLength].entries()) {
    const { kind, payload } = await send(pieces(index + 1, BODY));
    t.match({ kind, answer: [...payload] }, { kind: FRAME_KIND.result, answer: [7] });
    t.equal(bodies[index]?.byteLength, left);
    await new Promise(setImmediate);
    t.same([budget.calls, budget.bytes], [0, 0]);
  }
});

t.test('a small body, a view of what came, is not freed under its neighbours', async (t) => {
  const { send } = openLink(t, async ({ body, freeBody }) => {
    freeBody?.();
    await new Promise(setImmediate);
    return Uint8Array.from(body);
  });
  const two = [1, 2].flatMap((callId) => pieces(callId, BODY.subarray(callId, callId + 50)));
  const answers = [send([Uint8Array.from(Buffer.concat(two))]), send([])];
  for (const [index, { payload }] of (await Promise.all(answers)).entries()) {
    t.same([...payload], [...BODY.subarray(index + 1, index + 51)]);
  }
});
