/**
 * Checks of what a node signs that use nothing of ours: viem for EIP-712, node:crypto for Ed25519 and ML-DSA, noble for
 * the internal signature, encodings written out from the published text (kms-service 3.1, 3.3, 4).
 */
import { createHash, createPublicKey, verify } from 'node:crypto';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import { shake256 } from '@noble/hashes/sha3.js';
import { recoverTypedDataAddress } from 'viem';
import { present } from './present.ts';

/** A domain as the wire has it. */
export interface WireDomain {
  readonly name: string;
  readonly version: string;
  readonly chain_id: Uint8Array;
  readonly verifying_contract: `0x${string}`;
  readonly salt?: Uint8Array;
}

/** `TypedSignature` of the wire. */
export interface WireSignature {
  readonly scheme: string;
  readonly signature: Buffer;
}

const STRUCTS: Readonly<Record<string, string>> = {
  UserDecryptResponseVerification: 'bytes publicKey,bytes32[] ctHandles,bytes userDecryptedShare,bytes extraData',
  UserDecryptionLinker: 'bytes publicKey,bytes32[] handles,address userAddress',
  PublicDecryptVerification: 'bytes32[] ctHandles,bytes decryptedResult,bytes extraData',
  KeygenVerification: 'uint256 prepKeygenId,uint256 keyId,KeyDigest[] keyDigests,bytes extraData',
  KeyDigest: 'uint8 keyType,bytes digest',
  CrsgenVerification: 'uint256 crsId,uint256 maxBitLength,bytes crsDigest,bytes extraData',
  PrepKeygenVerification: 'uint256 prepKeygenId,bytes extraData',
  FheDecompressionUpgradeKey: 'bytes decompressionUpgradeKeyDigest,bytes extraData',
};

function fieldsOf(struct: string): { name: string; type: string }[] {
  return present(STRUCTS[struct], struct)
    .split(',')
    .map((field) => field.split(' '))
    .map(([type = '', name = '']) => ({ type, name }));
}

/** Text that viem takes for bytes. */
export const hex = (bytes: Uint8Array): `0x${string}` => `0x${Buffer.from(bytes).toString('hex')}`;

/** An id as viem takes a uint256. */
export const uintOf = (id: string): bigint => BigInt(`0x${id}`);

/** Recovers who signed a typed struct. */
export function signerOf(
  domain: WireDomain,
  struct: string,
  message: Record<string, unknown>,
  signature: Uint8Array,
): Promise<string> {
  const { name, version, chain_id, verifying_contract: verifyingContract, salt } = domain;
  const types = {
    // Named one by one: viem leaves out what is empty, a node does not.
    EIP712Domain: [
      { name: 'name', type: 'string' },
      { name: 'version', type: 'string' },
      { name: 'chainId', type: 'uint256' },
      { name: 'verifyingContract', type: 'address' },
      ...(salt ? [{ name: 'salt', type: 'bytes32' }] : []),
    ],
    [struct]: fieldsOf(struct),
    KeyDigest: fieldsOf('KeyDigest'),
  };
  return recoverTypedDataAddress({
    domain: { name, version, chainId: BigInt(hex(chain_id)), verifyingContract, ...(salt ? { salt: hex(salt) } : {}) },
    types,
    primaryType: struct,
    message,
    signature: hex(signature),
  });
}

/** `SHAKE256(tag ‖ bytes)`, 32 bytes. */
export const tagged = (tag: string, bytes: Uint8Array): Buffer =>
  Buffer.from(shake256(Buffer.concat([Buffer.from(tag), bytes]), { dkLen: 32 }));

/** Little-endian u32. */
export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

/** Little-endian u64. */
export function u64(value: number): Buffer {
  return Buffer.concat([u32(value), u32(0)]);
}

/** A byte vector, or the UTF-8 of a text: its length, then it. */
export function vec(content: Uint8Array | string): Buffer {
  const bytes = Buffer.from(content);
  return Buffer.concat([u64(bytes.length), bytes]);
}

/** A safe serialization: header, type name, body. */
export const safe = (name: string, ...body: Uint8Array[]): Buffer =>
  Buffer.concat([vec('0.5'), u32(0), vec('0.1'), vec(name), ...body]);

/** Schemes beside ECDSA: id and type name of the published key, its size, and the start of its SPKI form. */
const SCHEMES: Readonly<Record<string, readonly [id: string, name: string, sizeBytes: number, spki: string]>> = {
  ED25519: [
    'ab71324874cb68940288a7262f9af0f984a2a55c529d9728d03310dfc91a2b41',
    'Ed25519VerfKey',
    32,
    '302a300506032b6570032100',
  ],
  MLDSA44: [
    'd424162ac21b8e361ce5531b94d450816d837db859e263534a201354c76f21cc',
    'MlDsa44VerfKey',
    1312,
    '30820532300b06096086480165030403110382052100',
  ],
  MLDSA65: [
    '5d9a570b2fb0befb80010da93e1c5109ae6d0eac45a20dc313fda76f2220c42a',
    'MlDsa65VerfKey',
    1952,
    '308207b2300b0609608648016503040312038207a100',
  ],
  MLDSA87: [
    '49cb8dfab84a16bbeca9938a3b5fc365a4067e9cfe1ea2abfba2d5b9de6356ab',
    'MlDsa87VerfKey',
    2592,
    '30820a32300b060960864801650304031303820a2100',
  ],
};

/** Id of the node's own key among the published objects. */
export const SIGNING_KEY_ID = '60b7070add74be3827160aa635fb255eeeeb88586c4debf7ab1134ddceb4beee';

/** Reads an object of the public vault. */
export type Fetch = (type: string, id: string) => Promise<Buffer>;

/** Returns whether a signature of another scheme is that of the published key over `data`. */
export async function isSigned({ scheme, signature }: WireSignature, data: Uint8Array, fetch: Fetch): Promise<boolean> {
  const [id, name, sizeBytes, spki] = present(SCHEMES[scheme], scheme);
  const object = await fetch('TypedVerfKey', id);
  const header = safe(name, u64(sizeBytes));
  if (!object.subarray(0, header.length).equals(header) || object.length !== header.length + sizeBytes) return false;
  const der = Buffer.concat([Buffer.from(spki, 'hex'), object.subarray(header.length)]);
  return verify(null, data, createPublicKey({ key: der, format: 'der', type: 'spki' }), signature);
}

/** Returns whether `signature` is the internal one of the published key: 64 bytes over SHA-256(tag ‖ payload). */
export async function isInternallySigned(
  signature: Uint8Array,
  tag: string,
  payload: Uint8Array,
  fetch: Fetch,
): Promise<boolean> {
  const key = (await fetch('VerfKey', SIGNING_KEY_ID)).subarray(-33);
  const digest = createHash('sha256').update(tag).update(payload).digest();
  return signature.length === 64 && secp256k1.verify(signature, digest, key, { prehash: false, lowS: true });
}
