/** Dealers who deal what does not fit: the parties repair it among themselves, or throw the dealer out, and always agree. */
import t from 'tap';
import type { Arithmetic } from '../../enclave/mpc/arithmetic.ts';
import { shareVerifiably } from '../../enclave/mpc/protocols/verifiable-sharing.ts';
import { inRounds, STRATEGIES } from '../helpers/misbehaviour.ts';
import { SimNetwork, type Strategy, simRandom } from '../helpers/sim-network.ts';
import { type SmallVector, smallRing } from '../helpers/small-ring.ts';

interface Outcome {
  readonly shares: readonly SmallVector[];
  readonly corrupt: readonly number[];
}

/** An arithmetic whose dealer gives rows (or columns) of random numbers to some parties. */
function crooked(ring: Arithmetic<SmallVector>, what: 'rows' | 'columns', victims: readonly number[]) {
  return {
    ...ring,
    shareBivariate: (secret: SmallVector, n: number, threshold: number) => {
      const dealt = ring.shareBivariate(secret, n, threshold);
      const changed = dealt[what].map((list, index) =>
        victims.includes(index + 1) ? list.map(({ length }) => ring.random(length)) : list,
      );
      return { ...dealt, [what]: changed };
    },
  };
}

/** Runs the sharing with one crooked dealer, the last party, and returns what honest parties have. */
async function share(
  n: number,
  threshold: number,
  seed: number,
  bend: typeof crooked,
  ...how: [what: 'rows' | 'columns', victims: readonly number[], then?: Strategy]
) {
  const [what, victims, then = (frame) => [frame]] = how;
  const random = simRandom(`crooked ${seed}`);
  const ring = smallRing(random.bytes);
  const network = new SimNetwork({ n, t: threshold, seed, liars: new Map([[n, then]]) });
  const results = await network.run(async (session): Promise<Outcome> => {
    const mine = session.me === n ? bend(ring, what, victims) : ring;
    const shares = await shareVerifiably(session, mine, ring.decode(random.bytes(32)));
    return { shares, corrupt: [...session.corrupt] };
  });
  const outcomes = [...results.values()].map((result): Outcome => {
    if (result instanceof Error) throw new Error(`seed ${seed}: ${result.stack}`);
    return result;
  });
  for (let dealer = 0; dealer < n; dealer++) {
    const shares = new Map([...results.keys()].map((party, i) => [party, outcomes[i]?.shares[dealer] ?? ring.zero(2)]));
    const opened = await ring.open({ degree: threshold, n, maxErrors: 0, shares });
    if (!opened) throw new Error(`seed ${seed}: the shares of dealer ${dealer + 1} are not of degree t`);
  }
  return { ring, outcomes, corrupt: outcomes.map(({ corrupt }) => corrupt) };
}

/** Deals garbage to some parties, and says later what it would have said. */
const spoils =
  (victims: readonly number[]): Strategy =>
  (frame, random, all) =>
    frame.round === 1 && victims.includes(frame.to) ? (STRATEGIES.garbage?.(frame, random, all) ?? []) : [frame];

t.test('up to t parties with wrong rows are given theirs in public, and the dealer stays', async (t) => {
  for (const [n, threshold, victims] of [
    [4, 1, [1]],
    [7, 2, [2]],
    [7, 2, [1, 5]],
    [13, 4, [1, 2, 3, 4]],
  ] as const) {
    const { corrupt, outcomes } = await share(n, threshold, n, crooked, 'rows', [], spoils(victims));
    t.same(
      corrupt,
      outcomes.map(() => []),
      `${n} parties, victims ${victims}`,
    );
  }
});

t.test('a dealer whom more than t parties contradict has shared zero', async (t) => {
  for (const [n, threshold, victims] of [
    [4, 1, [1, 2]],
    [7, 2, [1, 2, 3]],
    [7, 2, [1, 2, 3, 4, 5, 6]],
  ] as const) {
    const { corrupt, outcomes, ring } = await share(n, threshold, n, crooked, 'rows', victims);
    t.same(
      corrupt,
      outcomes.map(() => [n]),
      `${n} parties, victims ${victims}`,
    );
    t.ok(outcomes.every(({ shares }) => ring.equals(shares[n - 1] ?? ring.random(2), ring.zero(2))));
  }
});

t.test('wrong columns, and lies in any later round, change nothing for the honest', async (t) => {
  let seed = 0;
  for (const what of ['rows', 'columns'] as const) {
    for (const [name, strategy] of Object.entries(STRATEGIES)) {
      for (const first of [2, 12, 22]) {
        seed += 1;
        const { corrupt } = await share(
          4,
          1,
          seed,
          crooked,
          what,
          [1 + (seed % 3)],
          inRounds((r) => r >= first, strategy),
        );
        const [one] = corrupt;
        t.same(
          corrupt,
          corrupt.map(() => one),
          `${what}, ${name} from round ${first} on: all exclude the same`,
        );
        t.ok(
          one?.every((party) => party === 4),
          'and no honest party',
        );
      }
    }
  }
});

t.test('a dealer who deals garbage to one, then lies about it in public, is caught or repairs it', async (t) => {
  let seed = 1000;
  for (const [name, strategy] of Object.entries(STRATEGIES)) {
    for (const first of [2, 12, 22]) {
      seed += 1;
      const victim = 1 + (seed % 3);
      const lies: Strategy = (frame, random, all) =>
        frame.round >= first ? strategy(frame, random, all) : spoils([victim])(frame, random, all);
      const { corrupt } = await share(4, 1, seed, crooked, 'rows', [], lies);
      const [one] = corrupt;
      t.same(
        corrupt,
        corrupt.map(() => one),
        `${name} from round ${first} on: all exclude the same`,
      );
      t.ok(
        one?.every((party) => party === 4),
        'and no honest party',
      );
    }
  }
});
