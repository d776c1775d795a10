/**
 * Errors, bytes, randomness, clock and word distance: what everything else leans on.
 */
import fc from 'fast-check';
import t from 'tap';
import { concatBytes, equalBytes, fromHex, toHex } from '../../../common/bytes.ts';
import { systemClock } from '../../../common/clock.ts';
import { ERROR_STATUS, isErrorCode, isKmsError, KmsError, systemErrorCode } from '../../../common/errors.ts';
import { nearest } from '../../../common/nearest.ts';
import { systemRandom } from '../../../common/random.ts';

t.test('every code maps to a gRPC status that is no success', async (t) => {
  for (const [code, status] of Object.entries(ERROR_STATUS)) {
    t.ok(Number.isInteger(status) && status >= 1 && status <= 16, code);
    t.ok(isErrorCode(code), code);
  }
  for (const word of ['', 'OK', 'toString', '__proto__', 'request_invalid']) t.notOk(isErrorCode(word), word);
});

t.test('an error keeps its code, facts and cause', async (t) => {
  const cause = new Error('below');
  const error = new KmsError('NOT_FOUND', 'no such key', { keyId: 'aa' }, cause);
  t.match(error, { name: 'KmsError', code: 'NOT_FOUND', message: 'no such key', facts: { keyId: 'aa' }, cause });
  t.notOk('cause' in new KmsError('ABORTED', 'aborted'), 'no cause where there is none');
  t.ok(isKmsError(error) && isKmsError(error, 'NOT_FOUND') && !isKmsError(error, 'ABORTED') && !isKmsError(cause));
});

t.test('a system error is told by its code', async (t) => {
  t.equal(systemErrorCode(Object.assign(new Error('x'), { code: 'ENOENT' })), 'ENOENT');
  for (const other of [new Error('x'), { code: 'ENOENT' }, undefined, Object.assign(new Error('x'), { code: 5 })]) {
    t.equal(systemErrorCode(other), undefined);
  }
});

t.test('hex text and bytes map onto each other', async (t) => {
  const property = fc.property(fc.uint8Array(), (bytes) => {
    const back = fromHex(toHex(bytes).toUpperCase());
    return equalBytes(back, bytes) && back.buffer.byteLength === back.byteLength && toHex(bytes) === toHex(back);
  });
  fc.assert(property);
  t.equal(toHex(Uint8Array.of(1, 2, 3, 255).subarray(1, 3)), '0203', 'a view shows its own bytes only');
  for (const bad of ['a', '0x00', 'zz', '00 ', ' 00', '0\u0660']) {
    t.throws(() => fromHex(bad), { code: 'REQUEST_INVALID' }, JSON.stringify(bad));
  }
});

t.test('parts are put together and compared', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array()), (parts) =>
      equalBytes(concatBytes(...parts), Uint8Array.from(parts.flatMap((part) => [...part]))),
    ),
  );
  t.notOk(equalBytes(Uint8Array.of(1), Uint8Array.of(1, 0)));
  t.notOk(equalBytes(Uint8Array.of(1), Uint8Array.of(2)));
  t.ok(equalBytes(new Uint8Array(0), Buffer.alloc(0)));
});

t.test('random bytes are as many as asked for, lie alone in their buffer, and differ', async (t) => {
  const [a, b] = [systemRandom(32), systemRandom(32)];
  t.equal(a.byteLength, 32);
  t.equal(a.buffer.byteLength, 32, 'not a slice of a shared pool');
  t.notOk(equalBytes(a, b));
  t.equal(systemRandom(0).byteLength, 0);
});

t.test('the clock tells wall time, and a monotonic time that never goes back', async (t) => {
  t.ok(Math.abs(systemClock.nowMs() - Date.now()) < 1000);
  const before = systemClock.monotonicMs();
  t.ok(systemClock.monotonicMs() >= before);
});

t.test('the nearest word is the one with the fewest slips, or none', async (t) => {
  const words = ['listen_port', 'listen_address', 'timeout_secs'];
  const cases = [
    ['listen_prot', 'listen_port'],
    ['lisen_port', 'listen_port'],
    ['LISTEN_PORT', 'listen_port'],
    ['listen_adress', 'listen_address'],
    ['timeout_sec', 'timeout_secs'],
    ['timeout', undefined],
    ['', undefined],
    ['x'.repeat(10_000), undefined],
  ] as const;
  for (const [word, expected] of cases) t.equal(nearest(word, words), expected, word.slice(0, 20));
});
