/** Opening out of hostile shares: in whatever order they come, right, named, and with few attempts. */
import fc from 'fast-check';
import t from 'tap';
import { isKmsError } from '../../../common/errors.ts';
import type { OpenDecryption } from '../../../enclave/threshold/kernels.ts';
import { ShareCollector } from '../../../enclave/threshold/share-collector.ts';

const SHARE_BYTES = 4;
/** What each party does: its share, another one, or one of another size. */
const WAYS = ['right', 'wrong', 'short'] as const;

const hostile = fc.integer({ min: 1, max: 4 }).chain((threshold) => {
  const n = 3 * threshold + 1;
  const others = Array.from({ length: n - 1 }, (_, index) => index + 2);
  return fc.record({
    threshold: fc.constant(threshold),
    order: fc.shuffledSubarray(others, { minLength: n - 1 }),
    ways: fc.array(fc.constantFrom(...WAYS), { minLength: n + 1, maxLength: n + 1 }),
    /** How many are here before this party's own share is made. */
    early: fc.nat(n - 1),
  });
});

/** Opens as the decoder does, one kind of right share being one codeword, and counts how often it is asked. */
function counted(threshold: number): { open: OpenDecryption; attempts: () => number } {
  let attempts = 0;
  const open: OpenDecryption = async ({ contributions }) => {
    attempts += 1;
    const liars = [...contributions].filter(([, share]) => share[0] !== 1).map(([party]) => party);
    const agree = contributions.size - liars.length;
    return agree >= 2 * threshold + 1 ? { plaintext: Uint8Array.of(7), liars } : undefined;
  };
  return { open, attempts: () => attempts };
}

const shareOf = (way: (typeof WAYS)[number] | undefined): Uint8Array =>
  new Uint8Array(way === 'short' ? SHARE_BYTES - 1 : SHARE_BYTES).fill(way === 'wrong' ? 2 : 1);

t.test(
  'whatever comes in whatever order, a value is decoded at most t + 1 times, and who is named has lied',
  async (t) => {
    await fc.assert(
      fc.asyncProperty(hostile, async ({ threshold, order, ways, early }) => {
        const n = 3 * threshold + 1;
        const { open, attempts } = counted(threshold);
        const named = new Set<number>();
        const collector = new ShareCollector({
          me: 1,
          n,
          t: threshold,
          items: [{ fheType: 0, format: 0 }],
          open,
          onLiar: (party) => named.add(party),
          onOpened: () => undefined,
          lateTurn: () => false,
        });
        for (const [at, party] of order.entries()) {
          if (at === early) collector.begin([shareOf('right')]);
          collector.add(party, shareOf(ways[party]));
          await new Promise((resolve) => setImmediate(resolve));
        }
        collector.begin([shareOf('right')]);
        await new Promise((resolve) => setImmediate(resolve));
        const liars = order.filter((party) => ways[party] !== 'right');
        const outcome = await collector.opened.catch((error: unknown) => isKmsError(error, 'TASK_FAILED') && 'failed');
        const expected = liars.length > threshold ? 'failed' : [Uint8Array.of(7)];
        t.strictSame(outcome, expected);
        t.ok(attempts() <= threshold + 1, `${attempts()} attempts`);
        t.ok(
          [...named].every((party) => liars.includes(party)),
          'whoever is named has lied',
        );
      }),
      { numRuns: 300 },
    );
  },
);
