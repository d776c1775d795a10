/** Writes key shares and squashed ciphertexts of production size with any numbers in them, for comparing kernels. */
import { concatBytes } from '../../../common/bytes.ts';
import { encodeWord } from '../../../enclave/algebra/ring-encoding.ts';
import type { PackedSamples, Sample } from '../../../enclave/algebra/squashed-ciphertext.ts';

const u32 = (value: number): Uint8Array => encodeWord(BigInt(value), 4);
const u64 = (value: number): Uint8Array => encodeWord(BigInt(value), 8);
const byteString = (bytes: Uint8Array): Uint8Array => concatBytes(u64(bytes.byteLength), bytes);
const text = (value: string): Uint8Array => byteString(new TextEncoder().encode(value));
const header = (name: string): Uint8Array => concatBytes(text('0.5'), u32(0), text('0.1'), text(name));
const words = (values: readonly bigint[]): Uint8Array => concatBytes(...values.map((value) => encodeWord(value, 16)));
/** A number behind its version. */
const wrapped = (value: number): Uint8Array => concatBytes(u32(0), u64(value));
/** 2^128. */
const modulus = concatBytes(u32(0), new Uint8Array(16), u64(128));

/** Coefficients of the secret keys of the production parameters, in order of their numbers. */
const KEY_SIZES = [2048, 918, 2048, 1024, 4096, 6144, 918] as const;
/** Mask polynomials of packed squashed ciphertexts, and their size. */
export const PACKED = { polynomials: 6, size: 1024 } as const;
/** Coefficients of the key of expanded squashed ciphertexts. */
export const SQUASH_SIZE = KEY_SIZES[4];

/** Key shares in their stored form; `bytesOf` gives the bytes of the shares of a key, 64 a coefficient. */
export function writeKeyShares(o: {
  readonly n: number;
  readonly t: number;
  readonly party: number;
  readonly sharingId: Uint8Array;
  readonly bytesOf: (kind: number, sizeBytes: number) => Uint8Array;
}): Uint8Array {
  const [production, developer] = [0, 3];
  return concatBytes(
    header('arca::KeyShares'),
    ...[0, production, o.n, o.t, o.party, developer].map(u32),
    o.sharingId,
    byteString(new Uint8Array(32)),
    byteString(new Uint8Array()),
    ...KEY_SIZES.flatMap((size, kind) => [u64(size), o.bytesOf(kind, 64 * size)]),
    words([0n, 0n]), // encryptions of zero, which nothing here opens
  );
}

/** A `BigCompressed` integer of one packed ciphertext: two 2-bit blocks in each body. */
export function writeCompressed({ mask, bodies }: PackedSamples): Uint8Array {
  const coefficients = [...mask.flat(), ...bodies];
  return concatBytes(
    header('high_level_api::CompressedSquashedNoiseCiphertextList'),
    ...[0, 0, 0].map(u32),
    u64(1),
    ...[0, 0].map(u32),
    u64(coefficients.length),
    words(coefficients),
    wrapped(128),
    u64(coefficients.length),
    ...[PACKED.polynomials, PACKED.size, bodies.length].map(wrapped),
    modulus,
    Uint8Array.of(1),
    u32(0),
    ...[4, 4, 128].map(wrapped),
    u64(1),
    u32(0),
    u32(0),
    u64(2 * bodies.length),
    u32(0),
    byteString(new Uint8Array()),
  );
}

/** A `BigExpanded` integer; `unpacked` samples are under the key of packed ones. */
export function writeExpanded(samples: readonly Sample[], unpacked: boolean): Uint8Array {
  const block = ({ mask, body }: Sample): Uint8Array =>
    concatBytes(...[0, 0].map(u32), u64(mask.length + 1), words([...mask, body]), modulus, ...[15, 4, 4].map(wrapped));
  return concatBytes(
    header('high_level_api::SquashedNoiseFheUint'),
    ...[1, 0, 0].map(u32),
    u64(samples.length),
    ...samples.map(block),
    u64(2 * samples.length),
    u32(0),
    u32(unpacked ? 1 : 0),
    u32(0),
    byteString(new Uint8Array()),
  );
}
