import fc from 'fast-check';
import t from 'tap';
import { openNsm } from '../../../../attestation/attester/nsm.ts';
import { decodeStrict, encodeCanonical } from '../../../../attestation/cbor.ts';
import { makeDeveloperRoot } from '../../../../attestation/developer/chain.ts';
import { extendedPcr, zeroPcr } from '../../../../attestation/developer/registers.ts';
import { createSoftwareNsm } from '../../../../attestation/developer/software-nsm.ts';
import { verifyArchivedDocument, verifyLiveDocument } from '../../../../attestation/document/index.ts';
import { equalBytes, toHex } from '../../../../common/bytes.ts';
import type { Clock } from '../../../../common/clock.ts';
import { mutate, seededRandom } from '../../../helpers/mutate.ts';
import { directTransport, startTestAttester } from '../../../helpers/software-nsm.ts';

const NOW_MS = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
const HOUR_MS = 3_600_000;
const ROOT = makeDeveloperRoot({ nowMs: NOW_MS });

/** A clock that stands until it is moved. */
function movableClock(startMs = NOW_MS): Clock & { move(ms: number): void } {
  let nowMs = startMs;
  return {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    move: (ms) => {
      nowMs += ms;
    },
  };
}

t.test('a new enclave has 32 registers, of which 0 to 15 are locked', async (t) => {
  const { nsm, moduleId, pcrs } = await startTestAttester({ role: 'engine', clock: movableClock() });
  t.strictSame(await nsm.describe(), {
    moduleId,
    maxPcrs: 32,
    lockedPcrs: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    digest: 'SHA384',
    version: '1.0.0',
  });
  t.strictSame(await nsm.describePcr(0), { locked: true, value: pcrs.get(0) });
  t.strictSame(await nsm.describePcr(3), { locked: true, value: zeroPcr() }, 'no role');
  t.strictSame(await nsm.describePcr(16), { locked: false, value: zeroPcr() });
  const instance = extendedPcr(zeroPcr(), new TextEncoder().encode('i-0123456789abcdef0'));
  t.strictSame((await nsm.describePcr(4)).value, instance, 'the instance is measured as the hypervisor does it');
});

t.test('free registers are extended until they are locked; the fixed ones never are', async (t) => {
  const { nsm } = await startTestAttester({ role: 'engine' });
  const first = await nsm.extendPcr(16, Uint8Array.of(1));
  t.strictSame(first, extendedPcr(zeroPcr(), Uint8Array.of(1)));
  t.strictSame(await nsm.extendPcr(16, Uint8Array.of(2)), extendedPcr(first, Uint8Array.of(2)));
  await nsm.lockPcr(16);
  const readOnly = { code: 'STATE_INVALID', facts: { deviceError: 'ReadOnlyIndex' } };
  await t.rejects(nsm.extendPcr(16, Uint8Array.of(3)), readOnly);
  await t.rejects(nsm.lockPcr(16), readOnly, 'locking twice');
  for (const index of [0, 4, 15])
    await t.rejects(nsm.extendPcr(index, Uint8Array.of(3)), readOnly, `register ${index}`);
  await nsm.lockPcrs(32);
  await nsm.lockPcrs(32);
  for (const index of [17, 31]) await t.rejects(nsm.extendPcr(index, Uint8Array.of(3)), readOnly, `register ${index}`);
});

t.test('an index beyond the last register is refused', async (t) => {
  const { nsm } = await startTestAttester({ role: 'engine' });
  const refused = { code: 'REQUEST_INVALID', facts: { deviceError: 'InvalidIndex' } };
  await t.rejects(nsm.describePcr(32), refused);
  await t.rejects(nsm.extendPcr(32, Uint8Array.of(1)), refused);
  await t.rejects(nsm.lockPcr(255), refused);
  await t.rejects(nsm.lockPcrs(33), refused);
  t.equal((await nsm.describe()).lockedPcrs.length, 16, 'a refused range locks nothing');
  await nsm.lockPcrs(0);
  t.equal((await nsm.describe()).lockedPcrs.length, 16, 'an empty range locks nothing');
});

t.test('a document shows the locked registers: 16, 17 with the charter locked, 32 with all', async (t) => {
  const clock = movableClock();
  const { nsm, anchor, pcrs } = await startTestAttester({ role: 'engine', clock });
  const shown = async () => (await verifyLiveDocument(await nsm.attest({}), { anchor, nowMs: clock.nowMs() })).pcrs;
  await nsm.extendPcr(16, Uint8Array.of(1));
  t.equal((await shown()).size, 16, 'an extended register is not shown before it is locked');
  await nsm.lockPcr(16);
  t.strictSame((await shown()).get(16), extendedPcr(zeroPcr(), Uint8Array.of(1)));
  t.equal((await shown()).size, 17);
  await nsm.lockPcrs(32);
  const all = await shown();
  t.equal(all.size, 32);
  for (const [index, value] of pcrs) t.strictSame(all.get(index), value, `register ${index}`);
});

t.test('a TPM shows its 24 registers and lets nobody extend them', async (t) => {
  const clock = movableClock();
  const { nsm, anchor, pcrs, moduleId } = await startTestAttester({ role: 'core', clock });
  t.match(await nsm.describe(), { moduleId, maxPcrs: 24 });
  const document = await verifyLiveDocument(await nsm.attest({}), { anchor, nowMs: clock.nowMs() });
  t.equal(document.platform, 'nitro-tpm');
  t.match(moduleId, /^i-[0-9a-f]{17}-tpm0{16}$/);
  t.equal(document.instanceId, 'i-0123456789abcdef0');
  t.equal(document.pcrs.size, 24);
  for (const [index, value] of pcrs) t.strictSame(document.pcrs.get(index), value, `register ${index}`);
  t.strictSame(document.pcrs.get(17), new Uint8Array(48).fill(0xff), 'registers that nothing measured into hold ones');
  for (const index of [0, 16, 23]) {
    await t.rejects(nsm.extendPcr(index, Uint8Array.of(1)), { code: 'STATE_INVALID' }, `register ${index}`);
  }
});

t.test('documents verify, carry what was asked, and null where nothing was', async (t) => {
  const clock = movableClock();
  const { nsm, anchor, moduleId } = await startTestAttester({ role: 'engine', clock });
  const fields = {
    publicKey: new Uint8Array(1024).fill(1),
    userData: new Uint8Array(512).fill(2),
    nonce: new Uint8Array(512).fill(3),
  };
  const raw = await nsm.attest(fields);
  t.ok(raw.byteLength < 0x3000, `${raw.byteLength} bytes`);
  const full = await verifyLiveDocument(raw, { anchor, nowMs: clock.nowMs() });
  t.match({ ...fields }, { publicKey: full.publicKey, userData: full.userData, nonce: full.nonce });
  t.equal(full.moduleId, moduleId);
  t.equal(full.timestampMs, NOW_MS);
  t.equal(full.certificates, 5, 'root, region, zonal, instance, leaf');
  const bare = payloadOf(await nsm.attest({}));
  for (const name of ['public_key', 'user_data', 'nonce']) t.equal(bare.get(name), null, name);
  const empty = payloadOf(await nsm.attest({ nonce: new Uint8Array(0) }));
  t.strictSame(empty.get('nonce'), new Uint8Array(0), 'empty is not null');
});

t.test('both encodings of the map can be had, and tell the same', async (t) => {
  const clock = movableClock();
  for (const [map, head] of [
    ['indefinite', 0xbf],
    ['definite', 0xa9],
  ] as const) {
    const { nsm, anchor } = await startTestAttester({ role: 'engine', clock, form: { map } });
    const raw = await nsm.attest({ nonce: Uint8Array.of(1) });
    t.equal(payloadBytes(raw)[0], head, map);
    t.strictSame((await verifyLiveDocument(raw, { anchor, nowMs: clock.nowMs() })).nonce, Uint8Array.of(1), map);
  }
});

t.test('a certificate of three hours is reused, then renewed while it is still good', async (t) => {
  const clock = movableClock();
  const root = makeDeveloperRoot({ nowMs: NOW_MS - 24 * HOUR_MS });
  const { nsm, anchor } = await startTestAttester({ role: 'engine', clock, root });
  const leaf = async () => toHex(payloadBytesOf(await nsm.attest({}), 'certificate'));
  const first = await leaf();
  clock.move(6_017_000);
  t.equal(await leaf(), first, 'after 6017 s, as real devices were seen to do');
  clock.move(1_000_000);
  const old = await nsm.attest({});
  t.not(await leaf(), first, 'before the third hour is over');
  const verified = await verifyLiveDocument(old, { anchor, nowMs: clock.nowMs() });
  t.ok(verified.notAfterMs - clock.nowMs() > HOUR_MS, 'a new one has most of its life before it');
  t.ok(verified.notAfterMs - verified.notBeforeMs <= 3 * HOUR_MS, 'three hours');
  clock.move(-3 * HOUR_MS);
  await verifyLiveDocument(await nsm.attest({}), { anchor, nowMs: clock.nowMs() });
  t.pass('a clock that goes back gets a certificate of its own time');
});

t.test('fields beyond a document’s limits are InputTooLarge', async (t) => {
  const { device } = await startTestAttester({ role: 'engine' });
  for (const [name, sizeBytes] of [
    ['user_data', 513],
    ['nonce', 513],
    ['public_key', 1025],
  ] as const) {
    const request = encodeCanonical(new Map([['Attestation', new Map([[name, new Uint8Array(sizeBytes)]])]]));
    const answer = decodeStrict(await device.handle(request), { maxBytes: 100, maxDepth: 2 });
    t.strictSame(answer, new Map([['Error', 'InputTooLarge']]), name);
  }
});

t.test('the hook runs before each document; what it returns stands in the fixed registers', async (t) => {
  const clock = movableClock();
  const root = makeDeveloperRoot({ nowMs: NOW_MS });
  const faults: unknown[] = [];
  let next: () => Promise<ReadonlyMap<number, Uint8Array> | undefined> = async () => undefined;
  const device = createSoftwareNsm({
    root,
    platform: 'enclave',
    moduleId: 'i-0123456789abcdef0-enc0123456789abcdef',
    pcrs: new Map([[0, new Uint8Array(48).fill(1)]]),
    clock,
    beforeAttest: () => next(),
    onFault: (error) => faults.push(error),
  });
  const nsm = openNsm(directTransport(device), 'developer');
  const anchor = { name: 'root', certificate: root.certificate };
  const shown = async () => (await verifyArchivedDocument(await nsm.attest({}), { anchor })).pcrs.get(0);
  t.strictSame(await shown(), new Uint8Array(48).fill(1));
  next = async () => new Map([[0, new Uint8Array(48).fill(2)]]);
  t.strictSame(await shown(), new Uint8Array(48).fill(2));
  next = () => Promise.reject(new Error('disk on fire'));
  await t.rejects(nsm.attest({}), { code: 'UNAVAILABLE', facts: { deviceError: 'InternalError' } });
  t.match(faults, [{ message: 'disk on fire' }], 'the owner learns why, who asked does not');
  await nsm.describe();
  t.pass('and the device goes on');
});

t.test('a register that is not fixed cannot be given', async (t) => {
  const root = makeDeveloperRoot({ nowMs: NOW_MS });
  const make = (platform: 'enclave' | 'nitro-tpm', index: number, sizeBytes = 48) => {
    const pcrs = new Map([[index, new Uint8Array(sizeBytes)]]);
    return () => createSoftwareNsm({ root, platform, moduleId: 'i-1', pcrs, clock: movableClock() });
  };
  t.throws(make('enclave', 16), RangeError);
  t.throws(make('nitro-tpm', 24), RangeError);
  t.throws(make('enclave', 0, 32), RangeError, 'a register of another hash');
});

t.test('randomness is 256 bytes and never the same', async (t) => {
  const { nsm } = await startTestAttester({ role: 'engine' });
  const [a, b] = [await nsm.random(), await nsm.random()];
  t.equal(a.byteLength, 256);
  t.notSame(a, b);
});

t.test('requests that come together are served in order', async (t) => {
  const { nsm } = await startTestAttester({ role: 'engine' });
  const [one, document, two] = await Promise.all([
    nsm.extendPcr(16, Uint8Array.of(1)),
    nsm.attest({}),
    nsm.extendPcr(16, Uint8Array.of(2)),
  ]);
  t.strictSame(two, extendedPcr(one, Uint8Array.of(2)));
  t.ok(document.byteLength > 3000);
});

t.test('registers keep their rules under any order of requests', async (t) => {
  const index = fc.nat({ max: 34 });
  const step = fc.oneof(
    fc.record({ kind: fc.constant('extend' as const), index }),
    fc.record({ kind: fc.constant('lock' as const), index }),
    fc.record({ kind: fc.constant('range' as const), index }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
      const { nsm } = await startTestAttester({ role: 'engine', root: ROOT });
      const locked = new Set(Array.from({ length: 16 }, (_, i) => i));
      const values = new Map<number, Uint8Array>();
      for (const { kind, index } of steps) {
        const known = kind === 'range' ? index <= 32 : index < 32;
        const allowed = known && (kind === 'range' || !locked.has(index));
        const done = async () => {
          if (kind === 'extend') values.set(index, await nsm.extendPcr(index, Uint8Array.of(index)));
          else if (kind === 'lock') await nsm.lockPcr(index);
          else await nsm.lockPcrs(index);
          return true;
        };
        if ((await done().catch(() => false)) !== allowed) return false;
        if (allowed && kind === 'lock') locked.add(index);
        if (allowed && kind === 'range') for (let i = 0; i < index; i++) locked.add(i);
      }
      const { lockedPcrs } = await nsm.describe();
      const kept = await Promise.all(
        [...values].map(async ([i, value]) => equalBytes((await nsm.describePcr(i)).value, value)),
      );
      return kept.every(Boolean) && [...locked].sort((a, b) => a - b).join() === lockedPcrs.join();
    }),
  );
  t.pass('1 property');
});

t.test('any request is answered, within the device’s buffer, and hurts nothing', async (t) => {
  const { device, nsm } = await startTestAttester({ role: 'engine' });
  const answers = async (request: Uint8Array) => {
    const size = (await device.handle(request)).byteLength;
    return size > 0 && size <= 0x3000;
  };
  await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), answers));
  const random = seededRandom(1);
  const good = encodeCanonical(new Map([['DescribePCR', new Map([['index', 16]])]]));
  const other = encodeCanonical(new Map([['ExtendPCR', new Map([['index', 16]])]]));
  let answered = 0;
  for (let i = 0; i < 5_000; i++) if (await answers(mutate(random, good, other))) answered++;
  t.equal(answered, 5_000, 'mutated requests');
  t.ok(await answers(new Uint8Array(1_000_000)), 'a megabyte');
  t.ok(await answers(new Uint8Array(0x1000).fill(0x81)), 'nested as deep as a request is long');
  t.match(await nsm.describe(), { digest: 'SHA384' });
});

function payloadBytes(document: Uint8Array): Uint8Array {
  const cose = decodeStrict(document, { maxBytes: 0x3000, maxDepth: 2 });
  const payload: unknown = Array.isArray(cose) ? cose[2] : undefined;
  if (!(payload instanceof Uint8Array)) throw new Error('no payload');
  return payload;
}

function payloadOf(document: Uint8Array): ReadonlyMap<unknown, unknown> {
  const payload = decodeStrict(payloadBytes(document), { maxBytes: 0x3000, maxDepth: 3, allowIndefinite: true });
  if (!(payload instanceof Map)) throw new Error('no map');
  return payload;
}

function payloadBytesOf(document: Uint8Array, name: string): Uint8Array {
  const value = payloadOf(document).get(name);
  if (!(value instanceof Uint8Array)) throw new Error(`no ${name}`);
  return value;
}
