/** Every key set is checked once under its epoch: when it is loaded, when it is added, and not once it is gone. */
import t from 'tap';
import type { Epoch } from '../../../enclave/contexts/contexts.ts';
import { checkKeys, type KeyChecks } from '../../../enclave/keys/key-checks.ts';
import { ShareCatalogue } from '../../../enclave/keys/share-catalogue.ts';
import { OPEN_GATE } from '../../../enclave/start/start-gate.ts';
import { clearKeeper } from '../../../enclave/vault/clear-keychain.ts';
import { PrivateVault } from '../../../enclave/vault/private-vault.ts';
import { KeyShares, openZeros, splitKey, zeroShares } from '../../../native/engine/index.ts';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import { DEFAULT_CONTEXT_ID, DEFAULT_EPOCH_ID, parseRequestId } from '../../../wire/ids.ts';
import { testKeySet } from '../../helpers/fhe-key-set.ts';
import { present } from '../../helpers/present.ts';
import { idOf } from '../../helpers/requests.ts';
import { SimQuorum } from '../../helpers/sim-quorum.ts';
import type { Teardown } from '../../helpers/temp-dir.ts';
import { testMaskKeys } from '../../helpers/threshold-keys.ts';

const { key } = await testKeySet(t);
const KEY = parseRequestId(idOf(2));

type Line = Readonly<Record<string, unknown>>;

interface Party {
  readonly party: number;
  readonly catalogue: ShareCatalogue;
  readonly lines: Line[];
  add(shares: KeyShares): Promise<void>;
  start(): KeyChecks;
}

/** Four parties without keys; masks of the `odd` ones are those of another set-up. */
async function setUp(t: Teardown, ...odd: readonly number[]) {
  const sim = new SimQuorum({ n: 4, t: 1, seed: 5 });
  const parties = await Promise.all(sim.parties.map(({ party }) => makeParty(t, sim, party, odd.includes(party))));
  return { sim, parties };
}

async function makeParty(t: Teardown, sim: SimQuorum, party: number, isOdd: boolean): Promise<Party> {
  const vault = new PrivateVault(clearKeeper(openMemoryStorage()));
  const catalogue = await ShareCatalogue.load(vault, { fromBytes: KeyShares.fromBytes, developerKeys: true, party });
  const masks = testMaskKeys(4, 1, party, isOdd ? 'another' : 'epoch');
  t.teardown(() => {
    catalogue.dispose();
    masks.dispose();
  });
  const nodes = [1, 2, 3, 4].map((number) => ({ party: number, address: new Uint8Array(20), endpoint: '' }));
  const epoch: Epoch = {
    contextId: DEFAULT_CONTEXT_ID,
    epochId: DEFAULT_EPOCH_ID,
    context: { contextId: DEFAULT_CONTEXT_ID, t: 1, nodes, party },
    masks,
    quorum: sim.party(party).quorum,
  };
  const lines: Line[] = [];
  const keep = (line: Line) => void lines.push(line);
  return {
    party,
    catalogue,
    lines,
    add: (shares) => catalogue.addKeySet(heldOf(shares)),
    start: () =>
      checkKeys({
        catalogue,
        contexts: { epochs: () => [epoch] },
        gate: OPEN_GATE,
        native: { zeroShares: sim.counted(zeroShares), openZeros },
        log: { info: keep, warn: keep, error: keep },
      }),
  };
}

function heldOf(shares: KeyShares, epochId = DEFAULT_EPOCH_ID) {
  const metadata = {
    keyId: KEY,
    preprocessingId: KEY,
    keyDigests: [],
    extraData: new Uint8Array(),
    externalSignature: new Uint8Array(65),
    signatures: [],
  };
  return { epochId, params: 'test' as const, provenance: 'developer' as const, metadata, shares };
}

const split = () => splitKey({ key, n: 4, t: 1, provenance: 'developer' });

t.test('keys that are loaded and keys that are added are checked, at 2t + 1 parties too', async (t) => {
  const { sim, parties } = await setUp(t);
  const all = split();
  const three = parties.slice(0, 3);
  for (const { party, add, start } of three) {
    if (party < 3) await add(present(all[party - 1]));
    start();
  }
  await present(three[2]).add(present(all[2]));
  await sim.pass(5_000);
  for (const { lines, party } of three) {
    t.match(lines, [{ event: 'quorum.check', keyId: KEY, epochId: DEFAULT_EPOCH_ID }], `party ${party}`);
    t.equal('reason' in present(lines[0]), false);
  }
  present(all[3]).dispose();
});

t.test('a party that lies changes nothing', async (t) => {
  const { sim, parties } = await setUp(t, 2);
  const all = split();
  for (const { party, add, start } of parties) {
    start();
    await add(present(all[party - 1]));
  }
  await sim.pass(5_000);
  for (const { lines, party } of parties) {
    if (party !== 2) t.equal('reason' in present(lines[0]), false, `party ${party}`);
  }
});

t.test('a check that fails is told as long as the key is there', async (t) => {
  const { sim, parties } = await setUp(t, 2, 3);
  const all = split();
  const started: KeyChecks[] = [];
  for (const { party, add, start } of parties) {
    started.push(start());
    await add(present(all[party - 1]));
  }
  t.same(present(started[0]).failed(), [], 'not before it has ended');
  await sim.pass(700_000);
  const [one] = parties;
  t.match(present(one).lines, [{ event: 'quorum.check', reason: /./ }]);
  t.same(present(started[0]).failed(), [{ keyId: KEY, epochId: DEFAULT_EPOCH_ID }]);
  await present(one).catalogue.forgetEpoch(DEFAULT_EPOCH_ID);
  t.same(present(started[0]).failed(), []);
});

t.test('fewer than 2t + 1 parties wait, and a check that is ended says nothing', async (t) => {
  const { sim, parties } = await setUp(t);
  const all = split();
  const [one, two] = [present(parties[0]), present(parties[1])];
  await one.add(present(all[0]));
  await two.add(present(all[1]));
  const checks = one.start();
  two.start();
  await sim.pass(700_000);
  t.same([one.lines, two.lines], [[], []]);
  checks.close();
  await two.catalogue.forgetEpoch(DEFAULT_EPOCH_ID);
  await sim.pass(5_000);
  t.same([one.lines, two.lines], [[], []]);
  for (const shares of all.slice(2)) shares.dispose();
});

t.test('shares whose epoch is gone are named', async (t) => {
  const { parties } = await setUp(t);
  const one = present(parties[0]);
  const [shares, ...others] = split();
  await one.catalogue.addKeySet(heldOf(present(shares), parseRequestId(idOf(99))));
  one.start();
  t.match(one.lines, [{ event: 'keys.without-epoch', keyId: KEY, epochId: idOf(99) }]);
  for (const other of others) other.dispose();
});

t.test(
  'shares that another system made come without encryptions of zero: the check is left out, and says so',
  async (t) => {
    const { parties } = await setUp(t);
    const all = split();
    const checks = await Promise.all(
      parties.map(async ({ add, start }, index) => {
        const stored = present(all[index]).encode();
        await add(KeyShares.fromBytes(stored.fill(0, stored.length - 32)));
        return start();
      }),
    );
    for (const shares of all) shares.dispose();
    for (const { lines, party } of parties) {
      t.match(lines, [{ event: 'quorum.check-left-out', keyId: KEY }], `party ${party}`);
    }
    t.same(
      checks.flatMap((each) => each.failed()),
      [],
    );
    for (const each of checks) each.close();
  },
);
