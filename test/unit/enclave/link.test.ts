/** The link itself: greetings, hostile frames, bounds, cancelled calls, the socket's permissions. */
import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Duplex } from 'node:stream';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import t from 'tap';
import { EngineStatusSchema } from '../../../proto/gen/engine_pb.js';
import { PublicDecryptionRequestSchema } from '../../../proto/gen/kms_pb.js';
import { ENGINE_METHOD, encodeCall, encodeFrame, FRAME_KIND, MAX_FRAME_BYTES } from '../../../wire/frames.ts';
import { EngineTestLink } from '../../helpers/engine-link.ts';
import { handleOf, publicDecryptionRequest } from '../../helpers/requests.ts';
import { describe, makeKey, testEngine } from '../../helpers/test-engine.ts';

const { link: openLink, dial, socketPath } = await testEngine(t);
const EMPTY = new Uint8Array();

async function alive(): Promise<boolean> {
  const link = await EngineTestLink.open(await dial());
  const info = await describe(link);
  link.close();
  return info.developerMode;
}

/** The engine notices a closed link a moment after its client. */
async function openWhenRoom(dialOne: () => Promise<Duplex>, attempts = 100): Promise<EngineTestLink> {
  try {
    return await EngineTestLink.open(await dialOne());
  } catch (error) {
    if (attempts === 0) throw error;
    return await openWhenRoom(dialOne, attempts - 1);
  }
}

t.test('both sides greet first', async (t) => {
  const link = await openLink();
  t.match(await link.hello, { protocolVersion: 1, developerMode: true, role: 'engine' });
});

t.test('another mode or another protocol is told why and turned away', async (t) => {
  for (const hello of [{ developerMode: false }, { protocolVersion: 2 }]) {
    const link = await EngineTestLink.open(await dial(), hello);
    t.match(await link.closed, { code: 'PRECONDITION_FAILED' }, JSON.stringify(hello));
  }
});

t.test('frames that break the protocol end their link and no other', async (t) => {
  const call = Buffer.concat(encodeCall(1, ENGINE_METHOD.describe, EMPTY, EMPTY));
  const huge = Buffer.from(call);
  huge.writeUInt32LE(MAX_FRAME_BYTES + 1, 0);
  const unknown = Buffer.from(call);
  unknown[4] = 77;
  const hostile = [
    ['an unknown kind', unknown],
    ['a length beyond the limit', huge],
    ['a length of nothing', Buffer.alloc(9)],
    ['a call of id 0', Buffer.concat(encodeCall(0, ENGINE_METHOD.describe, EMPTY, EMPTY))],
    ['a result from the caller', Buffer.concat(encodeFrame(FRAME_KIND.result, 1))],
    ['a second hello', Buffer.concat(encodeFrame(FRAME_KIND.hello, 0))],
    ['an object from the caller', Buffer.concat(encodeFrame(FRAME_KIND.objectChunk, 1, Uint8Array.of(1)))],
  ] as const;
  for (const [why, bytes] of hostile) {
    const link = await EngineTestLink.open(await dial());
    link.sendRaw(bytes);
    t.match(await link.closed, { code: 'REQUEST_INVALID' }, why);
  }
  const silent = await EngineTestLink.open(await dial(), 'none');
  silent.sendRaw(call);
  t.match(await silent.closed, { code: 'REQUEST_INVALID' }, 'a call before the hello');
  t.ok(await alive());
});

t.test('calls that cannot be read fail alone, on a link that goes on', async (t) => {
  const link = await openLink();
  await t.rejects(link.call(99), { code: 'REQUEST_INVALID' }, 'an unknown method');
  await t.rejects(link.call(ENGINE_METHOD.keyGen, Uint8Array.of(1, 2, 3)), { code: 'REQUEST_INVALID' });
  await t.rejects(link.call(ENGINE_METHOD.crsGen), { code: 'REQUEST_INVALID' });
  link.sendRaw(...encodeFrame(FRAME_KIND.cancel, 4_000));
  link.sendRaw(...encodeFrame(FRAME_KIND.objectStored, 4_000));
  link.sendRaw(...encodeFrame(FRAME_KIND.error, 4_000));
  t.ok((await describe(link)).developerMode, 'frames for calls that are over are ignored');
});

t.test('a call id in use cannot be used again', async (t) => {
  const link = await openLink();
  const { evaluation } = await makeKey(t, link);
  const ciphertext = await evaluation.encrypt(1n, 5, 2);
  const request = publicDecryptionRequest({
    ciphertexts: [{ ciphertext, fheType: 5, ciphertextFormat: 2, externalHandle: handleOf(1) }],
  });
  const frames = encodeCall(9, ENGINE_METHOD.publicDecrypt, EMPTY, toBinary(PublicDecryptionRequestSchema, request));
  link.sendRaw(Buffer.concat([...frames, ...frames]));
  t.match(await link.closed, { code: 'REQUEST_INVALID' });
});

t.test('random bytes never stop the engine', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 300 }), fc.boolean(), async (bytes, greet) => {
      const link = await EngineTestLink.open(await dial(), greet ? {} : 'none');
      link.sendRaw(bytes);
      link.close();
    }),
    { numRuns: 100 },
  );
  t.ok(await alive());
});

t.test('random mutations of a request fail that call alone', async (t) => {
  const link = await openLink();
  const request = toBinary(PublicDecryptionRequestSchema, publicDecryptionRequest());
  await fc.assert(
    fc.asyncProperty(fc.nat(request.byteLength - 1), fc.integer({ min: 1, max: 255 }), async (at, xor) => {
      const mutated = Uint8Array.from(request);
      mutated[at] = (mutated[at] ?? 0) ^ xor;
      for (const method of [ENGINE_METHOD.publicDecrypt, ENGINE_METHOD.userDecrypt, ENGINE_METHOD.keyGenPreproc]) {
        await link.call(method, mutated).catch((error: { code: string }) => {
          if (error.code === 'INTERNAL' || error.code === 'UNAVAILABLE') throw error;
        });
      }
    }),
    { numRuns: 200 },
  );
  t.ok((await describe(link)).developerMode);
});

t.test('more work than the limits allow is read later, and all of it is done', async (t) => {
  const { link: open } = await testEngine(t, { limits: { calls: 2, bytes: 1 << 30 } });
  const link = await open();
  const { evaluation } = await makeKey(t, link);
  const ciphertext = await evaluation.encrypt(1n, 5, 2);
  const request = publicDecryptionRequest({
    ciphertexts: [{ ciphertext, fheType: 5, ciphertextFormat: 2, externalHandle: handleOf(1) }],
  });
  const body = toBinary(PublicDecryptionRequestSchema, request);
  const answers = await Promise.all(Array.from({ length: 50 }, () => link.call(ENGINE_METHOD.publicDecrypt, body)));
  t.equal(answers.length, 50);
});

t.test('the status says what the engine is doing', async (t) => {
  const link = await openLink();
  const status = fromBinary(EngineStatusSchema, await link.call(ENGINE_METHOD.status));
  t.ok(status.residentBytes > 0n);
  t.equal(status.generating, '');
  t.ok(status.callsInFlight >= 1, 'this call');
});

t.test('too many links are refused, and room comes back', async (t) => {
  const { dial: dialOne } = await testEngine(t);
  const links = await Promise.all(Array.from({ length: 16 }, async () => EngineTestLink.open(await dialOne())));
  const tooMany = dialOne().then((stream) => EngineTestLink.open(stream));
  await t.rejects(tooMany, { code: /^(?:UNAVAILABLE|RESOURCE_EXHAUSTED|ATTESTATION_REJECTED)$/ });
  for (const link of links) link.close();
  await Promise.all(links.map(({ closed }) => closed));
  const again = await openWhenRoom(dialOne);
  t.ok((await describe(again)).developerMode);
  again.close();
});

t.test('the socket is for this user alone, in a folder for this user alone', async (t) => {
  t.equal(statSync(socketPath).mode & 0o777, 0o600);
  t.equal(statSync(dirname(socketPath)).mode & 0o777, 0o700);
});
