/** Frames of the engine link: round trips over any chunking, no copies where none are needed, hostile streams. */
import fc from 'fast-check';
import t from 'tap';
import { equalBytes } from '../../../common/bytes.ts';
import { KmsError } from '../../../common/errors.ts';
import { FrameDecoder } from '../../../wire/frame-decoder.ts';
import {
  ENGINE_METHOD,
  encodeCall,
  encodeFrame,
  FRAME_HEADER_BYTES,
  FRAME_KIND,
  type Frame,
  MAX_CHUNK_BYTES,
  MAX_FRAME_BYTES,
  parseCallPayload,
} from '../../../wire/frames.ts';
import { present } from '../../helpers/present.ts';

const SIZED_KINDS = [FRAME_KIND.result, FRAME_KIND.error, FRAME_KIND.progress, FRAME_KIND.objectChunk] as const;
const callIds = fc.nat(0xffffffff);
const frames = fc.array(
  fc.record({ kind: fc.constantFrom(...SIZED_KINDS), callId: callIds, payload: fc.uint8Array({ maxLength: 400 }) }),
  { maxLength: 8 },
);

function header(length: number, kind: number, callId = 0): Uint8Array {
  const bytes = Buffer.alloc(FRAME_HEADER_BYTES);
  bytes.writeUInt32LE(length, 0);
  bytes.writeUInt8(kind, 4);
  bytes.writeUInt32LE(callId, 5);
  return bytes;
}

t.test('any sequence of frames, cut anywhere, comes out as it went in', async (t) => {
  fc.assert(
    fc.property(frames, fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1 }), (sent, cuts) => {
      const stream = Buffer.concat(sent.flatMap(({ kind, callId, payload }) => encodeFrame(kind, callId, payload)));
      const decoder = new FrameDecoder();
      const received: Frame[] = [];
      for (let at = 0, i = 0; at < stream.byteLength; i++) {
        const size = present(cuts[i % cuts.length]);
        received.push(...decoder.push(stream.subarray(at, at + size)));
        at += size;
      }
      return (
        decoder.pendingBytes === 0 &&
        received.length === sent.length &&
        received.every(
          (frame, i) =>
            frame.kind === sent[i]?.kind &&
            frame.callId === sent[i]?.callId &&
            equalBytes(frame.payload, present(sent[i]).payload),
        )
      );
    }),
  );
  t.pass('1 property');
});

t.test('a body is neither copied on the way out nor, within one chunk, on the way in', async (t) => {
  const body = new Uint8Array(100_000).fill(3);
  const [, sentBody] = encodeFrame(FRAME_KIND.result, 7, body);
  t.equal(sentBody, body);
  const [, callBody] = encodeCall(7, ENGINE_METHOD.publicDecrypt, new Uint8Array(5), body);
  t.equal(callBody, body);
  const chunk = Buffer.concat(encodeFrame(FRAME_KIND.result, 7, body));
  const [frame] = new FrameDecoder().push(chunk);
  t.equal(frame?.payload.buffer, chunk.buffer);
});

t.test('a call carries method, head and body', async (t) => {
  fc.assert(
    fc.property(
      fc.constantFrom(...Object.values(ENGINE_METHOD)),
      callIds,
      fc.uint8Array({ maxLength: 50 }),
      fc.uint8Array({ maxLength: 300 }),
      (method, callId, head, body) => {
        const frame = present(new FrameDecoder().push(Buffer.concat(encodeCall(callId, method, head, body)))[0]);
        const call = parseCallPayload(frame.payload);
        return (
          frame.kind === FRAME_KIND.call &&
          frame.callId === callId &&
          call.method === method &&
          equalBytes(call.head, head) &&
          equalBytes(call.body, body)
        );
      },
    ),
  );
  t.pass('1 property');
});

t.test('every method of the table is understood, and no number beyond it', async (t) => {
  const numbers = Object.values(ENGINE_METHOD);
  const call = (method: number): Uint8Array => Uint8Array.of(method, 0, 0, 0, 0, 0);
  for (const method of numbers) t.equal(parseCallPayload(call(method)).method, method, `method ${method}`);
  t.throws(() => parseCallPayload(call(Math.max(...numbers) + 1)), { code: 'REQUEST_INVALID' });
});

t.test('a call whose head does not fit, or of an unknown method, is refused', async (t) => {
  const prefix = (method: number, headBytes: number): Uint8Array => {
    const bytes = Buffer.alloc(10);
    bytes.writeUInt16LE(method, 0);
    bytes.writeUInt32LE(headBytes, 2);
    return bytes;
  };
  const cases: [string, Uint8Array][] = [
    ['empty', new Uint8Array(0)],
    ['cut prefix', prefix(2, 0).subarray(0, 5)],
    ['head longer than the frame', prefix(2, 5)],
    ['head of 4 GiB', prefix(2, 0xffffffff)],
    ['method 0', prefix(0, 0)],
    ['unknown method', prefix(99, 0)],
  ];
  for (const [why, payload] of cases) t.throws(() => parseCallPayload(payload), { code: 'REQUEST_INVALID' }, why);
  t.throws(() => encodeCall(1, ENGINE_METHOD.status, new Uint8Array(65_537), new Uint8Array(0)), {
    code: 'REQUEST_INVALID',
  });
});

t.test('lengths beyond the bounds of the kind are refused before anything is allocated', async (t) => {
  const before = process.memoryUsage().arrayBuffers;
  const cases: [string, Uint8Array][] = [
    ['a frame beyond the maximum', header(MAX_FRAME_BYTES + 1, FRAME_KIND.result)],
    ['the largest length there is', header(0xffffffff, FRAME_KIND.call)],
    ['a length below its own header', header(4, FRAME_KIND.result)],
    ['a chunk beyond 1 MiB', header(5 + MAX_CHUNK_BYTES + 1, FRAME_KIND.objectChunk)],
    ['a long error', header(5 + 65_537, FRAME_KIND.error)],
    ['a cancel with payload', header(6, FRAME_KIND.cancel)],
    ['an object-stored with payload', header(6, FRAME_KIND.objectStored)],
    ['kind 0', header(5, 0)],
    ['kind 11', header(5, 11)],
    ['kind 255', header(5, 255)],
  ];
  for (const [why, bytes] of cases) {
    const decoder = new FrameDecoder();
    t.throws(() => decoder.push(bytes), { code: 'REQUEST_INVALID' }, why);
    t.throws(() => decoder.push(header(5, FRAME_KIND.cancel)), { code: 'REQUEST_INVALID' }, `${why}: stays refused`);
  }
  t.ok(process.memoryUsage().arrayBuffers - before < 1_000_000);
  t.throws(() => encodeFrame(FRAME_KIND.cancel, 1, new Uint8Array(1)), { code: 'REQUEST_INVALID' });
});

t.test('random streams give frames or REQUEST_INVALID, never anything else', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), (chunks) => {
      const decoder = new FrameDecoder();
      try {
        for (const chunk of chunks) {
          for (const frame of decoder.push(chunk)) if (frame.kind === FRAME_KIND.call) parseCallPayload(frame.payload);
        }
        return true;
      } catch (error) {
        return error instanceof KmsError && error.code === 'REQUEST_INVALID';
      }
    }),
    { numRuns: 2000 },
  );
  t.pass('1 property');
});

t.test('the end of a stream inside a frame can be told', async (t) => {
  const decoder = new FrameDecoder();
  decoder.push(header(5 + 10, FRAME_KIND.result).subarray(0, 3));
  t.equal(decoder.pendingBytes, 3);
  decoder.push(Buffer.concat([header(5 + 10, FRAME_KIND.result).subarray(3), new Uint8Array(4)]));
  t.equal(decoder.pendingBytes, FRAME_HEADER_BYTES + 4);
  t.equal(decoder.push(new Uint8Array(6)).length, 1);
  t.equal(decoder.pendingBytes, 0);
});
