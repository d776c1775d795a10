import { closeSync, openSync } from 'node:fs';
import { Duplex, duplexPair } from 'node:stream';
import t from 'tap';
import type { NsmTransport } from '../../../../attestation/attester/attester.ts';
import { openNsm } from '../../../../attestation/attester/nsm.ts';
import { decodeNsmResponse, encodeNsmRequest } from '../../../../attestation/attester/nsm-codec.ts';
import { FrameReader, frame } from '../../../../attestation/developer/nsm-frames.ts';
import { openInheritedNsm, serveNsm, streamTransport } from '../../../../attestation/developer/nsm-link.ts';
import { concatBytes } from '../../../../common/bytes.ts';
import { startTestAttester } from '../../../helpers/software-nsm.ts';

const bytes = (...values: number[]) => Uint8Array.from(values);

/** A device at the far end of a stream that answers when the test says so. */
function manualDevice(timeoutMs = 5_000) {
  const [near, far] = duplexPair();
  const reader = new FrameReader(0x1000);
  const asked: Uint8Array[] = [];
  let wake = () => {};
  far.on('data', (chunk: Uint8Array) => {
    reader.push(chunk);
    for (let next = reader.next(); next !== undefined; next = reader.next()) asked.push(next);
    wake();
  });
  far.on('error', () => {});
  const transport: NsmTransport = streamTransport(near, { timeoutMs });
  const seen = async (count: number): Promise<void> => {
    while (asked.length < count) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  return { transport, asked, seen, far, answer: (answer: Uint8Array) => far.write(frame(answer)) };
}

t.test('a module is served over a stream, whatever the size of the chunks', async (t) => {
  const { device, moduleId } = await startTestAttester({ role: 'engine' });
  const [near, far] = duplexPair();
  serveNsm(far, device);
  const nsm = openNsm(streamTransport(near), 'developer');
  t.teardown(() => nsm.close());
  const all = await Promise.all([nsm.describe(), nsm.attest({}), nsm.extendPcr(16, bytes(1)), nsm.random()]);
  t.equal(all[0].moduleId, moduleId);
  t.ok(all[1].byteLength > 3000);
  t.equal(all[3].byteLength, 256);

  const [slow, other] = duplexPair();
  serveNsm(other, device);
  const answers = new FrameReader(0x3000);
  const answered = new Promise<Uint8Array>((resolve) => {
    slow.on('data', (chunk: Uint8Array) => {
      answers.push(chunk);
      const next = answers.next();
      if (next !== undefined) resolve(next);
    });
  });
  for (const byte of frame(encodeNsmRequest({ kind: 'GetRandom' }))) slow.write(bytes(byte));
  t.equal(decodeNsmResponse(await answered).kind, 'GetRandom', 'a request that comes byte by byte');
});

t.test('one request is on the wire at a time', async (t) => {
  const { transport, asked, seen, answer } = manualDevice();
  const first = transport.request(bytes(1));
  const second = transport.request(bytes(2));
  await seen(1);
  t.strictSame(asked, [bytes(1)], 'the second waits');
  answer(bytes(11));
  t.strictSame(await first, bytes(11));
  await seen(2);
  answer(bytes(12));
  t.strictSame(await second, bytes(12));
  transport.close();
});

t.test('a slow device is given up, and its late answer meets no other request', async (t) => {
  const { transport, seen, answer } = manualDevice(1_000);
  await t.rejects(transport.request(bytes(1)), { code: 'UNAVAILABLE', facts: { timeoutMs: 1000 } });
  await t.rejects(transport.request(bytes(2)), { code: 'UNAVAILABLE' }, 'one that waits behind it');
  const third = transport.request(bytes(3));
  answer(bytes(11));
  await seen(2);
  answer(bytes(13));
  t.strictSame(await third, bytes(13), 'the answer to the first was thrown away, the second was never sent');
  transport.close();
});

t.test('a request can be cancelled before and while it waits', async (t) => {
  const { transport, asked, seen, answer } = manualDevice();
  await t.rejects(transport.request(bytes(0), AbortSignal.abort()), { code: 'CANCELLED' });
  const cancel = new AbortController();
  const first = transport.request(bytes(1), cancel.signal);
  await seen(1);
  cancel.abort();
  await t.rejects(first, { code: 'CANCELLED' });
  const second = transport.request(bytes(2));
  answer(bytes(11));
  await seen(2);
  answer(bytes(12));
  t.strictSame(await second, bytes(12));
  t.strictSame(asked, [bytes(1), bytes(2)], 'what was cancelled before its turn is never sent');
  transport.close();
});

t.test('requests do not pile up behind a device that hangs', async (t) => {
  const { transport } = manualDevice(200);
  const many = Array.from({ length: 100 }, (_, i) => transport.request(bytes(i)));
  const codes = (await Promise.allSettled(many)).map((r) => (r.status === 'rejected' ? r.reason.code : 'answered'));
  t.equal(codes.filter((code) => code === 'RESOURCE_EXHAUSTED').length, 35, 'one asks, 64 wait');
  t.equal(codes.filter((code) => code === 'UNAVAILABLE').length, 65);
  await t.rejects(transport.request(bytes(1)), { code: 'UNAVAILABLE' }, 'those given up leave their places');
  transport.close();
});

t.test('a device that is gone fails everything at once', async (t) => {
  for (const [how, leave] of [
    ['ends', (far: Duplex) => far.end()],
    ['is destroyed', (far: Duplex) => far.destroy()],
    ['breaks', (far: Duplex) => far.destroy(new Error('reset'))],
  ] as const) {
    const { transport, far, seen } = manualDevice();
    const both = [transport.request(bytes(1)), transport.request(bytes(2))].map((request) =>
      t.rejects(request, { code: 'UNAVAILABLE' }, how),
    );
    await seen(1);
    leave(far);
    await Promise.all(both);
    await t.rejects(transport.request(bytes(3)), { code: 'UNAVAILABLE' }, 'later, too');
  }
  const [dead] = duplexPair();
  dead.destroy();
  await t.rejects(streamTransport(dead).request(bytes(1)), { code: 'UNAVAILABLE' }, 'before it was asked');
});

t.test('a device that answers too much, or unasked, is not believed any more', async (t) => {
  const tooLong = manualDevice();
  const asked = tooLong.transport.request(bytes(1));
  await tooLong.seen(1);
  tooLong.far.write(bytes(0xff, 0xff, 0xff, 0x7f));
  await t.rejects(asked, { code: 'ATTESTATION_INVALID' }, 'two gigabytes are not waited for');
  await t.rejects(tooLong.transport.request(bytes(1)), { code: 'ATTESTATION_INVALID' });

  const unasked = manualDevice();
  const first = unasked.transport.request(bytes(1));
  await unasked.seen(1);
  unasked.far.write(concatBytes(frame(bytes(1)), frame(bytes(2))));
  t.strictSame(await first, bytes(1));
  await t.rejects(unasked.transport.request(bytes(1)), { code: 'ATTESTATION_INVALID' });
});

t.test('a child that sends too long a frame is told so and cut off', async (t) => {
  const { device } = await startTestAttester({ role: 'engine' });
  const [near, far] = duplexPair();
  serveNsm(far, device);
  const reader = new FrameReader(0x3000);
  near.on('data', (chunk: Uint8Array) => reader.push(chunk));
  const ended = new Promise((resolve) => near.once('end', resolve));
  near.write(bytes(0xff, 0xff, 0xff, 0xff, 1, 2, 3));
  await ended;
  const answer = reader.next();
  t.strictSame(answer && decodeNsmResponse(answer), { kind: 'Error', error: 'InputTooLarge' });
});

t.test('a child that writes without reading is not read from', async (t) => {
  let served = 0;
  let written = 0;
  const request = frame(encodeNsmRequest({ kind: 'GetRandom' }));
  // Its writes never end: the child does not take the answers.
  const stream = new Duplex({
    read() {
      if (written++ < 100_000) this.push(Buffer.from(request));
    },
    write() {},
  });
  const first = new Promise<void>((resolve) => {
    serveNsm(stream, {
      handle: async () => {
        served++;
        resolve();
        return bytes(1);
      },
    });
  });
  await first;
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  t.equal(served, 1, 'one request is served until its answer was taken');
  t.ok(written < 5_000, `${written} requests were read`);
  stream.destroy();
});

t.test('a request longer than the device takes is not sent', async (t) => {
  const { transport, asked } = manualDevice();
  await t.rejects(transport.request(new Uint8Array(0x1001)), { code: 'REQUEST_INVALID' });
  t.equal(asked.length, 0);
  transport.close();
});

t.test('a process without a supervisor is told what is missing', async (t) => {
  const file = openSync(import.meta.filename, 'r');
  t.teardown(() => closeSync(file));
  for (const fd of [0x7fff, file]) {
    t.throws(() => openInheritedNsm(fd), { code: 'UNAVAILABLE', facts: { fd, cure: /arca dev/ } }, `descriptor ${fd}`);
  }
});
