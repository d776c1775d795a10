import t from 'tap';
import {
  describeSeconds,
  expiryBanner,
  expiryLevel,
  makeReleaseSet,
  releaseWarnings,
  secondsToExpiry,
} from '../../../../attestation/governance/index.ts';
import { coreEntry, DAY_MS, engineEntry, MAINNET, NOW_MS, pcrsOf } from './fixtures.ts';

const DAY_SECS = 86_400;

t.test('seconds to expiry are counted down, and below zero after the end', async (t) => {
  const { body } = makeReleaseSet({
    version: 1,
    network: MAINNET,
    entries: [engineEntry('A', { notAfterMs: NOW_MS + 10_500 })],
  });
  t.equal(secondsToExpiry(body, 'A', NOW_MS), 10);
  t.equal(secondsToExpiry(body, 'A', NOW_MS + 12_000), -2);
  t.equal(secondsToExpiry(body, 'B', NOW_MS), undefined);
  t.equal(secondsToExpiry(body, 'A', NOW_MS, 'core'), undefined);
});

t.test('of several measurements the one that is trusted longest counts', async (t) => {
  const entries = [
    engineEntry('A', { notAfterMs: NOW_MS + DAY_MS }),
    engineEntry('A', { pcrs: pcrsOf('arm'), notAfterMs: NOW_MS + 2 * DAY_MS }),
  ];
  const { body } = makeReleaseSet({ version: 1, network: MAINNET, entries });
  t.equal(secondsToExpiry(body, 'A', NOW_MS), 2 * DAY_SECS);
  t.equal(releaseWarnings(body, NOW_MS).length, 1);
});

t.test('levels rise 14 days, 7 days, a day before the end, and at the end', async (t) => {
  const levels = [15, 14.01, 14, 7.01, 7, 1.01, 1, 0.01, 0, -1].map((days) => expiryLevel(days * DAY_SECS));
  t.same(levels, ['ok', 'ok', 'notice', 'notice', 'warning', 'warning', 'critical', 'critical', 'expired', 'expired']);
});

t.test('the banner names what ends within 14 days, soonest first, and what has a successor', async (t) => {
  const entries = [
    engineEntry('old', { notAfterMs: NOW_MS + 3 * DAY_MS }),
    coreEntry('old', { notAfterMs: NOW_MS - 1 }),
    engineEntry('mid', { supersededBy: 'new' }),
    engineEntry('new'),
  ];
  const { body } = makeReleaseSet({ version: 1, network: MAINNET, entries });
  t.same(expiryBanner(releaseWarnings(body, NOW_MS)), [
    'old (core) expired',
    'old (engine) expires in 3 d 0 h',
    'mid (engine) expires in 90 d 0 h; move to new',
  ]);
});

t.test('a release that runs and is not in the set is shown as expired', async (t) => {
  const { body } = makeReleaseSet({ version: 3, network: MAINNET, entries: [engineEntry('A')] });
  const warnings = releaseWarnings(body, NOW_MS, { release: 'gone', role: 'engine' });
  t.match(warnings, [{ level: 'expired', text: /gone \(engine\) is not in release set 3/ }]);
  t.match(releaseWarnings(body, NOW_MS, { release: 'A', role: 'engine' }), [{ level: 'ok' }]);
});

t.test('a release that is to come is not called expired', async (t) => {
  const entries = [engineEntry('next', { notBeforeMs: NOW_MS + DAY_MS, notAfterMs: NOW_MS + 2 * DAY_MS })];
  const { body } = makeReleaseSet({ version: 1, network: MAINNET, entries });
  t.match(expiryBanner(releaseWarnings(body, NOW_MS)), ['next (engine) is not trusted yet']);
});

t.test('durations are told in the two units that matter', async (t) => {
  t.same([0, 59, 61, 3_600, 100_000].map(describeSeconds), ['0 s', '59 s', '1 min 1 s', '1 h 0 min', '1 d 3 h']);
});
