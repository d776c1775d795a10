import t from 'tap';
import {
  encodeSigned,
  faultsOf,
  makeRecord,
  makeReleaseSet,
  measurementsOf,
  type ReleaseEntry,
  rawPublicKey,
  signReleaseSet,
  verifyReleaseSet,
} from '../../../../attestation/governance/index.ts';
import { present } from '../../../helpers/present.ts';
import {
  coreEntry,
  DAY_MS,
  DEV_CHARTER,
  digestOf,
  engineEntry,
  keyOf,
  MAINNET,
  NOW_MS,
  pcrsOf,
  recordFields,
  thrownBy,
} from './fixtures.ts';

const makeSet = (...entries: ReleaseEntry[]) => makeReleaseSet({ version: 1, network: MAINNET, entries });
const devSet = (...entries: ReleaseEntry[]) =>
  makeReleaseSet({
    version: 1,
    network: DEV_CHARTER.network,
    entries: entries.map((e) => ({ ...e, platform: 'developer' })),
  });

t.test('a release set needs 2t + 1 of the release keys of the record', async (t) => {
  for (let count = 1; count <= 7; count++) {
    const keys = Array.from({ length: count }, (_, at) => keyOf(`release ${at}`));
    const record = recordFields(1, { releaseKeys: keys.map(rawPublicKey) });
    const needed = 2 * Math.floor((count - 1) / 3) + 1;
    for (const signers of [needed - 1, needed]) {
      const set = keys.slice(0, signers).reduce((sum, key) => signReleaseSet(sum, key), makeSet(engineEntry('A')));
      const verify = () => verifyReleaseSet(encodeSigned(set), makeRecord(record).body);
      if (signers === needed) t.doesNotThrow(verify, `${signers} of ${count}`);
      else t.throws(verify, { code: 'PERMISSION_DENIED' }, `${signers} of ${count}`);
    }
  }
});

t.test('an entry needs every register that its platform demands', async (t) => {
  for (const [make, needed] of [
    [engineEntry, [0, 1, 2]],
    [coreEntry, [4, 7, 11, 12]],
  ] as const) {
    for (const left of needed) {
      const pcrs = pcrsOf(
        'A',
        needed.filter((index) => index !== left),
      );
      t.throws(() => makeSet(make('A', { pcrs })), { message: new RegExp(`lacks PCR ${left}`) }, `without PCR${left}`);
    }
  }
  t.throws(() => makeSet(engineEntry('A', { pcrs: new Map() })), { message: /lacks PCR 0, 1, 2/ }, 'an empty tuple');
  t.throws(() => devSet(coreEntry('A', { pcrs: pcrsOf('A', [0, 1, 2]) })), { message: /lacks PCR 4, 7, 11, 12/ });
});

t.test('a register of zeros is refused, also one that nobody demands', async (t) => {
  for (const index of [0, 1, 2, 8]) {
    const pcrs = new Map([...pcrsOf('A'), [index, new Uint8Array(48)] as const]);
    t.throws(() => makeSet(engineEntry('A', { pcrs })), { message: /is zero/ }, `PCR${index}`);
  }
});

t.test('platform and role must fit, and the network too', async (t) => {
  t.throws(() => makeSet(engineEntry('A', { role: 'core' })), { message: /must be engine/ });
  t.throws(() => makeSet(coreEntry('A', { role: 'engine' })), { message: /must be core or connector/ });
  t.throws(() => makeSet(engineEntry('A', { platform: 'developer' })), { message: /begin with 'dev:'/ });
  t.throws(() => makeReleaseSet({ version: 1, network: DEV_CHARTER.network, entries: [engineEntry('A')] }), {
    message: /must be developer/,
  });
  t.doesNotThrow(() => devSet(engineEntry('A'), coreEntry('A')));
});

t.test('all faults of a set are named at once, with their places', async (t) => {
  const bad = engineEntry('A', {
    notBeforeMs: NOW_MS,
    notAfterMs: NOW_MS,
    pcrs: pcrsOf('A', [0, 1]),
    supersededBy: 'gone',
  });
  const worse = coreEntry('B', {
    pcrs: new Map([...pcrsOf('B', [4, 7, 11]), [30, digestOf('30')], [12, new Uint8Array(48)]]),
  });
  const faults = present(faultsOf(thrownBy(() => makeSet(bad, worse)))).join('\n');
  for (const text of ['lacks PCR 2', 'notBefore', 'supersededBy', 'is zero', 'end at PCR 23'])
    t.match(faults, text, text);
});

t.test('entries are whole tuples: the same one twice for a role is refused', async (t) => {
  const twin = engineEntry('B', { pcrs: pcrsOf('A') });
  t.throws(() => makeSet(engineEntry('A'), twin), { message: /has the role and measurement of entries\[0\]/ });
});

t.test('a successor is another release of the set with the same role', async (t) => {
  t.throws(() => makeSet(engineEntry('A', { supersededBy: 'A' })), { message: /own release/ });
  t.throws(() => makeSet(engineEntry('A', { supersededBy: 'B' }), coreEntry('B')), {
    message: /no release of this set with role engine/,
  });
  t.doesNotThrow(() => makeSet(engineEntry('A', { supersededBy: 'B' }), engineEntry('B')));
});

t.test('a measurement is trusted from not-before until just before not-after', async (t) => {
  const { body } = makeSet(engineEntry('A', { notBeforeMs: NOW_MS, notAfterMs: NOW_MS + DAY_MS }), coreEntry('C'));
  const at = (ms: number) =>
    measurementsOf(body, ms)
      .map(({ release }) => release)
      .sort();
  t.same(at(NOW_MS - 1), ['C']);
  t.same(at(NOW_MS), ['A', 'C']);
  t.same(at(NOW_MS + DAY_MS - 1), ['A', 'C']);
  t.same(at(NOW_MS + DAY_MS), ['C']);
  t.same(measurementsOf(undefined, NOW_MS), []);
});

t.test('developer entries are compared with documents of the shape of their role', async (t) => {
  const { body } = devSet(engineEntry('A'), coreEntry('A'), coreEntry('B', { role: 'connector' }));
  const shapes = measurementsOf(body, NOW_MS).map(({ role, platform }) => `${role} ${platform}`);
  t.same(shapes.sort(), ['connector nitro-tpm', 'core nitro-tpm', 'engine enclave']);
});
