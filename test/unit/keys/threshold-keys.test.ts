/** The key of a decryption: what is found, what is refused, and squashing keys that come only from files this node signed. */
import { copyFileSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { KmsError } from '../../../common/errors.ts';
import type { Epoch } from '../../../enclave/contexts/contexts.ts';
import { publicFilesAt } from '../../../enclave/keys/public-files.ts';
import { ShareCatalogue } from '../../../enclave/keys/share-catalogue.ts';
import { type ThresholdKeysDeps, thresholdKeys } from '../../../enclave/keys/threshold-keys.ts';
import { clearKeeper } from '../../../enclave/vault/clear-keychain.ts';
import { PrivateVault } from '../../../enclave/vault/private-vault.ts';
import {
  KeyShares,
  loadSquashKeys,
  type MaskKeys,
  NodeKey,
  openDecryption,
  partialDecrypt,
  splitKey,
  userShares,
} from '../../../native/engine/index.ts';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import { domainHash, HASH_TAG } from '../../../wire/hash.ts';
import { DEFAULT_CONTEXT_ID, DEFAULT_EPOCH_ID, parseRequestId, type RequestId } from '../../../wire/ids.ts';
import type { PublicDataType } from '../../../wire/public-data.ts';
import { generateUserKeyPair } from '../../../wire/signcryption.ts';
import { FORMATS, fromLittleEndian, testKeySet } from '../../helpers/fhe-key-set.ts';
import { present } from '../../helpers/present.ts';
import { idOf } from '../../helpers/requests.ts';
import { SimQuorum } from '../../helpers/sim-quorum.ts';
import { type Teardown, tempDir } from '../../helpers/temp-dir.ts';
import { testMaskKeys } from '../../helpers/threshold-keys.ts';

const { key, evaluation, folder } = await testKeySet(t);
const uncompressed = await testKeySet(t, 'uncompressed');
const KEY = parseRequestId(idOf(2));
const IDS = { contextId: DEFAULT_CONTEXT_ID, epochId: DEFAULT_EPOCH_ID, keyId: KEY };
const EUINT64 = 5;
const VALUE = 0x0123_4567_89ab_cdefn;

interface Options {
  readonly party?: number;
  /** Whose shares the vault holds. */
  readonly shares?: KeyShares;
  readonly folder?: string;
  readonly types?: readonly PublicDataType[];
  readonly keepsFiles?: boolean;
  readonly load?: ThresholdKeysDeps['native']['loadSquashKeys'];
}

const sharesOf = (party: number, whole = key) =>
  present(splitKey({ key: whole, n: 4, t: 1, provenance: 'developer' })[party - 1]);

async function setUp(t: Teardown, options: Options = {}) {
  const { party = 1, types = ['PublicKey', 'CompressedXofKeySet'], keepsFiles = true, load = loadSquashKeys } = options;
  const files = options.folder ?? tempDir(t);
  if (!options.folder) for (const type of types) copyFileSync(join(folder, type), join(files, type));
  const keyDigests = types.map((type) => ({
    type,
    digest: domainHash(HASH_TAG.key, readFileSync(join(options.folder ?? folder, type))),
  }));
  const vault = new PrivateVault(clearKeeper(openMemoryStorage()));
  const catalogue = await ShareCatalogue.load(vault, { fromBytes: KeyShares.fromBytes, developerKeys: true, party });
  const metadata = {
    keyId: KEY,
    preprocessingId: KEY,
    keyDigests,
    extraData: new Uint8Array(),
    externalSignature: new Uint8Array(65),
    signatures: [],
  };
  const shares = options.shares ?? sharesOf(party);
  await catalogue.addKeySet({
    epochId: DEFAULT_EPOCH_ID,
    params: 'test',
    provenance: 'developer',
    metadata,
    shares,
  });
  const nodeKey = NodeKey.generate();
  let epoch = epochOf(party);
  t.teardown(() => {
    catalogue.dispose();
    nodeKey.dispose();
    epoch.masks.dispose();
  });
  const find = thresholdKeys({
    catalogue,
    contexts: { epoch: (contextId, epochId) => known(epoch, contextId, epochId) },
    native: { partialDecrypt, userShares, loadSquashKeys: load },
    nodeKey,
    publicFiles: keepsFiles ? publicFilesAt((type) => join(files, type)) : undefined,
  });
  const renew = () => {
    epoch.masks.dispose();
    epoch = epochOf(party);
  };
  return { find, catalogue, files, renew };
}

function epochOf(party: number): Epoch {
  const nodes = [1, 2, 3, 4].map((number) => ({ party: number, address: new Uint8Array(20), endpoint: '' }));
  return {
    contextId: DEFAULT_CONTEXT_ID,
    epochId: DEFAULT_EPOCH_ID,
    context: { contextId: DEFAULT_CONTEXT_ID, t: 1, nodes, party },
    masks: testMaskKeys(4, 1, party),
    quorum: new SimQuorum({ n: 4, t: 1, seed: 1 }).party(party).quorum,
  };
}

function known(epoch: Epoch, contextId: RequestId, epochId: RequestId): Epoch {
  if (contextId === epoch.contextId && epochId === epoch.epochId) return epoch;
  throw new KmsError('NOT_FOUND', contextId === epoch.contextId ? 'no such epoch' : 'no such context');
}

const encrypted = async (format: 0 | 1 | 2 | 3, keys = evaluation) => ({
  ciphertext: await keys.encrypt(VALUE, EUINT64, format),
  fheType: EUINT64,
  format,
});

t.test('the parties open each format, small ones squashed with the public key set first', async (t) => {
  const split = splitKey({ key, n: 4, t: 1, provenance: 'developer' });
  const parties = await Promise.all(split.map((shares) => setUp(t, { party: shares.party, shares })));
  for (const format of [0, 1, 2, 3] as const) {
    const item = await encrypted(format);
    const contributions = new Map<number, Uint8Array>();
    for (const { find } of parties) {
      const found = find(IDS);
      t.equal(found.t, 1);
      contributions.set(found.party, present((await found.partialDecrypt([item]))[0]));
    }
    const opened = await openDecryption({ n: 4, t: 1, fheType: EUINT64, format, contributions });
    t.equal(fromLittleEndian(present(opened).plaintext), VALUE, FORMATS[format]);
  }
});

t.test('shares for a user are made of small ciphertexts, too', async (t) => {
  const { find } = await setUp(t);
  const { encKey } = generateUserKeyPair();
  const recipient = { encKey, clientAddress: new Uint8Array(20).fill(1), link: new Uint8Array(32) };
  const sealed = await find(IDS).userShares([await encrypted(0), await encrypted(2)], recipient);
  t.equal(sealed.length, 2);
  t.equal(sealed[0]?.length, sealed[1]?.length);
});

t.test('a server key and its public key serve as well', async (t) => {
  const { find } = await setUp(t, {
    shares: sharesOf(1, uncompressed.key),
    folder: uncompressed.folder,
    types: ['ServerKey', 'PublicKey'],
  });
  t.equal((await find(IDS).partialDecrypt([await encrypted(1, uncompressed.evaluation)])).length, 1);
});

t.test('what is unknown is named, and a key is made once for an epoch', async (t) => {
  const { find, catalogue, renew } = await setUp(t);
  const other = parseRequestId(idOf(99));
  t.throws(() => find({ ...IDS, keyId: other }), { code: 'NOT_FOUND', message: /key/ });
  t.throws(() => find({ ...IDS, epochId: other }), { code: 'NOT_FOUND', message: /epoch/ });
  t.throws(() => find({ ...IDS, contextId: other }), { code: 'NOT_FOUND', message: /context/ });
  const first = find(IDS);
  t.equal(find(IDS), first);
  renew();
  const second = find(IDS);
  t.not(second, first, 'another set-up has other masks');
  t.equal((await second.partialDecrypt([await encrypted(2)])).length, 1);
  await catalogue.forgetEpoch(DEFAULT_EPOCH_ID);
  t.throws(() => find(IDS), { code: 'NOT_FOUND' });
  await t.rejects(second.partialDecrypt([await encrypted(2)]), /disposed/, 'a request under way gets nothing either');
});

t.test('shares that were dealt to other parties are refused', async (t) => {
  const [shares] = splitKey({ key, n: 7, t: 2, provenance: 'developer' });
  const { find } = await setUp(t, { shares: present(shares) });
  t.throws(() => find(IDS), { code: 'STATE_INVALID', message: /party 1 of 7 with threshold 2.*party 1 of 4/ });
});

t.test('squashing keys are loaded at first need, once for all callers, and go with the key', async (t) => {
  let loads = 0;
  let disposed = 0;
  const load: typeof loadSquashKeys = async (source) => {
    loads += 1;
    const keys = await loadSquashKeys(source);
    const dispose = keys.dispose.bind(keys);
    keys.dispose = () => {
      disposed += 1;
      dispose();
    };
    return keys;
  };
  const { find, catalogue } = await setUp(t, { load });
  const found = find(IDS);
  await found.partialDecrypt([await encrypted(2)]);
  t.equal(loads, 0, 'large ciphertexts need none');
  const items = [await encrypted(0)];
  await Promise.all([found.partialDecrypt(items), found.partialDecrypt(items), found.partialDecrypt(items)]);
  await found.partialDecrypt(items);
  t.equal(loads, 1);
  catalogue.dispose();
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(disposed, 1);
  await t.rejects(found.partialDecrypt(items), { code: 'NOT_FOUND' });
});

t.test('files that are not what this node signed are not loaded, nor read again before they change', async (t) => {
  let loads = 0;
  const load: typeof loadSquashKeys = async (source) => {
    loads += 1;
    return await loadSquashKeys(source);
  };
  const { find, files } = await setUp(t, { load });
  const path = join(files, 'CompressedXofKeySet');
  const good = readFileSync(path);
  const bad = Uint8Array.from(good);
  bad[bad.length - 9] = present(bad[bad.length - 9]) ^ 1;
  const items = [await encrypted(0)];
  const { partialDecrypt: ask } = find(IDS);
  for (const [what, content] of [
    ['one bit', bad],
    ['cut', good.subarray(1)],
    ['empty', new Uint8Array()],
  ] as const) {
    writeFileSync(path, content);
    const message = new RegExp(`CompressedXofKeySet/${KEY} is not the one`);
    await t.rejects(ask(items), { code: 'STATE_INVALID', message }, what);
    await t.rejects(ask(items), { code: 'STATE_INVALID' }, `${what}, again`);
  }
  rmSync(path);
  await t.rejects(ask(items), { code: 'STATE_INVALID', message: /ENOENT/ });
  await t.rejects(ask(items), { code: 'STATE_INVALID', message: /ENOENT/ });
  t.equal(loads, 0);
  t.equal((await ask([await encrypted(2)])).length, 1, 'large ciphertexts are opened all the while');
  writeFileSync(path, good);
  t.equal((await ask(items)).length, 1, 'restored');
  t.equal(loads, 1);
});

t.test('files that are exchanged while they are read are not used', async (t) => {
  let files = '';
  const load: typeof loadSquashKeys = async (source) => {
    copyFileSync(join(files, 'CompressedXofKeySet'), join(files, 'other'));
    renameSync(join(files, 'other'), join(files, 'CompressedXofKeySet'));
    return await loadSquashKeys(source);
  };
  const made = await setUp(t, { load });
  files = made.files;
  await t.rejects(made.find(IDS).partialDecrypt([await encrypted(0)]), { code: 'UNAVAILABLE', message: /changed/ });
});

t.test('a node that keeps no public files, or whose key has none, says so', async (t) => {
  const without = await setUp(t, { keepsFiles: false });
  await t.rejects(without.find(IDS).partialDecrypt([await encrypted(0)]), { code: 'PRECONDITION_FAILED' });
  const unnamed = await setUp(t, { types: ['PublicKey'] });
  await t.rejects(unnamed.find(IDS).partialDecrypt([await encrypted(0)]), {
    code: 'STATE_INVALID',
    message: /names no ServerKey/,
  });
});

t.test('masks of another party than the shares are refused by the library', async (t) => {
  const shares = sharesOf(1);
  using masks: MaskKeys = testMaskKeys(4, 1, 2);
  const names = { contextId: new Uint8Array(32), epochId: new Uint8Array(32), keyId: new Uint8Array(32) };
  await t.rejects(partialDecrypt({ shares, masks, ...names, items: [await encrypted(2)] }), {
    code: 'REQUEST_INVALID',
  });
  shares.dispose();
});
