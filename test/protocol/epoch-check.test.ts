/** The opening of zero by a simulated quorum with real arithmetic: when it ends, what it tells, who may come late. */
import t from 'tap';
import { checkEpoch, nameEpochCheck } from '../../enclave/threshold/epoch-check.ts';
import { openZeros, type ShareProvenance, zeroShares } from '../../native/engine/index.ts';
import { parseRequestId } from '../../wire/ids.ts';
import { testKeySet } from '../helpers/fhe-key-set.ts';
import { present } from '../helpers/present.ts';
import { SimQuorum } from '../helpers/sim-quorum.ts';
import { TEST_NAMES, testMaskKeys, thresholdParties } from '../helpers/threshold-keys.ts';

const { key } = await testKeySet(t);
const ids = {
  contextId: parseRequestId('01'.repeat(32)),
  epochId: parseRequestId('02'.repeat(32)),
  keyId: parseRequestId('03'.repeat(32)),
};

interface CheckOptions {
  readonly signal?: AbortSignal;
  readonly sharingId?: Uint8Array;
  readonly provenance?: ShareProvenance;
}

/** A quorum, and what its parties say when they are asked to check. */
function setUp(n: number, threshold: number, wrongMasks: readonly number[] = []) {
  const sim = new SimQuorum({ n, t: threshold, seed: n });
  const told: { readonly party: number; readonly level: string; readonly text: string }[] = [];
  const parties = thresholdParties(t, key, n, threshold);
  const check = (party: number, options: CheckOptions = {}) => {
    const { shares, masks } = present(parties[party - 1]);
    const own = wrongMasks.includes(party) ? testMaskKeys(n, threshold, party, 'other') : masks;
    const log = {
      info: (_: object, text?: string) => told.push({ party, level: 'info', text: text ?? '' }),
      error: (facts: object, text?: string) =>
        told.push({ party, level: 'error', text: `${text}: ${'reason' in facts ? facts.reason : ''}` }),
    };
    const { signal = new AbortController().signal, sharingId = shares.sharingId } = options;
    const make = sim.counted(() => zeroShares({ shares, masks: own, ...TEST_NAMES }));
    const { provenance = 'dealt' } = options;
    const checked = { ...ids, sharingId, provenance, zeroShares: make, openZeros };
    return checkEpoch(sim.party(party).quorum, checked, { log, signal });
  };
  return { sim, told, check, parties: parties.map(({ party }) => party) };
}

for (const [n, threshold] of [
  [4, 1],
  [7, 2],
  [13, 4],
] as const) {
  t.test(
    `n = ${n}: zero opens as soon as 2t + 1 parties are there, hours later too, and for who comes back`,
    async (t) => {
      const { sim, told, check, parties } = setUp(n, threshold);
      const first = Promise.all(parties.slice(0, 2 * threshold).map((party) => check(party)));
      await sim.pass(2 * 3_600_000);
      t.same(told, [], '2t parties wait');
      const rest = Promise.all(parties.slice(2 * threshold, n - 1).map((party) => check(party)));
      t.same([...(await sim.run(first, 8_000_000)), ...(await sim.run(rest, 8_000_000))], Array(n - 1).fill(true));
      await sim.pass(3_600_000);
      sim.stop(1);
      sim.restart(1);
      t.same(await sim.run(Promise.all([check(n), check(1)]), 20_000_000), [true, true], 'hours after the others');
      for (const { ledger } of sim.parties) t.same(ledger.liars(), []);
      t.ok(told.every(({ level }) => level === 'info'));
      t.equal(sim.party(2).quorum.stats().publicDecryptions, 0, 'it is no decryption');
    },
  );
}

t.test('a party with masks of another set-up is named, two are told as an inconsistent epoch', async (t) => {
  const one = setUp(4, 1, [3]);
  const results = await one.sim.run(Promise.all(one.parties.map((party) => one.check(party))));
  await one.sim.pass(1000);
  t.ok(results[0] && results[1] && results[3]);
  for (const party of [1, 2, 4]) t.same(one.sim.party(party).ledger.liars(), [3]);
  const two = setUp(4, 1, [3, 4]);
  t.same(await two.sim.run(Promise.all(two.parties.map((party) => two.check(party)))), Array(4).fill(false));
  t.ok(two.told.every(({ level, text }) => level === 'error' && /no shares of one key/.test(text)));
});

t.test('a party with shares of another ceremony, or another word on their origin, is told apart at once', async (t) => {
  for (const another of [{ sharingId: new Uint8Array(32) }, { provenance: 'imported' }] as const) {
    const { sim, check } = setUp(4, 1);
    const other = new AbortController();
    const answers = [1, 2, 3].map((party) => check(party));
    const lone = check(4, { ...another, signal: other.signal });
    t.same(await sim.run(Promise.all(answers)), [true, true, true]);
    await sim.pass(1000);
    for (const party of [1, 2, 3]) t.equal(sim.party(party).ledger.of(4).counts['another ciphertext'], 1);
    other.abort();
    t.equal(await sim.run(lone), false, 'it waits until it is told not to');
  }
});

t.test('names of openings of zero depend on everything, and are apart from requests', async (t) => {
  const sharingId = new Uint8Array(32).fill(4);
  const base = nameEpochCheck({ ...ids, sharingId, provenance: 'dealt' });
  t.equal(base.kind, 'zero');
  const other = parseRequestId('09'.repeat(32));
  for (const change of [{ contextId: other }, { epochId: other }, { keyId: other }]) {
    const name = nameEpochCheck({ ...ids, ...change, sharingId, provenance: 'dealt' });
    t.notSame(name.id, base.id);
    t.notSame(name.digest, base.digest);
  }
  for (const change of [{ sharingId: sharingId.with(0, 0) }, { provenance: 'imported' }] as const) {
    const name = nameEpochCheck({ ...ids, sharingId, provenance: 'dealt', ...change });
    t.same(name.id, base.id);
    t.notSame(name.digest, base.digest);
  }
});
