/** The rate limiter: weighted tokens, held until they are given back. */
import fc from 'fast-check';
import t from 'tap';
import { type LimitedOperation, openRateLimiter, type Permit } from '../../../parent/core/limits/rate-limiter.ts';

const LIMITS = { bucket_size: 100, pub_decrypt: 1, user_decrypt: 2, crsgen: 10, preproc: 50, keygen: 30, new_epoch: 0 };

t.test('takes the weight of an operation and gives it back once', async (t) => {
  const limiter = openRateLimiter(LIMITS);
  const [a, b] = [limiter.acquire('preproc'), limiter.acquire('preproc')];
  t.equal(limiter.used, 100);
  t.throws(() => limiter.acquire('pub_decrypt'), { code: 'RESOURCE_EXHAUSTED' });
  t.doesNotThrow(() => limiter.acquire('new_epoch').release(), 'what weighs nothing always fits');
  a.release();
  a.release();
  t.equal(limiter.used, 50, 'the second release does nothing');
  b.release();
  t.equal(limiter.used, 0);
});

t.test('never hands out more than the bucket holds', async (t) => {
  const operations: readonly LimitedOperation[] = ['pub_decrypt', 'user_decrypt', 'crsgen', 'preproc', 'keygen'];
  const step = fc.oneof(fc.constantFrom(...operations), fc.nat(20));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const limiter = openRateLimiter(LIMITS);
      const held: { permit: Permit; tokens: number }[] = [];
      const sum = (): number => held.reduce((total, { tokens }) => total + tokens, 0);
      for (const step of steps) {
        if (typeof step === 'number') held.splice(step, 1)[0]?.permit.release();
        else {
          const fits = sum() + LIMITS[step] <= LIMITS.bucket_size;
          try {
            held.push({ permit: limiter.acquire(step), tokens: LIMITS[step] });
            if (!fits) return false;
          } catch {
            if (fits) return false;
          }
        }
        if (limiter.used !== sum()) return false;
      }
      return true;
    }),
  );
  t.pass();
});
