/** Imports of whole client keys: into one node, into all parties of a quorum; all of it or nothing. */
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import t from 'tap';
import { KmsError } from '../../../common/errors.ts';
import { systemRandom } from '../../../common/random.ts';
import { encodeEpochData } from '../../../enclave/contexts/epoch-data.ts';
import { type ImportOptions, importKey } from '../../../enclave/import/import-key.ts';
import type { ImportTarget } from '../../../enclave/import/import-target.ts';
import { readWholeKey } from '../../../enclave/import/whole-key.ts';
import { partySets } from '../../../enclave/mpc/party-sets.ts';
import { Catalogue } from '../../../enclave/vault/catalogue.ts';
import { clearKeeper } from '../../../enclave/vault/clear-keychain.ts';
import { PrivateVault } from '../../../enclave/vault/private-vault.ts';
import {
  FheKey,
  keccak256,
  NodeKey,
  openDecryption,
  partialDecrypt,
  publicDecrypt,
} from '../../../native/engine/index.ts';
import { recoverSigner } from '../../../native/engine/public.ts';
import { Eip712DomainMsgSchema } from '../../../proto/gen/kms_pb.js';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import type { Storage } from '../../../storage/storage.ts';
import { keygenDigest, parseDomain } from '../../../wire/eip712.ts';
import { domainHash, HASH_TAG } from '../../../wire/hash.ts';
import { DEFAULT_CONTEXT_ID, DEFAULT_EPOCH_ID, parseRequestId, SIGNING_KEY_ID } from '../../../wire/ids.ts';
import type { KeyGenMetadata } from '../../../wire/metadata.ts';
import { encodePrivateSigKey } from '../../../wire/signing-keys.ts';
import { clientKeyOf } from '../../helpers/client-key.ts';
import { fromLittleEndian, testKeySet } from '../../helpers/fhe-key-set.ts';
import { present } from '../../helpers/present.ts';
import { D0, idOf } from '../../helpers/requests.ts';
import { tempDir } from '../../helpers/temp-dir.ts';
import { TEST_NAMES, testMaskKeys } from '../../helpers/threshold-keys.ts';
import { loadShares } from '../keys/dealing-parties.ts';

const KEY = parseRequestId('a1'.repeat(32)); // the tag of the test keys
const OTHER = parseRequestId(idOf(77));
const DOMAIN = parseDomain(create(Eip712DomainMsgSchema, D0));
const compressed = await testKeySet(t);
const uncompressed = await testKeySet(t, 'uncompressed');
const clientKey = clientKeyOf(compressed.key);
const BIG_COMPRESSED = 2;
const EUINT64 = 5;

interface Node extends ImportTarget {
  readonly storage: Storage;
  readonly address: Uint8Array;
}

interface NodeOptions {
  readonly n?: number;
  readonly storage?: Storage;
  readonly publicVault?: Storage;
  readonly epochParty?: number;
  readonly setUpId?: Uint8Array;
}

/** A node that was started once; a party of n, or a centralized one. */
async function node(party: number, options: NodeOptions = {}): Promise<Node> {
  const { n, storage = openMemoryStorage(), publicVault = openMemoryStorage(), epochParty = party } = options;
  const vault = new PrivateVault(clearKeeper(storage));
  using key = NodeKey.generate();
  await vault.put(['SigningKey', SIGNING_KEY_ID], encodePrivateSigKey(key.secretBytes()));
  if (n !== undefined) {
    const t = (n - 1) / 3;
    const keys = partySets(n, t)
      .filter((set) => set.includes(epochParty))
      .map(() => systemRandom(32));
    const setUpId = options.setUpId ?? new Uint8Array(32).fill(3);
    const data = { contextId: DEFAULT_CONTEXT_ID, n, t, party: epochParty, setUpId, settled: true, keys };
    await vault.put(['EpochData', DEFAULT_EPOCH_ID], encodeEpochData(data));
  }
  return {
    name: `node ${party}`,
    party,
    threshold: n !== undefined,
    vault,
    publicVault,
    storage,
    address: key.address,
  };
}

const parties = (n: number): Promise<Node[]> =>
  Promise.all(Array.from({ length: n }, (_, index) => node(index + 1, { n })));

function run(targets: readonly ImportTarget[], overrides: Partial<ImportOptions> = {}) {
  return importKey({
    clientKey,
    material: 'compressed',
    epochId: DEFAULT_EPOCH_ID,
    domain: DOMAIN,
    extraData: new Uint8Array(),
    targets,
    onStep: () => undefined,
    ...overrides,
  });
}

const files = ({ folder }: { readonly folder: string }) => ({
  publicKey: join(folder, 'PublicKey'),
  keySet: join(folder, 'CompressedXofKeySet'),
});

type Tap = Pick<typeof t, 'same'>;

async function isUntouched(t: Tap, { storage, publicVault, name }: Node): Promise<void> {
  t.same(await publicVault.list([]), [], `${name} publishes nothing`);
  t.same(
    (await storage.list([])).filter((type) => type.startsWith('Fhe')),
    [],
    `${name} holds nothing`,
  );
}

t.test(
  'all parties of a quorum get shares that open what the key encrypted, each with its own signature',
  async (t) => {
    for (const n of [4, 7]) {
      const nodes = await parties(n);
      const steps: string[] = [];
      const imported = await run(nodes, { onStep: (step) => steps.push(step) });
      t.same([imported.keyId, imported.params, imported.parties, imported.foreignTag], [KEY, 'test', n, false]);
      t.same(steps, ['reading', 'generating', 'publishing', 'storing']);
      const ciphertext = await compressed.evaluation.encrypt(0xdead_beefn, EUINT64, BIG_COMPRESSED);
      const contributions = new Map<number, Uint8Array>();
      for (const { vault, party, publicVault, address } of nodes) {
        const catalogue = await loadShares(vault, party);
        const { shares, provenance, metadata } = catalogue.shares(DEFAULT_EPOCH_ID, KEY);
        t.same([provenance, shares.n, shares.party], ['imported', n, party]);
        for (const { type, digest } of metadata.keyDigests) {
          t.same(domainHash(HASH_TAG.key, await publicVault.get([type, KEY])), digest, `${type} of party ${party}`);
        }
        t.same(recoverSigner(signedDigest(metadata), metadata.externalSignature), address, `party ${party} signed`);
        using masks = testMaskKeys(n, (n - 1) / 3, party);
        const items = [{ ciphertext, fheType: EUINT64, format: BIG_COMPRESSED }];
        contributions.set(party, present((await partialDecrypt({ shares, masks, ...TEST_NAMES, items }))[0]));
        catalogue.dispose();
      }
      const quorum = { n, t: (n - 1) / 3, fheType: EUINT64, format: BIG_COMPRESSED };
      t.equal(fromLittleEndian(present(await openDecryption({ ...quorum, contributions })).plaintext), 0xdead_beefn);
    }
  },
);

function signedDigest(metadata: KeyGenMetadata): Uint8Array {
  const { keyId, preprocessingId, keyDigests, extraData } = metadata;
  const digests = keyDigests.flatMap(({ type, digest }) =>
    type === 'PublicKey' || type === 'CompressedXofKeySet' || type === 'ServerKey' ? [{ type, digest }] : [],
  );
  const content = { domain: DOMAIN, prepKeygenId: preprocessingId, keyId, keyDigests: digests, extraData };
  return keygenDigest(content, keccak256);
}

t.test('a centralized node gets the whole key, with the public objects that were given', async (t) => {
  const target = await node(1);
  const imported = await run([target], { material: files(compressed), keyId: OTHER });
  t.same([imported.keyId, imported.parties, imported.foreignTag], [OTHER, 0, true]);
  t.same(
    await target.publicVault.get(['PublicKey', OTHER]),
    new Uint8Array(readFileSync(join(compressed.folder, 'PublicKey'))),
  );
  const catalogue = await Catalogue.load(target.vault, { fromBytes: FheKey.fromBytes, developerKeys: true });
  const key = catalogue.key(DEFAULT_EPOCH_ID, OTHER);
  t.equal(key.provenance, 'imported');
  const ciphertext = await compressed.evaluation.encrypt(9n, EUINT64, BIG_COMPRESSED);
  const [opened] = await publicDecrypt(key, [{ ciphertext, fheType: EUINT64, format: BIG_COMPRESSED }]);
  t.equal(fromLittleEndian(present(opened)), 9n);
  catalogue.dispose();
});

t.test('a server key is taken as well, or made', async (t) => {
  const targets = [await node(1)];
  const serverKey = join(uncompressed.folder, 'ServerKey');
  const publicKey = join(uncompressed.folder, 'PublicKey');
  const imported = await run(targets, {
    clientKey: clientKeyOf(uncompressed.key),
    material: { publicKey, serverKey },
  });
  t.same(
    imported.objects.map(({ type }) => type),
    ['ServerKey', 'PublicKey'],
  );
  const made = await run([await node(1)], { material: 'uncompressed' });
  t.same(
    made.objects.map(({ type }) => type),
    ['ServerKey', 'PublicKey'],
  );
});

t.test('public objects of another key are refused, and nothing is written', async (t) => {
  const mixed = tempDir(t);
  copyFileSync(join(compressed.folder, 'CompressedXofKeySet'), join(mixed, 'CompressedXofKeySet'));
  copyFileSync(join(uncompressed.folder, 'PublicKey'), join(mixed, 'PublicKey'));
  const cut = tempDir(t);
  writeFileSync(join(cut, 'PublicKey'), readFileSync(join(compressed.folder, 'PublicKey')));
  writeFileSync(
    join(cut, 'CompressedXofKeySet'),
    readFileSync(join(compressed.folder, 'CompressedXofKeySet')).subarray(9),
  );
  for (const [what, overrides, code] of [
    ['another client key', { clientKey: clientKeyOf(uncompressed.key), material: files(compressed) }, 'KEY_INVALID'],
    ['another public key', { material: files({ folder: mixed }) }, 'KEY_INVALID'],
    ['a cut key set', { material: files({ folder: cut }) }, 'KEY_INVALID'],
    ['no file', { material: files({ folder: join(cut, 'nowhere') }) }, 'NOT_FOUND'],
  ] as const) {
    const nodes = await parties(4);
    await t.rejects(run(nodes, overrides), { code }, what);
    for (const each of nodes) await isUntouched(t, each);
  }
});

t.test('what is no client key is refused', async (t) => {
  const nodes = await parties(4);
  const flipped = Uint8Array.from(clientKey);
  flipped[60] = present(flipped[60]) ^ 0xff;
  for (const [what, bytes] of [
    ['empty', new Uint8Array()],
    ['short', new Uint8Array(7)],
    ['zeros', new Uint8Array(20_000)],
    ['cut', clientKey.subarray(0, clientKey.length - 1)],
    ['cut at the front', clientKey.subarray(1)],
    ['with more behind', Uint8Array.of(...clientKey, 0)],
    ['another version', flipped],
    ['a public key', readFileSync(join(compressed.folder, 'PublicKey'))],
  ] as const) {
    await t.rejects(run(nodes, { clientKey: bytes }), { code: 'KEY_INVALID', message: /no|not/ }, what);
  }
  for (const each of nodes) await isUntouched(t, each);
});

t.test('the key that is read is imported, has its own tag, and needs an id if that is none', async (t) => {
  using whole = readWholeKey(clientKey);
  t.same([whole.provenance, whole.params, whole.tag], ['imported', 'test', new Uint8Array(32).fill(0xa1)]);
});

t.test('an id that one party has already is refused for all', async (t) => {
  const nodes = await parties(4);
  await run(nodes);
  await t.rejects(run(nodes), { code: 'ALREADY_EXISTS', message: /node 1.*node 4/ });
  const others = await parties(4);
  await present(others[2]).vault.put(['FhePrivateKey', DEFAULT_EPOCH_ID, KEY], Uint8Array.of(1));
  await t.rejects(run(others), { code: 'ALREADY_EXISTS', message: /node 3 \(FhePrivateKey\)/ });
  await isUntouched(t, present(others[0]));
});

t.test('nodes that are not one whole quorum, or were never started, are refused', async (t) => {
  const all = await parties(4);
  const empty = openMemoryStorage();
  const fresh = { ...(await node(4, { n: 4 })), vault: new PrivateVault(clearKeeper(empty)), name: 'fresh' };
  const unset = { ...(await node(4)), threshold: true, name: 'unset' };
  for (const [what, targets, code, message] of [
    ['one missing', all.slice(0, 3), 'STATE_INVALID', /has 4 parties/],
    ['one twice', [...all.slice(0, 3), present(all[0])], 'STATE_INVALID', /has 4 parties/],
    ['a centralized one', [...all.slice(0, 3), await node(4)], 'STATE_INVALID', /not all/],
    ['two centralized ones', [await node(1), await node(2)], 'STATE_INVALID', /not all/],
    ['none', [], 'STATE_INVALID', /not one/],
    ['another party', [...all.slice(0, 3), await node(4, { n: 4, epochParty: 3 })], 'STATE_INVALID', /party 3 in/],
    [
      'another set-up',
      [...all.slice(0, 3), await node(4, { n: 4, setUpId: new Uint8Array(32) })],
      'STATE_INVALID',
      /other set-ups/,
    ],
    ['no identity', [...all.slice(0, 3), fresh], 'PRECONDITION_FAILED', /fresh has no identity/],
    ['no epoch', [...all.slice(0, 3), unset], 'PRECONDITION_FAILED', /unset has no epoch/],
  ] as const) {
    await t.rejects(run(targets), { code, message }, what);
  }
  for (const each of all) await isUntouched(t, each);
});

t.test('an import that fails on its way takes back what it wrote', async (t) => {
  const full = (storage: Storage, type: string): Storage => ({
    ...storage,
    put: async (path, ...rest) => {
      if (path[0] === type) throw new KmsError('STORAGE_FULL', 'no room');
      return await storage.put(path, ...rest);
    },
  });
  const plain = await parties(4);
  const last = present(plain[3]);
  const publicFull = [...plain.slice(0, 3), { ...last, publicVault: full(last.publicVault, 'CompressedXofKeySet') }];
  await t.rejects(run(publicFull), { code: 'STORAGE_FULL' });
  for (const each of plain) await isUntouched(t, each);
  const vault = new PrivateVault(clearKeeper(full(last.storage, 'FheKeyInfo')));
  await t.rejects(run([...plain.slice(0, 3), { ...last, vault }]), { code: 'STORAGE_FULL' });
  for (const each of plain) await isUntouched(t, each);
  await run(plain);
  t.pass('and succeeds later');
});

t.test('public objects that are there already, and others of that name, stay what they are', async (t) => {
  const target = await node(1);
  const before = Uint8Array.of(1, 2, 3);
  await target.publicVault.put(['CompressedXofKeySet', KEY], before);
  await t.rejects(run([target]), { code: 'ALREADY_EXISTS' });
  t.same(await target.publicVault.get(['CompressedXofKeySet', KEY]), before);
  t.same(await target.publicVault.list(['PublicKey']), []);
});
