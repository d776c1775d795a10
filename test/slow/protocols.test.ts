/** The protocols of the threshold engine under many more seeded schedules than the fast suite has time for. */
import t from 'tap';
import { toHex } from '../../common/bytes.ts';
import type { OpeningInput } from '../../enclave/mpc/arithmetic.ts';
import { nativeArithmetic } from '../../enclave/mpc/native-arithmetic.ts';
import { setUpPrss } from '../../enclave/mpc/protocols/prss-setup.ts';
import type { ShareVector } from '../../native/engine/index.ts';
import { STRATEGIES } from '../helpers/misbehaviour.ts';
import { SimNetwork } from '../helpers/sim-network.ts';
import { attackBroadcast } from '../protocol/attack-broadcast.ts';
import { PROTOCOL_NAMES, runSchedule, scheduleOf, sweepRounds } from '../protocol/schedule.ts';

t.test('2,500 schedules: any t liars, any strategies, 4, 7 and 13 parties', { timeout: 1_800_000 }, async (t) => {
  for (let seed = 1001; seed <= 3500; seed++) await runSchedule(scheduleOf(seed));
  t.pass('2,500 schedules');
});

t.test('of 7 and 13 parties t lie in one round, every way in every round', { timeout: 3_600_000 }, async (t) => {
  for (const [n, threshold] of [
    [7, 2],
    [13, 4],
  ] as const) {
    // The set-up of 13 parties is below, over the native kernels.
    for (const protocol of PROTOCOL_NAMES.filter((name) => n < 13 || name !== 'PRSS set-up')) {
      t.pass(`${protocol}, ${n} parties: ${await sweepRounds(protocol, n, threshold)} schedules`);
    }
  }
});

t.test('5,000 broadcasts under liars who know the protocol', { timeout: 1_800_000 }, async (t) => {
  for (const [n, threshold, runs] of [
    [4, 1, 4500],
    [7, 2, 450],
    [13, 4, 50],
  ] as const) {
    for (let seed = 10_001; seed <= 10_000 + runs; seed++) await attackBroadcast(n, threshold, seed);
    t.pass(`${runs} of ${n} parties`);
  }
});

t.test('set-ups over the native kernels with t liars, up to 13 parties', { timeout: 1_800_000 }, async (t) => {
  const native = nativeArithmetic(128);
  for (const [n, threshold] of [
    [7, 2],
    [10, 3],
    [13, 4],
  ] as const) {
    for (const name of ['silent', 'garbage', 'lies to some']) {
      const strategy = STRATEGIES[name] ?? (() => []);
      const liars = new Map(Array.from({ length: threshold }, (_, index) => [2 + 3 * index, strategy]));
      const network = new SimNetwork({ n, t: threshold, seed: n, liars });
      const open = (input: OpeningInput<ShareVector>) => network.awaited(native.open(input));
      const results = await network.run((session) => setUpPrss(session, { ...native, open }));
      // Of the sets that hold party 1, the first is {1, …, n - t}; its keys are the first of all its members.
      const first = [...results].map(([party, keys]) => {
        if (keys instanceof Error) throw keys;
        return party <= n - threshold ? toHex(keys.keys[0] ?? new Uint8Array()) : undefined;
      });
      t.equal(new Set(first.filter((key) => key !== undefined)).size, 1, `${n} parties, ${name}`);
      network.frames.length = 0;
    }
  }
});
