/**
 * One party's `PrivateKeySet` of the published layout: shares of the bits of all secret keys, in GR(2^128, 4).
 *
 * SECRET: the shares, of which this gives views into the input. Rings, evaluation points and the order of bits are those of
 * our own shares (kms-service.md sections 3.3 and 5.6), so that nothing is computed here.
 */
import { KmsError } from '../../common/errors.ts';
import type { MeasuredKind } from '../../native/engine/index.ts';
import type { BincodeReader } from '../../wire/bincode.ts';

/** Four coefficients of 16 bytes. */
export const SHARE_ELEMENT_BYTES = 64;

/** The shares of all keys. */
export interface ShareSet {
  /** 0 `default`, 1 `test`. */
  readonly params: number;
  /** Public encryption, compute, GLWE, compression, squashing, squashed compression, OPRF; empty where there is none. */
  readonly keys: readonly Uint8Array[];
  /** Bytes from one share to the next. */
  readonly strideBytes: number;
  /** The element of the share that begins at an offset. */
  element(key: Uint8Array, at: number): Uint8Array;
}

const NEWEST_VERSION = 3;
/** The one before has no key for pseudo-random functions. */
const WITHOUT_OPRF = 2;
const [Z64, Z128] = [0, 1];
/** u32 0, u32 0, u64 4, element, u32 0, u64 owner. */
const SHARE_BYTES = 92;
const ELEMENT_AT = 16;
const OWNER_AT = ELEMENT_AT + SHARE_ELEMENT_BYTES;
const COEFFICIENTS = 4n;
/** Coefficients of the GLWE key, by the number of the parameter set. */
const GLWE_SIZES = [2048, 256];
const NOTHING = new Uint8Array();

/**
 * Reads a `PrivateKeySet`.
 *
 * @param take - Skips an object of the tfhe library.
 * @throws KmsError `KEY_INVALID` for shares of another party or ring, or without the keys that decryption needs.
 */
export function readShareSet(reader: BincodeReader, party: number, take: (kind: MeasuredKind) => Uint8Array): ShareSet {
  const version = reader.u32();
  if (version !== NEWEST_VERSION && version !== WITHOUT_OPRF) throw notLifted();
  const lwe = (): Uint8Array => {
    reader.expectU32(0, 'LweSecretKeyShare version');
    return readShares(reader, party);
  };
  const glwe = (): Uint8Array => {
    reader.expectU32(0, 'GlweSecretKeyShare version');
    const shares = readShares(reader, party);
    reader.expectU32(0, 'PolynomialSize version');
    reader.u64();
    return shares;
  };
  const publicEncryption = inLargeRing(reader, lwe);
  const compute = inLargeRing(reader, lwe);
  const oprf = version === WITHOUT_OPRF ? undefined : reader.option(() => inLargeRing(reader, lwe));
  const big = inLargeRing(reader, glwe);
  const squash = reader.option(lwe);
  const compression = reader.option(() =>
    inLargeRing(reader, () => {
      reader.expectU32(0, 'CompressionPrivateKeyShares version');
      const shares = glwe();
      take('CompressionParameters');
      return shares;
    }),
  );
  const squashCompression = reader.option(lwe);
  take('PbsParameters');
  if (!squash || !compression || !squashCompression) {
    throw new KmsError('KEY_INVALID', 'the key set lacks keys of compression or of noise squashing');
  }
  const params = GLWE_SIZES.indexOf(big.byteLength / SHARE_BYTES);
  if (params < 0) throw new KmsError('KEY_INVALID', 'the key set has neither the parameters default nor test');
  return {
    params,
    keys: [publicEncryption, compute, big, compression, squash, squashCompression, oprf ?? NOTHING],
    strideBytes: SHARE_BYTES,
    element: (key, at) => key.subarray(at + ELEMENT_AT, at + OWNER_AT),
  };
}

function inLargeRing<T>(reader: BincodeReader, read: () => T): T {
  reader.expectU32(0, 'key share version');
  const ring = reader.u32();
  if (ring === Z64) throw notLifted();
  if (ring !== Z128) throw new KmsError('KEY_INVALID', 'the shares are of an unknown ring');
  return read();
}

/** A vector of shares that all say the same of themselves. */
function readShares(reader: BincodeReader, party: number): Uint8Array {
  const count = reader.u64();
  const shares = reader.raw(count * SHARE_BYTES);
  const view = new DataView(shares.buffer, shares.byteOffset, shares.byteLength);
  for (let at = 0; at < shares.byteLength; at += SHARE_BYTES) {
    const versions = view.getUint32(at, true) | view.getUint32(at + 4, true) | view.getUint32(at + OWNER_AT, true);
    if (versions !== 0 || view.getBigUint64(at + 8, true) !== COEFFICIENTS) {
      throw new KmsError('KEY_INVALID', 'a share has a form that this release does not know');
    }
    if (view.getBigUint64(at + OWNER_AT + 4, true) !== BigInt(party)) {
      throw new KmsError('KEY_INVALID', 'the shares are those of another party', { party });
    }
  }
  return shares;
}

function notLifted(): KmsError {
  const message = "the shares are of the smaller ring: let the quorum's newest release reshare the key, then import it";
  return new KmsError('KEY_INVALID', message);
}
