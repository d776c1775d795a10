/** The clock of an enclave against its own attestation, for as long as the engine runs. */
import t from 'tap';
import { KmsError } from '../../../../common/errors.ts';
import { watchClock } from '../../../../enclave/boot/clock-watch.ts';
import { startTestAttester } from '../../../helpers/software-nsm.ts';

const NOON = 1_800_000_000_000;

/** A clock that is off, and a timer that the test runs by hand. */
async function setUp() {
  let offMs = 0;
  let device: (() => never) | undefined;
  const waits: number[] = [];
  let next: (() => void) | undefined;
  let waited: PromiseWithResolvers<void> | undefined;
  const { nsm, anchor } = await startTestAttester({
    role: 'engine',
    clock: { nowMs: () => NOON, monotonicMs: () => 0 },
  });
  const watch = watchClock({
    attester: { attest: async (fields) => (device ? device() : await nsm.attest(fields)) },
    anchor,
    clock: { nowMs: () => NOON + offMs, monotonicMs: () => 0 },
    after: (ms, run) => {
      waits.push(ms);
      next = run;
      waited?.resolve();
      return () => {
        next = undefined;
      };
    },
  });
  return {
    watch,
    waits,
    isWaiting: () => next !== undefined,
    set: (ms: number, broken?: () => never) => {
      offMs = ms;
      device = broken;
    },
    /** Lets the time pass; resolves once the watch waits again or has failed. */
    pass: async () => {
      waited = Promise.withResolvers();
      const run = next;
      next = undefined;
      run?.();
      await Promise.race([waited.promise, watch.failed]);
    },
  };
}

t.test('a clock within a minute goes on, for ever', async (t) => {
  const { set, pass, waits, watch, isWaiting } = await setUp();
  for (const off of [0, 59_000, -60_000]) {
    set(off);
    await pass();
  }
  t.same(waits, [600_000, 600_000, 600_000, 600_000], 'every ten minutes');
  watch.stop();
  t.notOk(isWaiting(), 'and it can be stopped');
});

t.test('a clock that is off by more ends the engine, and says by how much', async (t) => {
  for (const off of [60_001, -60_001, 3_600_000]) {
    const { set, pass, watch } = await setUp();
    await pass();
    set(off);
    await pass();
    t.match(await watch.failed, { code: 'STATE_INVALID', message: /more than 60 s apart/ }, String(off));
  }
});

t.test('a device that is busy is asked again, one that stays so ends the engine', async (t) => {
  const { set, pass, watch, waits } = await setUp();
  const busy = (): never => {
    throw new KmsError('UNAVAILABLE', 'the device is busy');
  };
  set(0, busy);
  for (let misses = 0; misses < 4; misses++) await pass();
  set(0);
  await pass();
  t.same(waits, [600_000, 60_000, 60_000, 60_000, 60_000, 600_000]);
  set(0, busy);
  for (let misses = 0; misses < 5; misses++) await pass();
  t.match(await watch.failed, { code: 'UNAVAILABLE' });
});

t.test('a document that does not verify ends the engine at once', async (t) => {
  const { set, pass, watch } = await setUp();
  set(0, () => {
    throw new KmsError('ATTESTATION_INVALID', 'not a document');
  });
  await pass();
  t.match(await watch.failed, { code: 'ATTESTATION_INVALID' });
});
