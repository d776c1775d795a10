/**
 * Writes vaults as a node of the published layout does, from kms-service.md sections 3.3, 6 and 7.2 alone: nothing of our
 * readers is used.
 */
import { constants, createPublicKey, publicEncrypt, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { GenerateDataKeyCommand, GetPublicKeyCommand, type KMSClient } from '@aws-sdk/client-kms';
import { gcmsiv } from '@noble/ciphers/aes.js';
import { type FheKey, measureObject, splitKey } from '../../native/engine/index.ts';
import { clientKeyOf } from './client-key.ts';
import { present } from './present.ts';

type Part = Uint8Array | readonly Part[];

/** Joins parts. */
export const bytes = (...parts: readonly Part[]): Uint8Array =>
  new Uint8Array(Buffer.concat(parts.map((part) => (part instanceof Uint8Array ? part : bytes(...part)))));

const number = (size: number) => (value: number) => {
  const out = Buffer.alloc(size);
  out.writeUIntLE(value, 0, Math.min(size, 6));
  return out;
};
/** Integers of fixed width, low byte first. */
export const [u8, u32, u64] = [number(1), number(4), number(8)] as const;

/** A length and so many bytes. */
export const vec = (content: Uint8Array): Uint8Array => bytes(u64(content.byteLength), content);
const text = (content: string): Uint8Array => vec(Buffer.from(content));
const hex = (digits: string): Uint8Array => Buffer.from(digits, 'hex');
const some = (part: Part | undefined): Uint8Array => (part === undefined ? u8(0) : bytes(u8(1), part));

/** A safe serialization. */
export const safe = (name: string, ...body: readonly Part[]): Uint8Array =>
  bytes(text('0.5'), u32(0), text('0.1'), text(name), body);

/** What follows the header of a safe serialization. */
export function bodyOf(name: string, object: Uint8Array): Uint8Array {
  return object.subarray(safe(name).byteLength);
}

/** What the metadata of a key says. */
export interface KeyFacts {
  readonly keyId: string;
  readonly preprocessingId: string;
  /** By the number of the type, ascending. */
  readonly digests: readonly (readonly [number, Uint8Array])[];
  readonly extraData?: Uint8Array;
  readonly signature: Uint8Array;
  /** 3 unless an older release wrote it. */
  readonly version?: 2 | 3;
}

/** `KeyGenMetadata` inside of another object. */
export const keyMetadata = ({ keyId, preprocessingId, digests, extraData, signature, version = 3 }: KeyFacts) =>
  bytes(
    [u32(0), u32(0), u32(version), hex(keyId), hex(preprocessingId)],
    [u64(digests.length), digests.map(([type, digest]) => [u32(0), u32(type), vec(digest)])],
    [some(extraData && vec(extraData)), vec(signature), version === 3 ? u64(0) : []],
  );

/** `CrsGenMetadata`. */
export const crsMetadata = (crsId: string, digest: Uint8Array, maxNumBits: number, signature: Uint8Array) =>
  safe(
    'CrsGenMetadata',
    [u32(1), u32(0), u32(2), hex(crsId), vec(digest)],
    u32(maxNumBits),
    u8(0),
    vec(signature),
    u64(0),
  );

/** `PrivateSigKey`. */
export const privateSigKey = (scalar: Uint8Array) => safe('PrivateSigKey', u32(0), vec(scalar));

/** `KmsFheKeyHandles` of a centralized node. */
export const keyHandles = (key: FheKey, facts: KeyFacts, version = 1) =>
  safe('KmsFheKeyHandles', u32(version), clientKeyBody(key), some(undefined), keyMetadata(facts));

const clientKeyBody = (key: FheKey): Uint8Array => bodyOf('high_level_api::ClientKey', clientKeyOf(key));

/** What is to be different in a `ThresholdFheKeys`. */
export interface ShareForm {
  readonly version?: 1 | 2 | 3;
  readonly privateVersion?: 1 | 2 | 3;
  /** 0 also holds what is made of a compressed key set. */
  readonly materialVersion?: 0 | 1;
  /** Over the ring of 64 bits. */
  readonly small?: boolean;
  readonly owner?: number;
  readonly withoutSquash?: boolean;
}

/** Public material as it lies in the private object, without headers. */
export type PublicBodies = { readonly keySet: Uint8Array } | { readonly serverKey: Uint8Array };

/** Writes one party's `ThresholdFheKeys` for each party of n. */
export function thresholdKeys(
  key: FheKey,
  { n, t }: { readonly n: number; readonly t: number },
  facts: KeyFacts,
  material: PublicBodies,
  form: ShareForm = {},
): Uint8Array[] {
  const parameters = pbsParameters(clientKeyBody(key));
  return sharingOf(key, n, t).map((keys, index) => {
    const { version = 3 } = form;
    const body = privateKeys(keys, parameters, form.owner ?? index + 1, form);
    const inside = 'keySet' in material ? material.keySet : material.serverKey;
    const expanded = [inside, some(undefined), some(undefined)];
    const variants = 'keySet' in material ? [u32(1), inside] : [u32(0), expanded];
    const published = version === 1 ? expanded : [u32(form.materialVersion ?? 1), variants];
    return safe('ThresholdFheKeys', u32(version), body, published, keyMetadata(facts));
  });
}

const sharings = new WeakMap<FheKey, Map<number, readonly Uint8Array[][]>>();

/** The elements of all parties' shares: of one sharing for each key and number of parties. */
function sharingOf(key: FheKey, n: number, t: number): readonly Uint8Array[][] {
  const ofKey = sharings.get(key) ?? new Map<number, readonly Uint8Array[][]>();
  sharings.set(key, ofKey);
  const known = ofKey.get(n);
  if (known) return known;
  const made = splitKey({ key, n, t, provenance: 'imported' }).map((shares) => {
    using own = shares;
    return elementsOf(own.encode());
  });
  ofKey.set(n, made);
  return made;
}

function privateKeys(keys: readonly Uint8Array[], parameters: Uint8Array, owner: number, form: ShareForm): Uint8Array {
  const { privateVersion = 3, small = false, withoutSquash = false } = form;
  const [publicEncryption, compute, big, compression, , , oprf] = keys.map((elements) =>
    sharesOf(elements, owner, small),
  );
  const ring = u32(small ? 0 : 1);
  const lwe = (shares: Uint8Array | undefined) => bytes(u32(0), present(shares));
  // Keys of noise squashing are over the large ring whatever the others are.
  const large = (kind: number) => lwe(sharesOf(present(keys[kind]), owner, false));
  const glwe = (shares: Uint8Array | undefined) => bytes(u32(0), present(shares), u32(0), u64(256));
  return bytes(
    [u32(privateVersion), u32(0), ring, lwe(publicEncryption), u32(0), ring, lwe(compute)],
    privateVersion === 3 ? some([u32(0), ring, lwe(oprf)]) : [],
    [u32(0), ring, glwe(big), some(withoutSquash ? undefined : large(4))],
    some([u32(0), ring, u32(0), glwe(compression), compressionParameters()]),
    [some(large(5)), parameters],
  );
}

const ELEMENT = 64;

function sharesOf(elements: Uint8Array, owner: number, small: boolean): Uint8Array {
  const count = elements.byteLength / ELEMENT;
  const shares = Array.from({ length: count }, (_, index) => {
    const element = elements.subarray(index * ELEMENT, (index + 1) * ELEMENT);
    const words = small ? [0, 16, 32, 48].map((at) => element.subarray(at, at + 8)) : element;
    return bytes(u32(0), u32(0), u64(4), words, u32(0), u64(owner));
  });
  return bytes(u64(count), shares);
}

/** Elements of the seven keys in our own stored form (docs/formats/private-objects.md). */
function elementsOf(stored: Uint8Array): Uint8Array[] {
  const view = new DataView(stored.buffer, stored.byteOffset, stored.byteLength);
  const length = (at: number) => Number(view.getBigUint64(at, true));
  let at = safe('arca::KeyShares').byteLength + 6 * 4 + 32;
  for (let skipped = 0; skipped < 2; skipped++) at += 8 + length(at);
  return Array.from({ length: 7 }, () => {
    const start = at + 8;
    at = start + length(at) * ELEMENT;
    return stored.subarray(start, at);
  });
}

/** `ClassicPBSParameters`, which follow the two secret keys of a client key. */
function pbsParameters(clientKey: Uint8Array): Uint8Array {
  const view = new DataView(clientKey.buffer, clientKey.byteOffset, clientKey.byteLength);
  // ClientKey, integer, shortint, pattern: a version each; the pattern's variant; the version of what it holds.
  let at = 7 * 4;
  const glweBits = Number(view.getBigUint64(at + 4, true));
  at += 4 + 8 + glweBits * 8 + 4 + 8;
  const lweBits = Number(view.getBigUint64(at + 4, true));
  at += 4 + 8 + lweBits * 8 + 8; // and version and variant of the parameters
  return clientKey.subarray(at, at + measureObject('PbsParameters', clientKey.subarray(at)));
}

/** The part of a published `ServerKey` that lies in private objects: behind the versions of what is around it. */
export function integerServerKey(published: Uint8Array): Uint8Array {
  const inside = bodyOf('high_level_api::ServerKey', published).subarray(8);
  return inside.subarray(0, measureObject('ServerKey', inside));
}

/** `CompressionParameters` of the test set. */
function compressionParameters(): Uint8Array {
  const wrapped = [1, 24, 1, 27, 256, 1, 256, 9].map((value) => [u32(0), u64(value)]);
  return bytes(u32(1), u32(0), u32(0), wrapped, [u32(0), u32(1), u32(0), u32(0)]);
}

/** Makes a data key under a root key: its bytes, and what is kept of it. */
export type DataKeyMaker = () => Promise<{ readonly dataKey: Uint8Array; readonly wrapped: Uint8Array }>;

/** Data keys of a symmetric root key. */
export const symmetricKeys =
  (client: KMSClient, KeyId: string): DataKeyMaker =>
  async () => {
    const made = await client.send(new GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_256' }));
    return { dataKey: present(made.Plaintext), wrapped: present(made.CiphertextBlob) };
  };

/** Data keys of an RSA root key. */
export const asymmetricKeys =
  (client: KMSClient, KeyId: string): DataKeyMaker =>
  async () => {
    const { PublicKey } = await client.send(new GetPublicKeyCommand({ KeyId }));
    const key = createPublicKey({ key: Buffer.from(present(PublicKey)), format: 'der', type: 'spki' });
    const dataKey = randomBytes(32);
    const padding = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' };
    return { dataKey, wrapped: publicEncrypt({ key, ...padding }, dataKey) };
  };

/** `AppKeyBlob` over an object. */
export async function appKeyBlob(rootKeyId: string, object: Uint8Array, keys: DataKeyMaker): Promise<Uint8Array> {
  const { dataKey, wrapped } = await keys();
  const iv = randomBytes(12);
  const sealed = gcmsiv(dataKey, iv).encrypt(object);
  const [ciphertext, tag] = [sealed.subarray(0, -16), sealed.subarray(-16)];
  return safe('AppKeyBlob', u32(0), text(rootKeyId), vec(wrapped), vec(ciphertext), vec(iv), vec(tag));
}

/** Writes a file below a folder, with the folders on its way. */
export function place(folder: string, path: readonly string[], content: Uint8Array | string): void {
  const file = join(folder, ...path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
}

/** Reads a public object that a test key set wrote. */
export const publicFile = (folder: string, type: string): Uint8Array =>
  new Uint8Array(readFileSync(join(folder, type)));
