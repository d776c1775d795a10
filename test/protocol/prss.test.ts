/** PRSS from its set-up on: draws that fit, blame for what is thrown away, and nothing of masks on the wire. */
import t from 'tap';
import { toHex } from '../../common/bytes.ts';
import { GR128 } from '../../enclave/algebra/galois-ring.ts';
import { prssShare, przsShare } from '../../enclave/algebra/prss.ts';
import { setsOf } from '../../enclave/algebra/prss-sets.ts';
import { encodeElement, encodeWord } from '../../enclave/algebra/ring-encoding.ts';
import { derivePrfKey, phi } from '../../enclave/algebra/set-prf.ts';
import { nativePrss } from '../../enclave/mpc/native-prss.ts';
import { partySets } from '../../enclave/mpc/party-sets.ts';
import { broadcast } from '../../enclave/mpc/protocols/long-broadcast.ts';
import { checkThrownAway } from '../../enclave/mpc/protocols/prss-check.ts';
import { type PrssKeys, setUpPrss } from '../../enclave/mpc/protocols/prss-setup.ts';
import { type Draw, PrssDraws, type PrssFamily } from '../../enclave/mpc/prss-draws.ts';
import type { Session } from '../../enclave/mpc/session.ts';
import { inRounds, STRATEGIES } from '../helpers/misbehaviour.ts';
import { SimNetwork, type Strategy, simRandom } from '../helpers/sim-network.ts';
import { type TwinVector, twinArithmetic, twinPrss } from '../helpers/twin-arithmetic.ts';

const random = simRandom('prss');
const ring = twinArithmetic(GR128, random.bytes);

function succeeded<T>(results: ReadonlyMap<number, T | Error>): Map<number, T> {
  return new Map(
    [...results].map(([party, result]): [number, T] => {
      if (result instanceof Error) throw result;
      return [party, result];
    }),
  );
}

async function setUp(n: number, threshold: number): Promise<{ network: SimNetwork; keys: Map<number, PrssKeys> }> {
  const network = new SimNetwork({ n, t: threshold, seed: n });
  return { network, keys: succeeded(await network.run((session) => setUpPrss(session, ring))) };
}

const drawsOf = (keys: PrssKeys, sessionId: Uint8Array): PrssDraws<TwinVector> =>
  new PrssDraws(twinPrss(GR128, keys, sessionId));

/** Draws one of a family, broadcasts the share that is used of it, throws it away and checks it. */
async function drawAndCheck(
  session: Session,
  keys: PrssKeys,
  family: PrssFamily,
  use: (draw: Draw<TwinVector>) => TwinVector = ({ share }) => share,
): Promise<number[]> {
  const draws = drawsOf(keys, session.id);
  draws.draw(family);
  const draw = draws.draw(family);
  const used = await broadcast(session, ring.encode(use(draw)), ring.elementBytes);
  await checkThrownAway(session, ring, draws, draw, used);
  return [...session.corrupt].sort((a, b) => a - b);
}

t.test('sets of parties are those of the twin', async (t) => {
  for (const [n, threshold] of [
    [1, 0],
    [4, 1],
    [7, 2],
    [10, 3],
    [13, 4],
  ] as const) {
    t.same(partySets(n, threshold), setsOf(n, threshold), `${n} parties`);
  }
  t.throws(() => partySets(15, 7), { code: 'CONFIG_INVALID' });
});

t.test(
  'draws of all parties are sharings: random ones of degree t, of zero of degree 2t, other ones in other sessions',
  async (t) => {
    const { keys } = await setUp(4, 1);
    const [session, other] = [new Uint8Array(32).fill(5), new Uint8Array(32).fill(6)];
    const draws = new Map([...keys].map(([party, mine]) => [party, drawsOf(mine, session)]));
    const seen = new Set<string>();
    for (const family of ['prss', 'prss', 'przs', 'przs'] as const) {
      const drawn = new Map([...draws].map(([party, ofParty]) => [party, ofParty.draw(family)]));
      const shares = new Map([...drawn].map(([party, { share }]) => [party, share]));
      const degree = family === 'prss' ? 1 : 2;
      const opened = await ring.open({ degree, n: 4, maxErrors: 0, shares });
      t.ok(opened, `${family} has degree ${degree}`);
      const isZero = opened && ring.equals(opened.value, ring.zero(1));
      t.equal(isZero, family === 'przs');
      if (opened && family === 'prss') seen.add(toHex(ring.encode(opened.value)));
      for (const [party, { counter, share }] of drawn) {
        const held = setsOf(4, 1)
          .filter((set) => set.includes(party))
          .map((set, i) => ({ set, key: keys.get(party)?.keys[i] ?? session }));
        const next = family === 'prss' ? prssShare : przsShare;
        t.same(
          share.elements,
          [next(GR128, { n: 4, t: 1, party, held }, session, counter)],
          'as the specification says',
        );
      }
      const elsewhere = [...keys.values()].map((mine) => drawsOf(mine, other).draw(family).share);
      t.notOk(
        elsewhere.some((share) => [...shares.values()].some((here) => ring.equals(share, here))),
        'per session',
      );
    }
    t.equal(seen.size, 2, 'each draw is another one');
  },
);

t.test('nobody is blamed when nobody lies', async (t) => {
  for (const [n, threshold] of [
    [4, 1],
    [7, 2],
  ] as const) {
    const { keys } = await setUp(n, threshold);
    for (const family of ['prss', 'przs'] as const) {
      const network = new SimNetwork({ n, t: threshold, seed: 1 });
      const blamed = succeeded(
        await network.run(async (session) => {
          const mine = keys.get(session.me);
          return mine ? drawAndCheck(session, mine, family) : [0];
        }),
      );
      for (const parties of blamed.values()) t.same(parties, [], `${n} parties, ${family}`);
    }
  }
});

t.test('whoever used a wrong share is blamed, by all', async (t) => {
  const { keys } = await setUp(7, 2);
  for (const family of ['prss', 'przs'] as const) {
    const liars = new Map<number, Strategy>([2, 5].map((party) => [party, (frame) => [frame]]));
    const network = new SimNetwork({ n: 7, t: 2, seed: 2, liars });
    const blamed = succeeded(
      await network.run(async (session) => {
        const mine = keys.get(session.me);
        const use = liars.has(session.me)
          ? ({ share }: Draw<TwinVector>) => ring.add(share, ring.random(1))
          : undefined;
        return mine ? drawAndCheck(session, mine, family, use) : [0];
      }),
    );
    for (const parties of blamed.values()) t.same(parties, [2, 5], family);
  }
});

t.test('liars of every kind blame no honest party, and all blame the same', async (t) => {
  const { keys } = await setUp(4, 1);
  let seed = 0;
  for (const [name, strategy] of Object.entries(STRATEGIES)) {
    for (const first of [1, 12]) {
      seed += 1;
      const liar = 1 + (seed % 4);
      const network = new SimNetwork({
        n: 4,
        t: 1,
        seed,
        liars: new Map([[liar, inRounds((r) => r >= first, strategy)]]),
      });
      const blamed = [
        ...succeeded(
          await network.run(async (session) => {
            const mine = keys.get(session.me);
            return mine ? drawAndCheck(session, mine, 'prss') : [0];
          }),
        ).values(),
      ];
      t.same(
        blamed,
        blamed.map(() => blamed[0]),
        `seed ${seed}, ${name} from round ${first} on`,
      );
      t.ok(
        blamed[0]?.every((party) => party === liar),
        'no honest party',
      );
    }
  }
});

t.test('a draw is kept or thrown away, once, and only in its own session', async (t) => {
  const { keys } = await setUp(4, 1);
  const [mine] = keys.values();
  if (!mine) throw new Error('a party');
  const draws = drawsOf(mine, new Uint8Array(32));
  const kept = draws.draw('prss');
  t.equal(draws.keep(kept), kept.share);
  t.throws(() => draws.throwAway(kept), { code: 'STATE_INVALID' }, 'what may hide a secret is never revealed');
  const thrown = draws.draw('prss');
  t.equal(draws.throwAway(thrown).size, 3, 'a value for each set of this party');
  t.throws(() => draws.keep(thrown), { code: 'STATE_INVALID' }, 'what was revealed hides nothing');
  t.throws(() => draws.throwAway(thrown), { code: 'STATE_INVALID' });
  const copy = { ...draws.draw('prss') };
  t.throws(() => draws.throwAway(copy), { code: 'STATE_INVALID' }, 'a counter cannot be chosen');
  const others = drawsOf(mine, new Uint8Array(32).fill(1));
  t.throws(() => draws.throwAway(others.draw('prss')), { code: 'STATE_INVALID' });
  // @ts-expect-error There is no family of masks.
  t.throws(() => draws.draw('mask'));
});

t.test('no frame ever holds the output of a mask function, a key, or what gives one', async (t) => {
  const { network, keys } = await setUp(4, 1);
  const checks = new SimNetwork({ n: 4, t: 1, seed: 9 });
  succeeded(
    await checks.run(async (session) => {
      const mine = keys.get(session.me);
      for (const family of ['prss', 'przs'] as const) if (mine) await drawAndCheck(session, mine, family);
    }),
  );
  const frames = [...network.frames, ...checks.frames].map(({ payload }) => toHex(payload));
  const holds = (bytes: Uint8Array): boolean => frames.some((frame) => frame.includes(toHex(bytes)));
  const secrets = new Set([...keys.values()].flatMap((mine) => mine.keys.map(toHex)));
  t.equal(secrets.size, 4, 'a key for each set');
  const sessionId = new Uint8Array(32).fill(1);
  for (const secret of secrets) {
    const key = Uint8Array.from(Buffer.from(secret, 'hex'));
    t.notOk(holds(key) || holds(key.subarray(0, 16)) || holds(key.subarray(16)), 'no key');
    // Digests that a mask may be keyed by, among them those that PRSS could mistake for its own.
    for (const digest of [sessionId, new Uint8Array(32), random.bytes(32)]) {
      const maskKey = derivePrfKey(key, digest);
      t.notOk(holds(maskKey), 'no mask key');
      for (let counter = 0n; counter < 8n; counter++) {
        const value = GR128.word(phi(maskKey, counter));
        t.notOk(holds(encodeWord(value, 16)) || holds(encodeElement(GR128, GR128.scalar(value))), `value ${counter}`);
      }
    }
  }
  t.ok(holds(sessionId) === false && frames.length > 100, 'frames were looked at');
});

t.test('native functions are those of the twin: draws, values, and shares of every party', async (t) => {
  const { keys } = await setUp(7, 2);
  const sessionId = new Uint8Array(32).fill(3);
  for (const mine of keys.values()) {
    using native = nativePrss(128, mine, sessionId);
    const twin = twinPrss(GR128, mine, sessionId);
    for (const family of ['prss', 'przs'] as const) {
      t.equal(native.valueBytes(family), twin.valueBytes(family));
      t.same(native.draw(family, 5n).encode(), ring.encode(twin.draw(family, 5n)), `${family} of party ${mine.party}`);
      t.same([...native.values(family, 5n)], [...twin.values(family, 5n)], 'values by set');
      const value = simRandom('values').bytes(native.valueBytes(family));
      const [ours, theirs] = [native.share(family, 3, () => value), twin.share(family, 3, () => value)];
      t.same(ours.encode(), ring.encode(theirs), 'share of another party');
    }
  }
});
