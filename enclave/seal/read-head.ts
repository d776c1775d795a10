/** Reads the head of a sealed object and checks it against what was asked for. Nothing here is secret. */
import { equalBytes } from '../../common/bytes.ts';
import type { ExactReader } from './exact-reader.ts';
import { differences, type ExpectedObject } from './object-claims.ts';
import { SIGNATURE_BYTES, verifyObjectSignature } from './object-signatures.ts';
import { sealFault } from './seal-faults.ts';
import {
  decodeHead,
  FORMAT_VERSION,
  headDigest,
  MAGIC,
  MAX_HEAD_BYTES,
  PREFIX_BYTES,
  type SealedHead,
} from './sealed-head.ts';

/** A head that is the one asked for and bears its node's signature. */
export interface CheckedHead {
  readonly head: SealedHead;
  /** What its chunks are bound to. */
  readonly digest: Uint8Array;
}

/**
 * Reads up to the first chunk.
 *
 * @throws KmsError `STATE_INVALID` with facts `fault` and `faults`; all differences are told at once.
 */
export async function readHead(reader: ExactReader, asked: ExpectedObject): Promise<CheckedHead> {
  const { name } = asked;
  const prefix = new Uint8Array(PREFIX_BYTES);
  const filled = await reader.fill(prefix);
  const magic = prefix.subarray(0, Math.min(filled, MAGIC.length));
  if (!equalBytes(magic, MAGIC.subarray(0, magic.length))) throw sealFault(name, ['not-sealed']);
  if (filled < PREFIX_BYTES) throw sealFault(name, ['cut']);
  const view = new DataView(prefix.buffer);
  if (view.getUint32(8, true) !== FORMAT_VERSION) throw sealFault(name, ['unknown-format']);
  const sizeBytes = view.getUint32(12, true);
  if (sizeBytes === 0 || sizeBytes > MAX_HEAD_BYTES) throw sealFault(name, ['malformed'], { sizeBytes });

  const encoded = new Uint8Array(sizeBytes);
  const signature = new Uint8Array(SIGNATURE_BYTES);
  if ((await reader.fill(encoded)) < sizeBytes) throw sealFault(name, ['cut']);
  if ((await reader.fill(signature)) < SIGNATURE_BYTES) throw sealFault(name, ['cut']);
  const head = decodeHead(encoded);
  if (head === undefined) throw sealFault(name, ['malformed']);
  const [first, ...more] = differences(head, asked);
  if (first !== undefined) {
    throw sealFault(name, [first, ...more], { version: head.version, notBefore: asked.notBefore });
  }
  const digest = headDigest(encoded);
  if (!verifyObjectSignature(asked.signer, digest, signature)) throw sealFault(name, ['head-forged']);
  return { head, digest };
}
