/**
 * Opens sealed objects, and checks them without opening. SECRET: content, data key. What storage hands out is an adversary's.
 *
 * Order: what it is, the node's signature on the head, only then the keychain, then chunk by chunk; the last chunk is handed
 * out only once the tail's signature over all was found good. Memory: three chunks, whatever the size.
 */
import { equalBytes } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import type { DataKeyring } from '../keychain/data-keys.ts';
import { expand } from './compression.ts';
import { ExactReader } from './exact-reader.ts';
import { dataKeyBinding, type ExpectedObject } from './object-claims.ts';
import { readChunks } from './read-chunks.ts';
import { type CheckedHead, readHead } from './read-head.ts';
import { sealFault } from './seal-faults.ts';
import type { SealedHead } from './sealed-head.ts';
import { CHUNK_BYTES, CHUNK_OVERHEAD, openSecretStream, type SecretStream } from './secret-stream.ts';
import { deriveStreamKeys } from './stream-keys.ts';

/** What an object that may be opened goes through. */
export interface Opener {
  readonly keyring: DataKeyring;
  readonly signal?: AbortSignal;
}

/**
 * Opens an object and hands its content to `use`, piece by piece.
 *
 * A piece holds until the next is asked for, and is overwritten then. **`use` acts on nothing before its walk has ended**:
 * only then is it known that the object is whole and that the node wrote all of it; otherwise the walk throws. What `use`
 * returns is handed back.
 *
 * @throws KmsError `STATE_INVALID` with fact `fault` (docs/formats/sealed-object.md); `INTERNAL` if `use` stops before the
 *   end; `CANCELLED`; what the keyring, the source and `use` throw.
 */
export async function openObject<T>(
  source: AsyncIterable<Uint8Array>,
  asked: ExpectedObject,
  opener: Opener,
  use: (content: AsyncIterable<Uint8Array>, head: SealedHead) => Promise<T>,
): Promise<T> {
  const reader = new ExactReader(source);
  let stream: SecretStream | undefined;
  try {
    const checked = await readHead(reader, asked);
    stream = await unwrap(checked.head, asked, opener);
    const walk = { ended: false };
    const result = await use(
      contentOf(reader, checked, stream, walk, { signal: opener.signal, wanted: asked.digest }),
      checked.head,
    );
    if (!walk.ended) throw new KmsError('INTERNAL', 'a sealed object was not read to its end');
    return result;
  } finally {
    stream?.close();
    await reader.close();
  }
}

/**
 * Opens an object that fits into memory; its content comes in an ArrayBuffer of its own, which the caller wipes.
 *
 * @throws KmsError As {@link openObject}.
 */
export async function openWhole(
  source: AsyncIterable<Uint8Array>,
  asked: ExpectedObject,
  opener: Opener & { readonly maxBytes: number },
): Promise<Uint8Array<ArrayBuffer>> {
  return await openObject(source, asked, opener, async (content, { sizeBytes }) => {
    if (sizeBytes === undefined || sizeBytes > opener.maxBytes) throw sealFault(asked.name, ['too-large']);
    const whole = new Uint8Array(sizeBytes);
    try {
      let at = 0;
      for await (const piece of content) {
        whole.set(piece, at);
        at += piece.length;
      }
    } catch (error) {
      whole.fill(0);
      throw error;
    }
    return whole;
  });
}

/**
 * Checks everything that can be checked without the data key: what it is, that it is whole, and both signatures.
 *
 * @returns Its head.
 * @throws KmsError `STATE_INVALID` with fact `fault`; what the source throws.
 */
export async function verifyObject(source: AsyncIterable<Uint8Array>, asked: ExpectedObject): Promise<SealedHead> {
  const reader = new ExactReader(source);
  try {
    const checked = await readHead(reader, asked);
    for await (const { fault } of readChunks(reader, checked, asked.digest)) {
      if (fault !== undefined) throw sealFault(asked.name, [fault]);
    }
    return checked.head;
  } finally {
    await reader.close();
  }
}

/** Unwraps the data key, if it is this keychain's, and opens the stream if it is the one that the head is committed to. */
async function unwrap(head: SealedHead, asked: ExpectedObject, { keyring, signal }: Opener): Promise<SecretStream> {
  if (head.keychain !== keyring.name) throw sealFault(asked.name, ['other-keychain']);
  const { streamKey, commitment } = deriveStreamKeys(await keyring.unwrap(head.wrapped, dataKeyBinding(asked), signal));
  try {
    if (!equalBytes(commitment, head.commitment)) throw sealFault(asked.name, ['other-data-key']);
    return await openSecretStream(streamKey, head.streamHeader);
  } finally {
    streamKey.fill(0);
  }
}

interface Reading {
  readonly signal: AbortSignal | undefined;
  /** Digest of the tail that it has to have. */
  readonly wanted: Uint8Array | undefined;
}

/** Yields the content in its own size, and marks the walk once all of it was found good. */
async function* contentOf(
  reader: ExactReader,
  checked: CheckedHead,
  stream: SecretStream,
  walk: { ended: boolean },
  how: Reading,
): AsyncGenerator<Uint8Array, void> {
  const { name, compression, sizeBytes } = checked.head;
  const decrypted = decrypt(reader, checked, stream, how);
  const malformed = (cause: unknown) => sealFault(name, ['not-expandable'], {}, cause);
  let passed = 0;
  for await (const piece of compression === 'zstd' ? expand(decrypted, malformed) : decrypted) {
    passed += piece.length;
    if (sizeBytes !== undefined && passed > sizeBytes) throw sealFault(name, ['other-size']);
    yield piece;
  }
  if (sizeBytes !== undefined && passed !== sizeBytes) throw sealFault(name, ['other-size']);
  walk.ended = true;
}

async function* decrypt(
  reader: ExactReader,
  checked: CheckedHead,
  stream: SecretStream,
  { signal, wanted }: Reading,
): AsyncGenerator<Uint8Array, void> {
  const { name } = checked.head;
  const plain = new Uint8Array(CHUNK_BYTES);
  try {
    for await (const { sealed, bound, final, fault } of readChunks(reader, checked, wanted)) {
      if (signal?.aborted === true) throw new KmsError('CANCELLED', 'opening was given up');
      const piece = plain.subarray(0, sealed.length - CHUNK_OVERHEAD);
      if (!stream.pull(sealed, bound, final, piece)) throw sealFault(name, ['damaged']);
      if (fault !== undefined) throw sealFault(name, [fault]);
      yield piece;
    }
  } finally {
    plain.fill(0);
  }
}
