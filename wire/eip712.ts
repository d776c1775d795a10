/**
 * EIP-712 domains, and one digest function for each typed struct that a node signs or a client binds.
 *
 * All inputs are public but `decryptedResult`, which a public decryption reveals anyway. Digests are what gets
 * signed: a preimage is 0x1901 ‖ domain separator ‖ struct hash. docs/security/signatures.md lists them all.
 */
import { KmsError } from '../common/errors.ts';
import type { Eip712DomainMsg } from '../proto/gen/kms_pb.js';
import { ADDRESS_BYTES, type Keccak256, keccak256, parseAddress } from './addresses.ts';
import { idBytes, type RequestId } from './ids.ts';

/** A checked EIP-712 domain. Equal contents give the same object while it is remembered. */
export interface Domain {
  readonly name: string;
  readonly version: string;
  /** Big-endian, 32 bytes. */
  readonly chainId: Uint8Array;
  readonly verifyingContract: Uint8Array;
  readonly salt?: Uint8Array;
}

/** The structs as `encodeType` gives them; their type hashes are in the test vectors. */
export const TYPED_STRUCTS = {
  userDecryptResponse:
    'UserDecryptResponseVerification(bytes publicKey,bytes32[] ctHandles,bytes userDecryptedShare,bytes extraData)',
  userDecryptionLinker: 'UserDecryptionLinker(bytes publicKey,bytes32[] handles,address userAddress)',
  publicDecrypt: 'PublicDecryptVerification(bytes32[] ctHandles,bytes decryptedResult,bytes extraData)',
  keygen:
    'KeygenVerification(uint256 prepKeygenId,uint256 keyId,KeyDigest[] keyDigests,bytes extraData)' +
    'KeyDigest(uint8 keyType,bytes digest)',
  crsgen: 'CrsgenVerification(uint256 crsId,uint256 maxBitLength,bytes crsDigest,bytes extraData)',
  /** As the release 0.12 of the published service signed, before there were extra data. */
  keygenOf12:
    'KeygenVerification(uint256 prepKeygenId,uint256 keyId,KeyDigest[] keyDigests)KeyDigest(uint8 keyType,bytes digest)',
  crsgenOf12: 'CrsgenVerification(uint256 crsId,uint256 maxBitLength,bytes crsDigest)',
  prepKeygen: 'PrepKeygenVerification(uint256 prepKeygenId,bytes extraData)',
  decompressionUpgrade: 'FheDecompressionUpgradeKey(bytes decompressionUpgradeKeyDigest,bytes extraData)',
} as const;

/** `keyType` of the digests in KeygenVerification. */
export const KEY_DIGEST_TYPE = { ServerKey: 0, PublicKey: 1, CompressedXofKeySet: 3 } as const;
/** A public object whose digest KeygenVerification can carry. */
export type SignedKeyType = keyof typeof KEY_DIGEST_TYPE;

/** Returns whether KeygenVerification can carry the digest of such an object. */
export function isSignedKeyType(type: string): type is SignedKeyType {
  return Object.hasOwn(KEY_DIGEST_TYPE, type);
}

const WORD = 32;
const EMPTY = new Uint8Array(0);
const typeHash = (encodeType: string): Uint8Array => keccak256(new TextEncoder().encode(encodeType));
const USER_DECRYPT_RESPONSE = typeHash(TYPED_STRUCTS.userDecryptResponse);
const USER_DECRYPTION_LINKER = typeHash(TYPED_STRUCTS.userDecryptionLinker);
const PUBLIC_DECRYPT = typeHash(TYPED_STRUCTS.publicDecrypt);
const KEYGEN = typeHash(TYPED_STRUCTS.keygen);
const KEY_DIGEST = typeHash('KeyDigest(uint8 keyType,bytes digest)');
const CRSGEN = typeHash(TYPED_STRUCTS.crsgen);
const KEYGEN_OF_12 = typeHash(TYPED_STRUCTS.keygenOf12);
const CRSGEN_OF_12 = typeHash(TYPED_STRUCTS.crsgenOf12);
const PREP_KEYGEN = typeHash(TYPED_STRUCTS.prepKeygen);
const DECOMPRESSION_UPGRADE = typeHash(TYPED_STRUCTS.decompressionUpgrade);
const DOMAIN_FIELDS = 'string name,string version,uint256 chainId,address verifyingContract';
const DOMAIN = typeHash(`EIP712Domain(${DOMAIN_FIELDS})`);
const DOMAIN_WITH_SALT = typeHash(`EIP712Domain(${DOMAIN_FIELDS},bytes32 salt)`);
const HASH_OF_EMPTY = keccak256(EMPTY);

/** Few domains exist, each request names one: remember the checked ones. Bounded, since clients choose them. */
const MAX_REMEMBERED_DOMAINS = 64;
const MAX_REMEMBERED_NAME_LENGTH = 256;
const rememberedDomains = new Map<string, Domain>();
const separators = new WeakMap<Domain, Uint8Array>();

/**
 * Checks a request's domain: `verifying_contract` with its checksum, `chain_id` at most 32 bytes, `salt` exactly 32
 * when present. Names may be empty.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` naming the field.
 */
export function parseDomain(message: Eip712DomainMsg | undefined, keccak: Keccak256 = keccak256): Domain {
  if (message === undefined) throw fieldError('domain', 'domain is missing');
  const { name, version, chainId, verifyingContract, salt } = message;
  if (chainId.byteLength > WORD) throw fieldError('domain.chain_id', 'domain.chain_id must have at most 32 bytes');
  if (salt !== undefined && salt.byteLength !== WORD) {
    throw fieldError('domain.salt', 'domain.salt must have exactly 32 bytes');
  }
  const key = JSON.stringify([name, version, hex(chainId), verifyingContract, salt && hex(salt)]);
  const remembered = rememberedDomains.get(key);
  if (remembered !== undefined) return remembered;

  const domain: Domain = {
    name,
    version,
    chainId: leftPadded(chainId),
    verifyingContract: parseAddress(verifyingContract, 'domain.verifying_contract', keccak),
    ...(salt === undefined ? {} : { salt: Uint8Array.from(salt) }),
  };
  if (name.length + version.length <= MAX_REMEMBERED_NAME_LENGTH) remember(key, domain);
  return domain;
}

/** Returns the EIP-712 domain separator, 32 bytes. The result is remembered: do not write to it. */
export function domainSeparator(domain: Domain, keccak: Keccak256 = keccak256): Uint8Array {
  const known = separators.get(domain);
  if (known !== undefined) return known;
  const text = new TextEncoder();
  const struct = structOf(domain.salt === undefined ? DOMAIN : DOMAIN_WITH_SALT, domain.salt === undefined ? 4 : 5);
  struct.set(keccak(text.encode(domain.name)), WORD);
  struct.set(keccak(text.encode(domain.version)), 2 * WORD);
  struct.set(domain.chainId, 3 * WORD);
  struct.set(domain.verifyingContract, 5 * WORD - ADDRESS_BYTES);
  if (domain.salt !== undefined) struct.set(domain.salt, 5 * WORD);
  const separator = keccak(struct);
  separators.set(domain, separator);
  return separator;
}

/**
 * Digest of a user decryption's answer.
 *
 * @param args.publicKey - The request's `enc_key`, verbatim.
 * @param args.userDecryptedShare - Encoded response payload, see `encodeUserDecryptionPayload`.
 */
export function userDecryptResponseDigest(
  args: {
    readonly domain: Domain;
    readonly publicKey: Uint8Array;
    readonly ctHandles: readonly Uint8Array[];
    readonly userDecryptedShare: Uint8Array;
    readonly extraData: Uint8Array;
  },
  keccak: Keccak256 = keccak256,
): Uint8Array {
  const struct = structOf(USER_DECRYPT_RESPONSE, 4);
  struct.set(keccak(args.publicKey), WORD);
  struct.set(handlesHash(args.ctHandles, keccak), 2 * WORD);
  struct.set(keccak(args.userDecryptedShare), 3 * WORD);
  struct.set(bytesHash(args.extraData, keccak), 4 * WORD);
  return digestOf(args.domain, struct, keccak);
}

/** The link: binds key, handles and user of a user decryption. Stands in the payload and in every plaintext. */
export function userDecryptionLink(
  args: {
    readonly domain: Domain;
    readonly publicKey: Uint8Array;
    readonly handles: readonly Uint8Array[];
    readonly userAddress: Uint8Array;
  },
  keccak: Keccak256 = keccak256,
): Uint8Array {
  const struct = structOf(USER_DECRYPTION_LINKER, 3);
  struct.set(keccak(args.publicKey), WORD);
  struct.set(handlesHash(args.handles, keccak), 2 * WORD);
  struct.set(args.userAddress, 4 * WORD - ADDRESS_BYTES);
  return digestOf(args.domain, struct, keccak);
}

/** Digest of a public decryption. `decryptedResult` is {@link abiEncodePlaintexts} of the plaintexts. */
export function publicDecryptDigest(
  args: {
    readonly domain: Domain;
    readonly ctHandles: readonly Uint8Array[];
    readonly decryptedResult: Uint8Array;
    readonly extraData: Uint8Array;
  },
  keccak: Keccak256 = keccak256,
): Uint8Array {
  const struct = structOf(PUBLIC_DECRYPT, 3);
  struct.set(handlesHash(args.ctHandles, keccak), WORD);
  struct.set(keccak(args.decryptedResult), 2 * WORD);
  struct.set(bytesHash(args.extraData, keccak), 3 * WORD);
  return digestOf(args.domain, struct, keccak);
}

/**
 * Digest of a key generation: the key's public objects in the order of their types. Without extra data: as
 * {@link TYPED_STRUCTS.keygenOf12}, which is verified and never signed.
 */
export function keygenDigest(
  args: {
    readonly domain: Domain;
    readonly prepKeygenId: RequestId;
    readonly keyId: RequestId;
    readonly keyDigests: readonly { readonly type: SignedKeyType; readonly digest: Uint8Array }[];
    readonly extraData: Uint8Array | undefined;
  },
  keccak: Keccak256 = keccak256,
): Uint8Array {
  const hashes = new Uint8Array(args.keyDigests.length * WORD);
  args.keyDigests.forEach(({ type, digest }, i) => {
    const item = structOf(KEY_DIGEST, 2);
    item[2 * WORD - 1] = KEY_DIGEST_TYPE[type];
    item.set(keccak(digest), 2 * WORD);
    hashes.set(keccak(item), i * WORD);
  });
  const struct = args.extraData ? structOf(KEYGEN, 4) : structOf(KEYGEN_OF_12, 3);
  struct.set(idBytes(args.prepKeygenId), WORD);
  struct.set(idBytes(args.keyId), 2 * WORD);
  struct.set(keccak(hashes), 3 * WORD);
  if (args.extraData) struct.set(bytesHash(args.extraData, keccak), 4 * WORD);
  return digestOf(args.domain, struct, keccak);
}

/** Digest of a CRS generation; `maxBitLength` is the effective value. */
export function crsgenDigest(
  args: {
    readonly domain: Domain;
    readonly crsId: RequestId;
    readonly maxBitLength: number;
    readonly crsDigest: Uint8Array;
    readonly extraData: Uint8Array | undefined;
  },
  keccak: Keccak256 = keccak256,
): Uint8Array {
  const struct = args.extraData ? structOf(CRSGEN, 4) : structOf(CRSGEN_OF_12, 3);
  struct.set(idBytes(args.crsId), WORD);
  new DataView(struct.buffer).setUint32(3 * WORD - 4, args.maxBitLength);
  struct.set(keccak(args.crsDigest), 3 * WORD);
  if (args.extraData) struct.set(bytesHash(args.extraData, keccak), 4 * WORD);
  return digestOf(args.domain, struct, keccak);
}

/** Digest of a preprocessing. */
export function prepKeygenDigest(
  args: { readonly domain: Domain; readonly prepKeygenId: RequestId; readonly extraData: Uint8Array },
  keccak: Keccak256 = keccak256,
): Uint8Array {
  const struct = structOf(PREP_KEYGEN, 2);
  struct.set(idBytes(args.prepKeygenId), WORD);
  struct.set(bytesHash(args.extraData, keccak), 2 * WORD);
  return digestOf(args.domain, struct, keccak);
}

/** Digest of the generation of a decompression-only key. */
export function decompressionUpgradeDigest(
  args: { readonly domain: Domain; readonly keyDigest: Uint8Array; readonly extraData: Uint8Array },
  keccak: Keccak256 = keccak256,
): Uint8Array {
  const struct = structOf(DECOMPRESSION_UPGRADE, 2);
  struct.set(keccak(args.keyDigest), WORD);
  struct.set(bytesHash(args.extraData, keccak), 2 * WORD);
  return digestOf(args.domain, struct, keccak);
}

function structOf(hash: Uint8Array, fields: number): Uint8Array<ArrayBuffer> {
  const struct = new Uint8Array((1 + fields) * WORD);
  struct.set(hash);
  return struct;
}

function digestOf(domain: Domain, struct: Uint8Array, keccak: Keccak256): Uint8Array {
  const preimage = new Uint8Array(2 + 2 * WORD);
  preimage[0] = 0x19;
  preimage[1] = 0x01;
  preimage.set(domainSeparator(domain, keccak), 2);
  preimage.set(keccak(struct), 2 + WORD);
  return keccak(preimage);
}

function bytesHash(bytes: Uint8Array, keccak: Keccak256): Uint8Array {
  return bytes.byteLength === 0 ? HASH_OF_EMPTY : keccak(bytes);
}

/** A bytes32[] field; shorter handles count as padded with zeros on the left. */
function handlesHash(handles: readonly Uint8Array[], keccak: Keccak256): Uint8Array {
  const words = new Uint8Array(handles.length * WORD);
  handles.forEach((handle, index) => {
    if (handle.byteLength > WORD) {
      throw new KmsError('REQUEST_INVALID', 'external_handle must have at most 32 bytes', { index });
    }
    words.set(handle, (index + 1) * WORD - handle.byteLength);
  });
  return keccak(words);
}

function remember(key: string, domain: Domain): void {
  if (rememberedDomains.size >= MAX_REMEMBERED_DOMAINS) {
    const oldest = rememberedDomains.keys().next();
    if (!oldest.done) rememberedDomains.delete(oldest.value);
  }
  rememberedDomains.set(key, domain);
}

function leftPadded(bytes: Uint8Array): Uint8Array {
  const word = new Uint8Array(WORD);
  word.set(bytes, WORD - bytes.byteLength);
  return word;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

function fieldError(field: string, message: string): KmsError {
  return new KmsError('REQUEST_INVALID', message, { field });
}
