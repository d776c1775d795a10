/**
 * What `GET /attestation` serves and `arca attest document` writes: a document and the facts beside it, as JSON. Also
 * reads bare documents, as other tools write them. All of it is a stranger's word until it has been verified.
 */
import { z } from 'zod';
import type { AttestFacts } from '../../../attestation/attest-facts.ts';
import { fromHex } from '../../../common/bytes.ts';
import { formatAddress, parseAddress } from '../../../wire/addresses.ts';
import { failure } from '../framework/failure.ts';
import { readLimited } from '../framework/read-limited.ts';

const hex = (bytes: number) =>
  z.string().regex(new RegExp(`^[0-9a-fA-F]{${bytes * 2}}$`), `needs ${bytes} bytes in hex`);

const Facts = z.strictObject({
  network: z.string().min(1).max(256),
  charterDigest: hex(48),
  party: z.int().positive(),
  address: z.string().transform((text, context) => {
    try {
      return parseAddress(text, 'address');
    } catch {
      context.addIssue({ code: 'custom', message: 'needs an address with its checksum' });
      return z.NEVER;
    }
  }),
  release: z.string().max(256),
  incarnation: z.int().nonnegative(),
});

const AttestationFileSchema = z.object({
  label: z.literal('arca-attest-1'),
  nonce: z.string().regex(/^(?:[0-9a-fA-F]{2}){8,64}$/, 'needs 8 to 64 bytes in hex'),
  document: z.base64().max(24_000),
  facts: Facts,
});

/** A document as it was handed over. */
export interface Attestation {
  /** The document's bytes or text, for the verifier. */
  readonly document: Uint8Array | string;
  /** The nonce that stands beside it; undefined for a bare document. */
  readonly nonce?: Uint8Array | undefined;
  /** The facts beside it; undefined for a bare document. */
  readonly facts?: AttestFacts | undefined;
}

const MAX_FILE_BYTES = 256 * 1024;

/** Reads the JSON that a node serves. @throws {@link KmsError} `REQUEST_INVALID` saying what is wrong with it. */
export function parseAttestation(value: unknown, where: string): Attestation {
  const parsed = AttestationFileSchema.safeParse(value);
  if (!parsed.success) {
    const cure = "give what 'arca attest document' writes, or a bare document";
    throw failure('REQUEST_INVALID', `${where} is no attestation of a node`, cure, {}, parsed.error);
  }
  const { document, nonce, facts } = parsed.data;
  return {
    document: new Uint8Array(Buffer.from(document, 'base64')),
    nonce: fromHex(nonce),
    facts: { ...facts, charterDigest: fromHex(facts.charterDigest) },
  };
}

/**
 * Reads a file: the JSON of a node, or a bare document as bytes, hex or base64. `-` is standard input.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` if it cannot be read or is far too large for either.
 */
export async function readAttestationFile(file: string): Promise<Attestation> {
  let bytes: Uint8Array | undefined;
  try {
    bytes = await readLimited(file, MAX_FILE_BYTES);
  } catch (error) {
    const cure = "give a file that 'arca attest document --out FILE' wrote, or a document";
    throw failure('REQUEST_INVALID', `cannot read ${file}`, cure, {}, error);
  }
  if (bytes === undefined) {
    const cure = 'a document has at most 16640 bytes';
    throw failure('REQUEST_INVALID', `${file} has more than ${MAX_FILE_BYTES} bytes`, cure);
  }
  const text = Buffer.from(bytes).toString('utf8').trimStart();
  if (!text.startsWith('{')) return { document: new Uint8Array(bytes) };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw failure('REQUEST_INVALID', `${file} is damaged JSON`, 'fetch the attestation again', {}, error);
  }
  return parseAttestation(value, file);
}

/** Returns an attestation as files and `--json` have it. */
export function attestationJson({ document, nonce, facts }: Required<Attestation>): object {
  const bytes = typeof document === 'string' ? document : Buffer.from(document).toString('base64');
  return {
    label: 'arca-attest-1',
    nonce: Buffer.from(nonce ?? []).toString('hex'),
    document: bytes,
    ...(facts === undefined ? {} : { facts: factsJson(facts) }),
  };
}

/** Returns facts as JSON has them. */
export function factsJson({ network, charterDigest, party, address, release, incarnation }: AttestFacts): object {
  return {
    network,
    charterDigest: Buffer.from(charterDigest).toString('hex'),
    party,
    address: formatAddress(address),
    release,
    incarnation,
  };
}
