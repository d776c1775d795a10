/**
 * The signature section of an image: a certificate, and what its key says register 0 is. Register 8 shows the certificate
 * to peers; which image it is, registers 0 to 2 say. Spec: docs/formats/enclave-image.md.
 */
import { createHash, createPrivateKey, type KeyObject, sign, verify, X509Certificate } from 'node:crypto';
import { type CborValue, decodeStrict, encodeCanonical, isMap } from '../../attestation/cbor.ts';
import { rawSignature } from '../../attestation/x509/certificate.ts';
import { concatBytes, equalBytes } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';

/** A signature section that was read; nothing of it is checked yet. */
export interface ImageSignature {
  readonly certificate: X509Certificate;
  /** The register that is signed, and its value. */
  readonly registerIndex: number;
  readonly registerValue: Uint8Array;
  readonly signed: Uint8Array;
  readonly signature: Uint8Array;
  readonly hash: string;
}

/** COSE numbers of ECDSA, by curve: the only keys that images are signed with. */
const ALGORITHMS = [
  { cose: -7, curve: 'prime256v1', hash: 'sha256', scalarBytes: 32 },
  { cose: -35, curve: 'secp384r1', hash: 'sha384', scalarBytes: 48 },
  { cose: -36, curve: 'secp521r1', hash: 'sha512', scalarBytes: 66 },
] as const;
const HEADER_ALGORITHM = 1;
const MAX_SECTION_BYTES = 256 * 1024;
const DEPTH = 4;
const PCR0 = 0;
const NOTHING = new Uint8Array();
/** CBOR: a list of one, which is a map of two. */
const LIST_OF_ONE_PAIR = Uint8Array.of(0x81, 0xa2);

/** What is to be signed, for a key that is elsewhere. */
export interface SignatureRequest {
  /** The bytes whose hash ECDSA signs, and that hash. */
  readonly signed: Uint8Array;
  readonly digest: Uint8Array;
  /** Returns the section, given the signature: r and s one after the other, or DER. */
  complete(signature: Uint8Array): Uint8Array;
}

/**
 * Makes the signature section with a key at hand.
 *
 * @throws {@link KmsError} `KEY_INVALID` for a key that is not the certificate's, or of a curve that enclaves do not take.
 */
export function signImage(pcr0: Uint8Array, certificatePem: string, privateKeyPem: string): Uint8Array {
  const certificate = attempt(() => new X509Certificate(certificatePem), 'the certificate cannot be read');
  const key = attempt(() => createPrivateKey(privateKeyPem), 'the private key cannot be read');
  if (!certificate.checkPrivateKey(key)) throw new KmsError('KEY_INVALID', 'the key is not that of the certificate');
  const { signed, complete } = requestSignature(pcr0, certificate);
  return complete(sign(algorithmOf(key)?.hash, signed, { key, dsaEncoding: 'ieee-p1363' }));
}

/**
 * Says what the key of a certificate has to sign.
 *
 * @throws {@link KmsError} `KEY_INVALID` for a key of another curve; from `complete`, for a signature that is not its.
 */
export function requestSignature(pcr0: Uint8Array, certificate: X509Certificate): SignatureRequest {
  const { publicKey } = certificate;
  const algorithm = algorithmOf(publicKey);
  if (!algorithm) throw new KmsError('KEY_INVALID', 'images are signed with keys on P-256, P-384 or P-521');
  const header = encodeCanonical(new Map([[HEADER_ALGORITHM, algorithm.cose]]));
  const payload = encodeCanonical(
    new Map<string, CborValue>([
      ['register_index', PCR0],
      ['register_value', [...pcr0]],
    ]),
  );
  const signed = preimage(header, payload);
  return {
    signed,
    digest: new Uint8Array(createHash(algorithm.hash).update(signed).digest()),
    complete: (given) => {
      const signature = rawOf(given, algorithm.scalarBytes);
      if (!verify(algorithm.hash, signed, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature)) {
        throw new KmsError('KEY_INVALID', 'the signature was not made by the key of the certificate, over this image');
      }
      const cose = encodeCanonical([header, new Map(), payload, signature]);
      // One entry, the certificate first, as AWS's own tool writes it: QEMU's loader takes no other order.
      return concatBytes(
        LIST_OF_ONE_PAIR,
        ...[
          ['signing_certificate', [...new TextEncoder().encode(certificate.toString())]] as const,
          ['signature', [...cose]] as const,
        ].flatMap(([name, list]) => [encodeCanonical(name), encodeCanonical(list)]),
      );
    },
  };
}

/** Key stores give DER, hardware modules r and s. */
function rawOf(signature: Uint8Array, scalarBytes: number): Uint8Array {
  if (signature.length === 2 * scalarBytes) return Uint8Array.from(signature);
  try {
    return rawSignature(signature, scalarBytes);
  } catch (error) {
    throw new KmsError('KEY_INVALID', `a signature is ${2 * scalarBytes} bytes, or DER`, {}, error);
  }
}

/**
 * Reads a signature section, ours or of `nitro-cli`.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` for anything else.
 */
export function readSignature(section: Uint8Array): ImageSignature {
  try {
    const [entry, ...others] = list(decode(section));
    if (!isMap(entry) || others.length > 0) throw malformed('it is not one entry');
    const certificate = new X509Certificate(bytes(entry.get('signing_certificate')));
    const [header, , payload, signature] = list(decode(bytes(entry.get('signature'))));
    if (!(header instanceof Uint8Array && payload instanceof Uint8Array && signature instanceof Uint8Array)) {
      throw malformed('it is no COSE_Sign1');
    }
    const register = decode(payload);
    const protectedHeader = decode(header);
    if (!isMap(register) || !isMap(protectedHeader)) throw malformed('header or payload is no map');
    const algorithm = ALGORITHMS.find(({ cose }) => cose === protectedHeader.get(HEADER_ALGORITHM));
    const registerIndex = register.get('register_index');
    if (!algorithm || typeof registerIndex !== 'number') throw malformed('algorithm or register is missing');
    return {
      certificate,
      registerIndex,
      registerValue: bytes(register.get('register_value')),
      signed: preimage(header, payload),
      signature,
      hash: algorithm.hash,
    };
  } catch (error) {
    if (error instanceof KmsError) throw error;
    throw malformed('its certificate cannot be read', error);
  }
}

/** Returns everything for which a signature does not count, at a time; none if it does. */
export function signatureFaults(
  { certificate, registerIndex, registerValue, signed, signature, hash }: ImageSignature,
  pcr0: Uint8Array,
  nowMs: number,
): string[] {
  const faults: string[] = [];
  if (registerIndex !== PCR0) faults.push(`it signs register ${registerIndex} and not 0`);
  if (!equalBytes(registerValue, pcr0)) faults.push('it signs another image: register 0 differs');
  if (nowMs < certificate.validFromDate.getTime()) faults.push(`its certificate begins ${certificate.validFrom}`);
  if (nowMs > certificate.validToDate.getTime()) {
    faults.push(`its certificate expired ${certificate.validTo}: enclaves with it do not boot`);
  }
  const { publicKey } = certificate;
  if (algorithmOf(publicKey)?.hash !== hash) faults.push('its algorithm is not that of the key');
  else if (!verify(hash, signed, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature)) {
    faults.push('the key of its certificate has not made it');
  }
  return faults;
}

function algorithmOf(key: KeyObject): (typeof ALGORITHMS)[number] | undefined {
  return ALGORITHMS.find(({ curve }) => curve === key.asymmetricKeyDetails?.namedCurve);
}

const preimage = (header: Uint8Array, payload: Uint8Array): Uint8Array =>
  encodeCanonical(['Signature1', header, NOTHING, payload]);

const decode = (encoded: Uint8Array): CborValue =>
  decodeStrict(encoded, { maxBytes: MAX_SECTION_BYTES, maxDepth: DEPTH });

function list(value: CborValue): readonly CborValue[] {
  if (!Array.isArray(value)) throw malformed('a list is missing');
  return value;
}

/** Byte strings stand there as lists of small numbers. */
function bytes(value: CborValue | undefined): Uint8Array {
  const numbers = list(value ?? null);
  const isByte = (item: CborValue): item is number => typeof item === 'number' && item >= 0 && item <= 0xff;
  if (!numbers.every(isByte)) throw malformed('a list of bytes holds something else');
  return Uint8Array.from(numbers);
}

function attempt<T>(read: () => T, message: string): T {
  try {
    return read();
  } catch (error) {
    throw new KmsError('KEY_INVALID', message, {}, error);
  }
}

function malformed(why: string, cause?: unknown): KmsError {
  return new KmsError('REQUEST_INVALID', `the signature section is malformed: ${why}`, {}, cause);
}
