/** A node that seals, and what is asked of its objects: shared by the tests of sealed objects. */
import { concatBytes } from '../../../common/bytes.ts';
import type { RandomSource } from '../../../common/random.ts';
import { clearKeyring } from '../../../enclave/seal/clear-keyring.ts';
import type { ExpectedObject, ObjectClaims } from '../../../enclave/seal/object-claims.ts';
import { objectSigner } from '../../../enclave/seal/object-signatures.ts';
import { openWhole } from '../../../enclave/seal/open-object.ts';
import { sealFaultsOf } from '../../../enclave/seal/seal-faults.ts';
import { type Sealer, type SealOptions, sealObject } from '../../../enclave/seal/seal-object.ts';
import { NodeKey } from '../../../native/engine/index.ts';
import { seededRandom } from '../../helpers/mutate.ts';

/** The node of the tests; not secret. */
export const NODE_SCALAR = Uint8Array.from({ length: 32 }, (_, i) => i + 1);

const EPOCH = 'bb'.repeat(32);
const KEY = 'cc'.repeat(32);

/** The object of the tests. */
export const CLAIMS: ObjectClaims = {
  purpose: 'private-object',
  charterDigest: new Uint8Array(48).fill(7),
  party: 2,
  name: `FheKeyInfo/${EPOCH}/${KEY}`,
  type: 'arca::KeyShares',
  keyId: KEY,
  contextId: 'aa'.repeat(32),
  epochId: EPOCH,
  parameters: 'test',
  version: 5,
};

/** Returns a signer over a scalar. */
export const signerOf = (scalar: Uint8Array) => objectSigner(NodeKey.fromBytes(scalar));

/** Signs as the node of the tests. */
export const SIGNER = signerOf(NODE_SCALAR);

/** What a reader of that object asks for. */
export function askedFor({ version, ...claims }: ObjectClaims = CLAIMS): ExpectedObject {
  return { ...claims, signer: SIGNER.publicKey, notBefore: version };
}

/** Randomness that comes back with its seed. */
export function fixedRandom(seed: number): RandomSource {
  const next = seededRandom(seed);
  return (sizeBytes) => Uint8Array.from({ length: sizeBytes }, () => next(256));
}

/** Returns a sealer whose randomness comes back. */
export function fixedSealer(seed: number): Sealer {
  const random = fixedRandom(seed);
  return { signer: SIGNER, keyring: clearKeyring(random), random };
}

/** Hands bytes out in pieces. */
export async function* pieces(bytes: Uint8Array, sizeBytes = bytes.length): AsyncGenerator<Uint8Array, void> {
  for (let at = 0; at < bytes.length; at += sizeBytes) yield bytes.slice(at, at + sizeBytes);
}

/** Seals bytes. */
export async function sealBytes(
  content: Uint8Array,
  { claims = CLAIMS, seed = 1, sealer = fixedSealer(seed), ...options }: Partial<Settings> & SealOptions = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  const settings = { sizeBytes: content.length, ...options };
  for await (const part of sealObject(claims, pieces(content, 10_000), sealer, settings)) parts.push(part.slice());
  return concatBytes(...parts);
}

interface Settings {
  readonly claims: ObjectClaims;
  readonly seed: number;
  readonly sealer: Sealer;
}

/** Opens bytes that lie in memory. */
export async function openBytes(
  sealed: Uint8Array,
  { asked = askedFor(), keyring = clearKeyring(), maxBytes = 1 << 26, sizeBytes = 50_000 } = {},
): Promise<Uint8Array> {
  return await openWhole(pieces(sealed, sizeBytes), asked, { keyring, maxBytes });
}

/** Returns the names of what keeps something from opening; `opened` if nothing does. An error of another kind is thrown on. */
export async function faultsOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'opened';
  } catch (error) {
    const faults = sealFaultsOf(error);
    if (faults.length === 0) throw error;
    return faults.join(',');
  }
}

/** Returns where the parts of a sealed object begin. */
export function partsOf(sealed: Uint8Array): { readonly head: number; readonly body: number; readonly tail: number } {
  const headBytes = new DataView(sealed.buffer, sealed.byteOffset).getUint32(12, true);
  return { head: 16, body: 16 + headBytes + 64, tail: sealed.length - 64 };
}
