/** The same protocol over every arithmetic: the native kernels in both rings, their readable twin, and the tests' own. */
import t from 'tap';
import { toHex } from '../../common/bytes.ts';
import { GR128 } from '../../enclave/algebra/galois-ring.ts';
import type { Arithmetic, OpeningInput, RingVector } from '../../enclave/mpc/arithmetic.ts';
import { nativeArithmetic } from '../../enclave/mpc/native-arithmetic.ts';
import { partySets } from '../../enclave/mpc/party-sets.ts';
import { flipCoin } from '../../enclave/mpc/protocols/coin-flip.ts';
import { setUpPrss } from '../../enclave/mpc/protocols/prss-setup.ts';
import { MaskKeys, type ShareVector, setsOf } from '../../native/engine/index.ts';
import { STRATEGIES } from '../helpers/misbehaviour.ts';
import { SimNetwork, simRandom } from '../helpers/sim-network.ts';
import { smallRing } from '../helpers/small-ring.ts';
import { twinArithmetic } from '../helpers/twin-arithmetic.ts';

const { bytes } = simRandom('arithmetics');

async function runs<V extends RingVector>(over: Arithmetic<V>, liar: string | undefined): Promise<Set<string>> {
  const strategy = liar === undefined ? undefined : STRATEGIES[liar];
  const network = new SimNetwork({ n: 4, t: 1, seed: 11, liars: new Map(strategy ? [[2, strategy]] : []) });
  const arithmetic = { ...over, open: (input: OpeningInput<V>) => network.awaited(over.open(input)) };
  const results = await network.run(async (session) => {
    const coin = await flipCoin(session, arithmetic);
    const { keys } = await setUpPrss(session, arithmetic);
    // The key of the set {1, 3, 4}, which all honest parties hold.
    return `${toHex(coin)} ${toHex(keys[session.me === 1 ? 2 : 1] ?? coin)}`;
  });
  return new Set([...results].filter(([party]) => party !== 2).map(([, result]) => String(result)));
}

for (const [name, arithmetic] of [
  ['native, 64 bits', nativeArithmetic(64)],
  ['native, 128 bits', nativeArithmetic(128)],
  ['the twin', twinArithmetic(GR128, bytes)],
  ['small numbers', smallRing(bytes)],
] as const) {
  t.test(`a coin and a set-up over ${name}, with and without a liar`, async (t) => {
    for (const liar of [undefined, 'silent', 'garbage', 'lies to some']) {
      const results = await runs(arithmetic as Arithmetic<RingVector>, liar);
      t.equal(results.size, 1, `${liar ?? 'nobody'}: all have the same`);
      t.match([...results][0], /^[0-9a-f]{32,128} [0-9a-f]{64}$/);
    }
  });
}

t.test('the native masks take the keys of a set-up, and have its sets', async (t) => {
  for (const [n, threshold] of [
    [4, 1],
    [7, 2],
  ] as const) {
    t.same(setsOf(n, threshold), partySets(n, threshold), `sets of ${n} parties`);
    const over = nativeArithmetic(128);
    const network = new SimNetwork({ n, t: threshold, seed: n });
    const open = (input: OpeningInput<ShareVector>) => network.awaited(over.open(input));
    const results = await network.run((session) => setUpPrss(session, { ...over, open }));
    for (const [party, keys] of results) {
      if (keys instanceof Error) throw keys;
      MaskKeys.fromKeys(keys).dispose();
      keys[Symbol.dispose]();
      t.ok(
        keys.keys.every((key) => key.every((byte) => byte === 0)),
        `keys of party ${party} are wiped`,
      );
    }
  }
});
