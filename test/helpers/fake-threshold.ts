/**
 * Arithmetic of a quorum without its cost, and without any secrecy: a share is a hash of the ciphertext, sealed for its
 * party. Sizes are those of real shares; 2t + 1 that agree open, and others are named, as the real decoder does.
 */
import { createHash } from 'node:crypto';
import { KmsError } from '../../common/errors.ts';
import type { OpenDecryption, PartialDecrypt } from '../../enclave/threshold/kernels.ts';
import { FHE_TYPES } from '../../wire/fhe-types.ts';
import { present } from './present.ts';

const ELEMENT_BYTES = 64;
const HASH_BYTES = 32;

/** What a ciphertext holds. */
export function fakePlaintext(ciphertext: Uint8Array, fheType: number): Uint8Array {
  return plaintextOf(hash(ciphertext), fheType);
}

/** A party's shares; ciphertexts that begin with 0xff are malformed. `epoch` differs where set-ups differ. */
export function fakePartialDecrypt(party: number, epoch = 0): PartialDecrypt {
  return async (items) =>
    items.map(({ ciphertext, fheType }) => {
      if (ciphertext[0] === 0xff) throw new KmsError('CIPHERTEXT_INVALID', 'not a ciphertext');
      const value = hash(ciphertext);
      const shares = Buffer.alloc(sizeOf(fheType));
      shares.set(value);
      shares.set(sealOf(party, epoch, value), HASH_BYTES);
      return shares;
    });
}

/** Opens what {@link fakePartialDecrypt} made, all of it of epochs 0 and 1. */
export const fakeOpenDecryption: OpenDecryption = async ({ t, fheType, contributions }) => {
  const groups = new Map<string, { readonly party: number; readonly epoch: number }[]>();
  for (const [party, bytes] of contributions) {
    const value = bytes.subarray(0, HASH_BYTES);
    const epoch = [0, 1].find((number) => isWhole(bytes, sealOf(party, number, value), sizeOf(fheType)));
    if (epoch === undefined) continue;
    const key = Buffer.from(value).toString('hex');
    groups.set(key, [...(groups.get(key) ?? []), { party, epoch }]);
  }
  for (const [key, group] of groups) {
    if (group.length < 2 * t + 1) continue;
    if (new Set(group.map(({ epoch }) => epoch)).size > 1) {
      throw new KmsError('ABORTED', 'inconsistent epoch: what opens is no masked block of this ciphertext');
    }
    const right = new Set(group.map(({ party }) => party));
    const liars = [...contributions.keys()].filter((party) => !right.has(party)).sort((a, b) => a - b);
    return { plaintext: plaintextOf(Buffer.from(key, 'hex'), fheType), liars };
  }
  return undefined;
};

function sizeOf(fheType: number): number {
  const { bits } = present(FHE_TYPES[fheType]);
  return Math.ceil(Math.ceil(bits / 4) / 4) * ELEMENT_BYTES;
}

function isWhole(bytes: Uint8Array, seal: Uint8Array, sizeBytes: number): boolean {
  const [given, rest] = [bytes.subarray(HASH_BYTES, ELEMENT_BYTES), bytes.subarray(ELEMENT_BYTES)];
  return bytes.byteLength === sizeBytes && Buffer.compare(given, seal) === 0 && rest.every((byte) => byte === 0);
}

function sealOf(party: number, epoch: number, value: Uint8Array): Uint8Array {
  return hash(Uint8Array.of(party, epoch), value);
}

function plaintextOf(value: Uint8Array, fheType: number): Uint8Array {
  const { sizeBytes, bits } = present(FHE_TYPES[fheType]);
  const bytes = Uint8Array.from({ length: sizeBytes }, (_, i) => value[i % HASH_BYTES] ?? 0);
  return bits < 8 ? bytes.map((byte) => byte & ((1 << bits) - 1)) : bytes;
}

function hash(...parts: readonly Uint8Array[]): Uint8Array {
  const all = createHash('sha256');
  for (const part of parts) all.update(part);
  return new Uint8Array(all.digest());
}
