/** Reads the published vectors of identity, signatures and key derivation. */
import { readFileSync } from 'node:fs';

interface Vectors {
  readonly k0: {
    readonly secret: string;
    readonly publicKey: string;
    readonly address: string;
    readonly internal: { readonly signed: string; readonly signature: string };
    readonly eip712: { readonly digest: string; readonly signature: string };
    readonly signcryptionDigest: string;
  };
  readonly ek0Digest: string;
  readonly seed100: {
    readonly secret: string;
    readonly publicKey: string;
    readonly derived: readonly { readonly scheme: number; readonly encodedSha256: string }[];
  };
  readonly encKeyPrefix: string;
}

/** The vectors, as the file has them. */
export const vectors: Vectors = JSON.parse(
  readFileSync(new URL('../../vectors/crypto/identity.json', import.meta.url), 'utf8'),
);

/** Bytes from hex. */
export const hex = (text: string): Uint8Array => Buffer.from(text, 'hex');

/** Hex from bytes. */
export const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
