/** What a party keeps of key sets: read back whole, refused by name when it does not belong there, erased with its epoch. */
import t from 'tap';
import { ShareCatalogue } from '../../../enclave/keys/share-catalogue.ts';
import { clearKeeper } from '../../../enclave/vault/clear-keychain.ts';
import { PrivateVault } from '../../../enclave/vault/private-vault.ts';
import { KeyShares, type ShareProvenance, splitKey } from '../../../native/engine/index.ts';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import type { Storage } from '../../../storage/storage.ts';
import { DEFAULT_EPOCH_ID, parseRequestId } from '../../../wire/ids.ts';
import { encodeKeyGenMetadata, type KeyGenMetadata } from '../../../wire/metadata.ts';
import { testKeySet } from '../../helpers/fhe-key-set.ts';
import { present } from '../../helpers/present.ts';
import { idOf } from '../../helpers/requests.ts';

const { key } = await testKeySet(t);
const KEY = parseRequestId(idOf(2));
const OTHER_EPOCH = parseRequestId(idOf(77));

const metadataOf = (keyId = KEY): KeyGenMetadata => ({
  keyId,
  preprocessingId: parseRequestId(idOf(9)),
  keyDigests: [{ type: 'PublicKey', digest: new Uint8Array(32).fill(1) }],
  extraData: new Uint8Array(),
  externalSignature: new Uint8Array(65),
  signatures: [],
});

function sharesOf(party: number, provenance: ShareProvenance = 'developer'): KeyShares {
  return present(splitKey({ key, n: 4, t: 1, provenance })[party - 1]);
}

function emptyVault() {
  const storage = openMemoryStorage();
  return { storage, vault: new PrivateVault(clearKeeper(storage)) };
}

const load = (vault: PrivateVault, party = 2, developerKeys = true): Promise<ShareCatalogue> =>
  ShareCatalogue.load(vault, { fromBytes: KeyShares.fromBytes, developerKeys, party });

async function held(provenance: ShareProvenance = 'developer', epochId = DEFAULT_EPOCH_ID, keyId = KEY) {
  const shares = sharesOf(2, provenance);
  return { epochId, params: 'test' as const, provenance, metadata: metadataOf(keyId), shares };
}

t.test('shares are found by epoch and id, written once, and read back', async (t) => {
  const { vault } = emptyVault();
  const catalogue = await load(vault);
  t.throws(() => catalogue.shares(DEFAULT_EPOCH_ID, KEY), { code: 'NOT_FOUND' });
  catalogue.requireNewKey(DEFAULT_EPOCH_ID, KEY);
  await catalogue.addKeySet(await held());
  await catalogue.addKeySet(await held('imported', OTHER_EPOCH));
  t.throws(() => catalogue.requireNewKey(DEFAULT_EPOCH_ID, KEY), { code: 'ALREADY_EXISTS' });
  catalogue.requireNewKey(DEFAULT_EPOCH_ID, parseRequestId(idOf(3)));
  const again = await load(vault);
  t.same(
    again.keys().map(({ epochId, provenance, params, metadata }) => [epochId, provenance, params, metadata]),
    [
      [OTHER_EPOCH, 'imported', 'test', metadataOf()],
      [DEFAULT_EPOCH_ID, 'developer', 'test', metadataOf()],
    ],
  );
  for (const each of [catalogue, again]) each.dispose();
  t.same(again.keys(), []);
});

t.test('another sharing never takes the place of one that is there', async (t) => {
  const { vault } = emptyVault();
  const catalogue = await load(vault);
  await catalogue.addKeySet(await held());
  const other = await held();
  await t.rejects(catalogue.addKeySet(other), { code: 'ALREADY_EXISTS' });
  t.not(catalogue.shares(DEFAULT_EPOCH_ID, KEY).shares, other.shares);
  other.shares.dispose();
  catalogue.dispose();
});

t.test('an epoch takes its shares with it, those of an attempt that was cut short too, and no others', async (t) => {
  const { vault, storage } = emptyVault();
  const catalogue = await load(vault);
  const [gone, stays] = [await held(), await held('developer', OTHER_EPOCH)];
  await catalogue.addKeySet(gone);
  await catalogue.addKeySet(stays);
  await vault.put(['CrsInfo', DEFAULT_EPOCH_ID, parseRequestId(idOf(5))], Uint8Array.of(1));
  const forgotten: unknown[] = [];
  catalogue.onForgotten(({ metadata }) => forgotten.push(metadata.keyId));
  await catalogue.forgetEpoch(DEFAULT_EPOCH_ID);
  t.same(forgotten, [KEY]);
  t.throws(() => gone.shares.encode(), /disposed/, 'wiped');
  t.equal(stays.shares.party, 2, 'still there');
  t.throws(() => catalogue.shares(DEFAULT_EPOCH_ID, KEY), { code: 'NOT_FOUND' });
  t.same(await storage.list(['FheKeyInfo']), [OTHER_EPOCH]);
  t.same(await storage.list(['CrsInfo']), []);
  await catalogue.forgetEpoch(DEFAULT_EPOCH_ID);
  catalogue.dispose();
});

t.test('what is being written when its epoch is destroyed does not stay', async (t) => {
  const { storage } = emptyVault();
  const gate = Promise.withResolvers<void>();
  const slow: Storage = {
    ...storage,
    put: async (...args) => {
      await gate.promise;
      return await storage.put(...args);
    },
  };
  const catalogue = await load(new PrivateVault(clearKeeper(slow)));
  const late = await held();
  const adding = catalogue.addKeySet(late);
  await catalogue.forgetEpoch(DEFAULT_EPOCH_ID);
  gate.resolve();
  await t.rejects(adding, { code: 'NOT_FOUND', message: /destroyed/ });
  t.same([catalogue.keys(), await storage.list(['FheKeyInfo'])], [[], []]);
  await catalogue.addKeySet(late);
  t.equal(catalogue.keys().length, 1, 'an epoch that is made anew takes keys');
  catalogue.dispose();
});

t.test('outside of developer mode dealt and developer shares and test parameters are refused by name', async (t) => {
  for (const [provenance, why] of [
    ['developer', /FheKeyInfo\/.*a dealer or developer mode made it/],
    ['dealt', /FheKeyInfo\/.*a dealer or developer mode made it/],
    ['imported', /FheKeyInfo\/.*test parameters/],
    ['distributed', /FheKeyInfo\/.*test parameters/],
  ] as const) {
    const { vault } = emptyVault();
    const catalogue = await load(vault);
    await catalogue.addKeySet(await held(provenance));
    catalogue.dispose();
    await t.rejects(load(vault, 2, false), { code: 'STATE_INVALID', message: why }, provenance);
  }
});

t.test('what does not belong there is refused by name', async (t) => {
  const shares = sharesOf(2);
  t.teardown(() => shares.dispose());
  const bytes = shares.encode(encodeKeyGenMetadata(metadataOf()));
  const cases: readonly (readonly [string, Uint8Array, RegExp, number?])[] = [
    ['of another party', bytes, /shares of party 2 and this node is party 3/, 3],
    ['under another id', shares.encode(encodeKeyGenMetadata(metadataOf(parseRequestId(idOf(4))))), /another id/],
    ['without metadata', shares.encode(), /FheKeyInfo/],
    ['cut', bytes.subarray(0, bytes.length - 1), /cut short/],
    ['with more behind', Uint8Array.of(...bytes.subarray(0, 100), ...bytes), /FheKeyInfo/],
    ['empty', new Uint8Array(), /FheKeyInfo/],
    ['a whole key', key.encode(encodeKeyGenMetadata(metadataOf())), /not an object of key shares/],
  ];
  for (const [what, content, message, party = 2] of cases) {
    const { vault } = emptyVault();
    await vault.put(['FheKeyInfo', DEFAULT_EPOCH_ID, KEY], content);
    await t.rejects(load(vault, party), { code: 'STATE_INVALID', message }, what);
  }
  for (const type of ['FhePrivateKey', 'DecompressionKeyInfo'] as const) {
    const { vault } = emptyVault();
    await vault.put([type, DEFAULT_EPOCH_ID, KEY], Uint8Array.of(1));
    await t.rejects(load(vault), { code: 'STATE_INVALID', message: new RegExp(`${type}/.*vault of its own`) }, type);
  }
  const { vault } = emptyVault();
  await vault.put(['CrsInfo', DEFAULT_EPOCH_ID, KEY], Uint8Array.of(1));
  await t.rejects(load(vault), { code: 'STATE_INVALID', message: /CrsInfo/ });
});
