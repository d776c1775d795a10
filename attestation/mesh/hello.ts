/**
 * What each side tells the other once per connection: which versions it knows. Public, bound by the proof through
 * SHA-256 of its canonical bytes. Design §4.
 */
import { KmsError } from '../../common/errors.ts';
import { type CborValue, decodeStrict, encodeCanonical } from '../cbor.ts';
import { identityFromCbor, identityToCbor } from './identity.ts';
import type { Hello } from './mesh-context.ts';

const KEY_POLICY_HASH_BYTES = 48;
const MAX_MANIFEST_HEAD_BYTES = 64;
/** Most bytes of an encoded hello. */
export const MAX_HELLO_BYTES = 1024;

/** Returns the one encoding of a hello. */
export function encodeHello(hello: Hello): Uint8Array {
  const { identityCertificate } = hello;
  return encodeCanonical(
    new Map<string, CborValue>([
      ['release_set_version', hello.releaseSetVersion],
      ['record_version', hello.recordVersion],
      ['key_policy_hash', hello.keyPolicyHash],
      ['manifest_version', hello.manifestVersion],
      ['manifest_head', hello.manifestHead],
      ['identity_certificate', identityCertificate === undefined ? null : identityToCbor(identityCertificate)],
    ]),
  );
}

/**
 * Reads a hello.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` for any other encoding, field, type or length.
 */
export function decodeHello(bytes: Uint8Array): Hello {
  const map = decodeStrict(bytes, { maxBytes: MAX_HELLO_BYTES, maxDepth: 2, canonical: true });
  if (!(map instanceof Map) || map.size !== 6) throw malformed();
  const certificate: CborValue | undefined = map.get('identity_certificate');
  return {
    releaseSetVersion: count(map.get('release_set_version')),
    recordVersion: count(map.get('record_version')),
    keyPolicyHash: bytesOf(map.get('key_policy_hash'), KEY_POLICY_HASH_BYTES, KEY_POLICY_HASH_BYTES),
    manifestVersion: count(map.get('manifest_version')),
    manifestHead: bytesOf(map.get('manifest_head'), 0, MAX_MANIFEST_HEAD_BYTES),
    identityCertificate: certificate === null ? undefined : identityFromCbor(certificate, 'mesh'),
  };
}

function count(value: unknown): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw malformed();
  return value;
}

function bytesOf(value: unknown, least: number, most: number): Uint8Array {
  if (!(value instanceof Uint8Array) || value.length < least || value.length > most) throw malformed();
  return value;
}

const malformed = (): KmsError => new KmsError('REQUEST_INVALID', 'a hello needs its six fields, each in its bounds');
