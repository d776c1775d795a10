/**
 * Encryption under a node's key, as a coprocessor does it: fetch and check the evaluation keys, then encrypt.
 */

import { stat } from 'node:fs/promises';
import type { EvaluationKeys } from '../../../native/engine/public.ts';
import type { RequestId } from '../../../wire/ids.ts';
import { failure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { type CiphertextItem, handleOf } from './ciphertext-file.ts';
import { type GenerationContext, getKey, type KeyFacts, verifyKeySignature } from './keys.ts';
import { cacheObject } from './public-material.ts';
import type { Session } from './session.ts';
import { fetchNodeAddress } from './signer.ts';

/** A value to encrypt. */
export interface PlainItem {
  readonly value: bigint;
  readonly fheType: number;
  /** Number of the ciphertext format. */
  readonly format: number;
}

/**
 * Returns the evaluation keys of a key: downloaded once, checked against the digests that the node signed.
 *
 * The caller disposes of them: at production size they take gigabytes.
 */
async function openEvaluationKeys(
  session: Pick<Session, 'dir' | 'publicUrl'>,
  key: KeyFacts,
  output: Output,
): Promise<EvaluationKeys> {
  if (key.objects.some(({ type }) => type === 'DecompressionKey')) {
    throw failure('KEY_INVALID', `key ${key.keyId} is for decompression only`, "choose another: 'arca key list'");
  }
  const paths = new Map<string, string>();
  for (const object of key.objects) {
    // Whoever has the compressed key set needs no other object: it holds the public key too.
    if (object.type === 'PublicKey' && key.objects.some(({ type }) => type === 'CompressedXofKeySet')) continue;
    const progress = output.progress(`fetch ${object.type}`);
    try {
      const size = { bytes: 0 };
      const path = await cacheObject(session, object, (fraction, sizeBytes) => {
        size.bytes = sizeBytes;
        progress.update(fraction, formatBytes(sizeBytes));
      });
      paths.set(object.type, path);
      progress.done(size.bytes === 0 ? 'in the cache' : formatBytes(size.bytes));
    } catch (error) {
      progress.failed();
      throw error;
    }
  }
  const { loadEvaluationKeys } = await import('../../../native/engine/public.ts');
  const progress = output.progress('load the evaluation keys');
  progress.estimate(await expectedLoadMs([...paths.values()]));
  try {
    const compressed = paths.get('CompressedXofKeySet');
    const keys = await loadEvaluationKeys(
      compressed === undefined
        ? { serverKeyPath: paths.get('ServerKey') ?? '', publicKeyPath: paths.get('PublicKey') ?? '' }
        : { compressedXofKeySetPath: compressed },
    );
    progress.done();
    return keys;
  } catch (error) {
    progress.failed();
    throw error;
  }
}

/** Decompressing 511 MB takes 14 s on one core. */
const LOAD_BYTES_PER_MS = 36_000;

async function expectedLoadMs(paths: readonly string[]): Promise<number> {
  const sizes = await Promise.all(paths.map(async (path) => (await stat(path)).size));
  return 200 + sizes.reduce((sum, size) => sum + size, 0) / LOAD_BYTES_PER_MS;
}

/** Encrypts values under the key with this id, once the node has signed for it. */
export async function encryptValues(
  session: Session,
  keyId: RequestId,
  items: readonly PlainItem[],
  context: GenerationContext,
  output: Output,
): Promise<CiphertextItem[]> {
  const key = await getKey(session, keyId);
  verifyKeySignature(key, await fetchNodeAddress(session.publicUrl), context);
  return await encryptUnder(session, key, items, output);
}

/** Encrypts values under a key whose signatures the caller has verified. */
export async function encryptUnder(
  session: Pick<Session, 'dir' | 'publicUrl'>,
  key: KeyFacts,
  items: readonly PlainItem[],
  output: Output,
): Promise<CiphertextItem[]> {
  using keys = await openEvaluationKeys(session, key, output);
  const { keyId } = key;
  const progress = output.progress(items.length === 1 ? 'encrypt' : `encrypt ${items.length} values`);
  try {
    const encrypted: CiphertextItem[] = [];
    for (const { value, fheType, format } of items) {
      const ciphertext = await keys.encrypt(value, fheType, format);
      encrypted.push({ keyId, fheType, format, ciphertext, handle: handleOf(ciphertext, fheType) });
    }
    const sizeBytes = encrypted.reduce((sum, { ciphertext }) => sum + ciphertext.byteLength, 0);
    progress.done(formatBytes(sizeBytes));
    return encrypted;
  } catch (error) {
    progress.failed();
    throw error;
  }
}

/** Returns `511.4 MB`, `99.1 KB`. */
export function formatBytes(sizeBytes: number): string {
  if (sizeBytes < 1000) return `${sizeBytes} B`;
  return sizeBytes < 1_000_000 ? `${(sizeBytes / 1000).toFixed(1)} KB` : `${(sizeBytes / 1_000_000).toFixed(1)} MB`;
}
