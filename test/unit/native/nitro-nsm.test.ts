/**
 * The NSM device against a driver of the test's own: what the ioctl is given, what comes back, and what a broken or
 * hostile driver can do.
 */
import { constants } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { openNsm } from '../../../attestation/attester/nsm.ts';
import { makeDeveloperRoot } from '../../../attestation/developer/chain.ts';
import { createSoftwareNsm } from '../../../attestation/developer/software-nsm.ts';
import { verifyLiveDocument } from '../../../attestation/document/index.ts';
import { systemClock } from '../../../common/clock.ts';
import { loadNitro } from '../../../native/nitro/binding.ts';
import { openNsmDevice } from '../../../native/nitro/index.ts';
import { nsmDevice } from '../../../native/nitro/nsm-device.ts';
import { tempDir } from '../../helpers/temp-dir.ts';
import { type Driver, fakeDevice, fakeLibrary } from './nitro-fake.ts';

async function open(t: Parameters<typeof fakeDevice>[0], driver: Driver) {
  const { path, seen } = await fakeDevice(t, driver);
  const device = nsmDevice(fakeLibrary(), { path });
  t.teardown(() => device.close());
  return { device, seen };
}

const bytes = (...values: number[]) => Uint8Array.from(values);

t.test('a request goes through the one ioctl with the buffers the driver expects', async (t) => {
  const calls: unknown[] = [];
  const { device } = await open(t, (call) => {
    calls.push(call);
    return { bytes: bytes(1, 2, 3) };
  });
  t.same(await device.request(bytes(0xaa, 0xbb)), bytes(1, 2, 3));
  t.same(calls, [{ number: 0xc0200a00n, capacity: 0x3000, request: bytes(0xaa, 0xbb) }]);
});

t.test('requests and answers of the greatest size pass whole', async (t) => {
  const { device } = await open(t, ({ request }) => ({ bytes: new Uint8Array(0x3000).fill(request[4095] ?? 0) }));
  const answer = await device.request(new Uint8Array(0x1000).fill(7));
  t.same(answer, new Uint8Array(0x3000).fill(7));
});

t.test('a request that is empty or too long is refused before the device', async (t) => {
  const { device, seen } = await open(t, () => ({}));
  await t.rejects(device.request(bytes()), { code: 'REQUEST_INVALID' });
  await t.rejects(device.request(new Uint8Array(0x1001)), { code: 'REQUEST_INVALID' });
  for (const json of ['null', '"text"', '[1]', '{"length":5}']) {
    await t.rejects(device.request(JSON.parse(json)), { code: 'REQUEST_INVALID' }, json);
  }
  t.equal(seen.calls, 0);
});

t.test('requests run one at a time and in order, over one opened device', async (t) => {
  const order: number[] = [];
  const { device, seen } = await open(t, async ({ request }) => {
    await new Promise((resolve) => setImmediate(resolve));
    order.push(request[0] ?? -1);
    return { bytes: request };
  });
  const asked = [...Array(20).keys()];
  const answers = await Promise.all(asked.map((i) => device.request(bytes(i))));
  t.same(
    answers.map(([value]) => value),
    asked,
  );
  t.same(order, asked);
  t.equal(seen.mostAtOnce, 1);
  t.equal(seen.opens, 1);
});

t.test('the event loop runs on while the device thinks', async (t) => {
  let turns = 0;
  const { device } = await open(t, async () => {
    for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
    turns++;
    return { bytes: bytes(1) };
  });
  await device.request(bytes(1));
  t.equal(turns, 1, 'the driver itself lives on this loop');
});

t.test('the request is copied when the call is made', async (t) => {
  const { device } = await open(t, ({ request }) => ({ bytes: request }));
  const mine = bytes(1, 2, 3);
  const answer = device.request(mine);
  mine.fill(9);
  t.same(await answer, bytes(1, 2, 3));
});

t.test('an interrupted ioctl is made again with whole buffers', async (t) => {
  const capacities: number[] = [];
  const { device } = await open(t, ({ capacity }, n) => {
    capacities.push(capacity);
    return n < 3 ? { errno: constants.errno.EINTR, claimed: 5 } : { bytes: bytes(4) };
  });
  t.same(await device.request(bytes(1)), bytes(4));
  t.same(capacities, [0x3000, 0x3000, 0x3000, 0x3000]);
});

t.test('an answer shorter than what an earlier one left is cut to its length and holds nothing of it', async (t) => {
  const { device } = await open(t, (_, n) =>
    n === 0 ? { bytes: new Uint8Array(0x3000).fill(0xee) } : { bytes: bytes(1), claimed: 100 },
  );
  await device.request(bytes(1));
  const second = await device.request(bytes(1));
  t.equal(second.length, 100);
  t.same(second.subarray(1), new Uint8Array(99), 'what the driver did not write is zero');
  t.equal(second.buffer.byteLength, 100, 'and nothing lies behind it');
});

t.test('a driver that claims more than the buffer holds is refused', async (t) => {
  for (const claimed of [0x3001, 2n ** 32n, 2n ** 63n, 2n ** 64n - 1n]) {
    const { device } = await open(t, () => ({ bytes: bytes(1), claimed }));
    await t.rejects(device.request(bytes(1)), { code: 'UNAVAILABLE', facts: { errno: 'EOVERFLOW' } }, `${claimed}`);
  }
});

t.test('an empty answer is refused', async (t) => {
  const { device } = await open(t, () => ({}));
  await t.rejects(device.request(bytes(1)), { code: 'UNAVAILABLE' });
});

t.test('a failed ioctl is told with its errno, and the next request works', async (t) => {
  const { device } = await open(t, (_, n) =>
    n === 0 ? { errno: constants.errno.ENOTTY } : n === 1 ? { errno: constants.errno.EIO } : { bytes: bytes(1) },
  );
  await t.rejects(device.request(bytes(1)), { code: 'UNAVAILABLE', message: /not an NSM device/ });
  await t.rejects(device.request(bytes(1)), { code: 'UNAVAILABLE', facts: { errno: 'EIO' } });
  t.same(await device.request(bytes(1)), bytes(1));
});

t.test('an abort rejects at once, skips a waiting request, and lets a running one end', async (t) => {
  let release = () => {};
  const started = Promise.withResolvers<void>();
  const { device, seen } = await open(t, async (_, n) => {
    started.resolve();
    if (n === 0) await new Promise<void>((resolve) => (release = resolve));
    return { bytes: bytes(n) };
  });
  const running = new AbortController();
  const waiting = new AbortController();
  const first = device.request(bytes(1), running.signal);
  const second = device.request(bytes(2), waiting.signal);
  const third = device.request(bytes(3));
  await started.promise;
  running.abort();
  waiting.abort();
  await t.rejects(first, { code: 'CANCELLED' });
  await t.rejects(second, { code: 'CANCELLED' });
  await t.rejects(device.request(bytes(4), AbortSignal.abort()), { code: 'CANCELLED' });
  release();
  t.same(await third, bytes(1), 'the third is the second that the device saw');
  t.equal(seen.calls, 2);
  t.equal(seen.mostAtOnce, 1);
});

t.test('close waits for the running request, fails the waiting ones, and frees the descriptor', async (t) => {
  let release = () => {};
  const started = Promise.withResolvers<void>();
  const gone = Promise.withResolvers<void>();
  const { path, seen } = await fakeDevice(t, async () => {
    started.resolve();
    await new Promise<void>((resolve) => (release = resolve));
    return { bytes: bytes(5) };
  });
  const device = nsmDevice(fakeLibrary(), { path });
  const first = device.request(bytes(1));
  const second = device.request(bytes(2));
  second.catch(() => undefined);
  await started.promise;
  device.close();
  device.close();
  t.equal(seen.closed, 0, 'still open');
  await t.rejects(device.request(bytes(3)), { code: 'UNAVAILABLE', message: /closed/ });
  release();
  t.same(await first, bytes(5));
  await t.rejects(second, { code: 'UNAVAILABLE', message: /closed/ });
  const poll = () => (seen.closed === 1 ? gone.resolve() : void setImmediate(poll));
  poll();
  await gone.promise;
  t.equal(seen.calls, 1);
});

t.test('a device that is not there says so, and one that may not be opened, too', async (t) => {
  t.throws(() => openNsmDevice({ path: join(tempDir(t), 'nsm') }), { code: 'UNAVAILABLE', facts: { errno: 'ENOENT' } });
  t.throws(() => openNsmDevice({ path: tempDir(t) }), { code: 'UNAVAILABLE', facts: { errno: 'EISDIR' } });
  const refusing = { ...loadNitro(), openDevice: () => -constants.errno.EACCES };
  t.throws(() => nsmDevice(refusing, {}), { code: 'PERMISSION_DENIED' });
});

t.test('a character device that is no security module fails with its own message', async (t) => {
  const device = openNsmDevice({ path: '/dev/null' });
  t.teardown(() => device.close());
  await t.rejects(device.request(bytes(1)), { code: 'UNAVAILABLE', facts: { errno: 'ENOTTY' } });
});

t.test('the library that production loads has no seam', async (t) => {
  t.same(Object.keys(loadNitro()).sort(), ['openDevice', 'startRelay']);
});

t.test('a request of the wrong kind is an errno and not a crash', async (t) => {
  const { path } = await fakeDevice(t, () => ({ bytes: bytes(1) }));
  const device = fakeLibrary().openDevice(path);
  if (typeof device === 'number') throw new Error('does not open');
  const raw: (...args: unknown[]) => Promise<unknown> = device.request.bind(device) as never;
  t.equal(await raw(), -constants.errno.EINVAL);
  t.equal(await raw('text'), -constants.errno.EINVAL);
  t.equal(await raw(new Uint8Array(5000)), -constants.errno.E2BIG);
  device.close();
  device.close();
  t.equal(await raw(bytes(1)), -constants.errno.EBADF);
});

t.test('the whole request set works through the device, and documents verify', async (t) => {
  const root = makeDeveloperRoot({ nowMs: Date.now() });
  const pcrs = new Map([[0, new Uint8Array(48).fill(0xa0)]]);
  const moduleId = 'i-0123456789abcdef0-enc0123456789abcdef';
  const software = createSoftwareNsm({ root, platform: 'enclave', moduleId, pcrs, clock: systemClock });
  const { device } = await open(t, async ({ request }) => ({ bytes: await software.handle(request) }));
  const nsm = openNsm(device, 'nsm');
  t.match(await nsm.describe(), { moduleId, maxPcrs: 32, digest: 'SHA384' });
  t.equal((await nsm.random()).length, 256);
  t.same((await nsm.describePcr(0)).value, pcrs.get(0));
  const extended = await nsm.extendPcr(16, new Uint8Array(48).fill(1));
  t.same((await nsm.describePcr(16)).value, extended);
  await nsm.lockPcr(16);
  await t.rejects(nsm.extendPcr(16, new Uint8Array(48)), { code: 'STATE_INVALID' });
  await nsm.lockPcrs(32);
  t.equal((await nsm.describe()).lockedPcrs.length, 32);
  const fields = {
    publicKey: new Uint8Array(1024).fill(1),
    userData: new Uint8Array(512).fill(2),
    nonce: new Uint8Array(512).fill(3),
  };
  const document = await nsm.attest(fields);
  const anchor = { name: 'test', certificate: root.certificate };
  const verified = await verifyLiveDocument(document, { anchor, nowMs: Date.now() });
  t.equal(verified.pcrs.size, 32);
  t.same(verified.publicKey, fields.publicKey);
  t.same(verified.pcrs.get(16), extended);
});
