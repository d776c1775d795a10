/** Vaults of a node of the published layout, on disk, and nodes of ours that take them over. */
import { create } from '@bufbuild/protobuf';
import { systemRandom } from '../../common/random.ts';
import { encodeEpochData } from '../../enclave/contexts/epoch-data.ts';
import { folderStore } from '../../enclave/import/foreign-store.ts';
import { ForeignVault, type ForeignVaultOptions } from '../../enclave/import/foreign-vault.ts';
import type { ImportTarget } from '../../enclave/import/import-target.ts';
import { importVault, type VaultImportOptions } from '../../enclave/import/import-vault.ts';
import { partySets } from '../../enclave/mpc/party-sets.ts';
import { Catalogue } from '../../enclave/vault/catalogue.ts';
import { clearKeeper } from '../../enclave/vault/clear-keychain.ts';
import { PrivateVault } from '../../enclave/vault/private-vault.ts';
import { FheKey, keccak256, NodeKey, publicDecrypt } from '../../native/engine/index.ts';
import { Eip712DomainMsgSchema } from '../../proto/gen/kms_pb.js';
import { openMemoryStorage } from '../../storage/memory-storage.ts';
import type { Storage } from '../../storage/storage.ts';
import { formatAddress } from '../../wire/addresses.ts';
import { crsgenDigest, keygenDigest, parseDomain } from '../../wire/eip712.ts';
import { domainHash, HASH_TAG } from '../../wire/hash.ts';
import { DEFAULT_CONTEXT_ID, DEFAULT_EPOCH_ID, parseRequestId, SIGNING_KEY_ID } from '../../wire/ids.ts';
import type { KeyGenMetadata } from '../../wire/metadata.ts';
import { encodePrivateSigKey } from '../../wire/signing-keys.ts';
import { fromLittleEndian, type TestKeySet } from './fhe-key-set.ts';
import {
  bodyOf,
  crsMetadata,
  integerServerKey,
  type KeyFacts,
  keyHandles,
  place,
  privateSigKey,
  publicFile,
  type ShareForm,
  thresholdKeys,
} from './foreign-vault.ts';
import { present } from './present.ts';
import { D0 } from './requests.ts';
import { type Teardown, tempDir } from './temp-dir.ts';

export const KEY = parseRequestId('a1'.repeat(32));
export const CRS = parseRequestId('c1'.repeat(32));
export const PREPROCESSING = parseRequestId('b1'.repeat(32));
/** An epoch that nodes of ours do not have. */
export const OLD_EPOCH = parseRequestId(`08${'00'.repeat(30)}07`);
export const DOMAIN = parseDomain(create(Eip712DomainMsgSchema, D0));

const NONE = new Uint8Array();
const NUMBERS = { ServerKey: 0, PublicKey: 1, CompressedXofKeySet: 9 } as const;
type PublicType = keyof typeof NUMBERS;

/** A node of the published layout. */
export interface OldNode {
  readonly privateFolder: string;
  readonly publicFolder: string;
  readonly address: Uint8Array;
  readonly facts: KeyFacts;
  /** Puts a private object there, sealed if the scene says so. */
  put(path: readonly string[], content: Uint8Array): Promise<void>;
  vault(rootKey?: ForeignVaultOptions['rootKey']): ForeignVault;
}

/** Settings of {@link oldNode}. */
export interface OldNodeOptions {
  readonly party?: number;
  readonly n?: number;
  readonly epoch?: string;
  readonly seal?: (object: Uint8Array) => Promise<Uint8Array>;
  readonly form?: ShareForm;
  readonly metadataVersion?: 2 | 3;
  /** What its signatures cover beside the rest; one byte 0 unless given. */
  readonly extraData?: Uint8Array;
}

/** Writes the vaults of a node: one that has the whole key, or one party of n. */
export async function oldNode(
  t: Teardown,
  set: TestKeySet,
  types: readonly PublicType[],
  options: OldNodeOptions = {},
): Promise<OldNode> {
  const { party = 1, n, epoch = DEFAULT_EPOCH_ID, seal = async (object) => object, form } = options;
  const { extraData = Uint8Array.of(0) } = options;
  const [privateFolder, publicFolder] = [tempDir(t), tempDir(t)];
  const key = NodeKey.generate();
  t.teardown(() => key.dispose());
  const published = types.map((type) => [type, publicFile(set.folder, type)] as const);
  const keyDigests = published.map(([type, content]) => ({ type, digest: domainHash(HASH_TAG.key, content) }));
  const signed = { domain: DOMAIN, prepKeygenId: PREPROCESSING, keyId: KEY, keyDigests, extraData };
  const facts: KeyFacts = {
    keyId: KEY,
    preprocessingId: PREPROCESSING,
    digests: keyDigests.map(({ type, digest }) => [NUMBERS[type], digest] as const),
    ...(extraData.length > 0 && { extraData }),
    signature: key.signDigest(keygenDigest(signed, keccak256)),
    version: options.metadataVersion ?? 3,
  };
  const put = async (path: readonly string[], content: Uint8Array) => place(privateFolder, path, await seal(content));
  await put(['SigningKey', SIGNING_KEY_ID], privateSigKey(key.secretBytes()));
  place(publicFolder, ['VerfAddress', SIGNING_KEY_ID], formatAddress(key.address));
  for (const [type, content] of published) place(publicFolder, [type, KEY], content);
  const crs = systemRandom(100);
  place(publicFolder, ['CRS', CRS], crs);
  const crsDigest = domainHash(HASH_TAG.crs, crs);
  const ofCrs = crsgenDigest({ domain: DOMAIN, crsId: CRS, maxBitLength: 64, crsDigest, extraData: NONE }, keccak256);
  await put(['CrsInfo', epoch, CRS], crsMetadata(CRS, crsDigest, 64, key.signDigest(ofCrs)));
  if (n === undefined) await put(['FhePrivateKey', epoch, KEY], keyHandles(set.key, facts));
  else {
    const keySet = published.find(([type]) => type === 'CompressedXofKeySet');
    const material = keySet
      ? { keySet: bodyOf('high_level_api::CompressedXofKeySet', keySet[1]) }
      : { serverKey: integerServerKey(publicFile(set.folder, 'ServerKey')) };
    const all = thresholdKeys(set.key, { n, t: (n - 1) / 3 }, facts, material, form);
    await put(['FheKeyInfo', epoch, KEY], all[party - 1] ?? new Uint8Array());
  }
  const vault = (rootKey?: ForeignVaultOptions['rootKey']) =>
    new ForeignVault({ secret: folderStore(privateFolder), published: folderStore(publicFolder), rootKey });
  return { privateFolder, publicFolder, address: key.address, facts, put, vault };
}

/** A node of ours that takes it over. */
export interface NewNode extends ImportTarget {
  readonly storage: Storage;
}

/** Settings of {@link newNode}. */
export interface NewNodeOptions {
  readonly party?: number;
  readonly n?: number;
  /** It was never started. */
  readonly isEmpty?: boolean;
}

/** A stopped node; a party of n, or a centralized one. */
export async function newNode({ party = 1, n, isEmpty = false }: NewNodeOptions = {}): Promise<NewNode> {
  const [storage, publicVault] = [openMemoryStorage(), openMemoryStorage()];
  const vault = new PrivateVault(clearKeeper(storage));
  using key = NodeKey.generate();
  if (!isEmpty) await vault.put(['SigningKey', SIGNING_KEY_ID], encodePrivateSigKey(key.secretBytes()));
  if (n !== undefined) {
    const t = (n - 1) / 3;
    const keys = partySets(n, t)
      .filter((set) => set.includes(party))
      .map(() => systemRandom(32));
    const data = { contextId: DEFAULT_CONTEXT_ID, n, t, party, setUpId: new Uint8Array(32), settled: true, keys };
    await vault.put(['EpochData', DEFAULT_EPOCH_ID], encodeEpochData(data));
  }
  return { name: `node ${party}`, party, threshold: n !== undefined, vault, publicVault, storage };
}

/** Imports. */
export function takeOver(source: ForeignVault, target: ImportTarget, overrides: Partial<VaultImportOptions> = {}) {
  return importVault({ source, target, domain: DOMAIN, onStep: () => undefined, ...overrides });
}

/** What a node signs of a key. */
export function signedDigest({ keyId, preprocessingId, keyDigests, extraData }: KeyGenMetadata): Uint8Array {
  const digests = keyDigests.flatMap(({ type, digest }) =>
    type === 'PublicKey' || type === 'CompressedXofKeySet' || type === 'ServerKey' ? [{ type, digest }] : [],
  );
  const content = { domain: DOMAIN, prepKeygenId: preprocessingId, keyId, keyDigests: digests, extraData };
  return keygenDigest(content, keccak256);
}

/** Kinds of objects that an import has written to a node. */
export async function written({ storage, publicVault }: NewNode): Promise<string[]> {
  const held = (await storage.list([])).filter((type) => type !== 'SigningKey' && type !== 'EpochData');
  return [...(await publicVault.list([])), ...held];
}

/** What a centralized node makes of an encrypted number, and what it says of its key. */
export async function opened({ vault }: NewNode, set: TestKeySet, value: bigint) {
  const [format, fheType] = [2, 5];
  const catalogue = await Catalogue.load(vault, { fromBytes: FheKey.fromBytes, developerKeys: true });
  try {
    const { key, metadata } = catalogue.keySet(DEFAULT_EPOCH_ID, KEY);
    const ciphertext = await set.evaluation.encrypt(value, fheType, format);
    const [plaintext] = await publicDecrypt(key, [{ ciphertext, fheType, format }]);
    const crs = catalogue.crs().map(({ metadata: { crsId } }) => crsId);
    return { value: fromLittleEndian(present(plaintext)), provenance: key.provenance, crs, metadata };
  } finally {
    catalogue.dispose();
  }
}
