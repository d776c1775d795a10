/**
 * Seals objects: compressed if allowed and worthwhile, encrypted in chunks under a data key of their own, signed by the node.
 *
 * SECRET: content, data key. Memory: four chunks, whatever the size. Format: docs/formats/sealed-object.md.
 */
import { createHash } from 'node:crypto';
import { KmsError } from '../../common/errors.ts';
import { type RandomSource, systemRandom } from '../../common/random.ts';
import type { DataKeyring } from '../keychain/data-keys.ts';
import { FRAME_BYTES, MAX_CHUNKS, writeFrame } from './chunk-frame.ts';
import { compress, isWorthwhile } from './compression.ts';
import { ExactReader } from './exact-reader.ts';
import { checkClaims, dataKeyBinding, type ObjectClaims } from './object-claims.ts';
import { type ObjectSigner, SIGNATURE_BYTES, tailDigest } from './object-signatures.ts';
import {
  encodeHead,
  FORMAT_VERSION,
  headDigest,
  MAGIC,
  MAX_HEAD_BYTES,
  PREFIX_BYTES,
  type SealedHead,
  STREAM_HEADER_BYTES,
} from './sealed-head.ts';
import { CHUNK_BYTES, CHUNK_OVERHEAD, openSecretStream, type SecretStream } from './secret-stream.ts';
import { deriveStreamKeys } from './stream-keys.ts';

/** Who seals, and under what. */
export interface Sealer {
  readonly signer: ObjectSigner;
  readonly keyring: DataKeyring;
  readonly random?: RandomSource;
}

/** Settings of one object. */
export interface SealOptions {
  /** Size of the content, where it is known; other content is then refused. */
  readonly sizeBytes?: number;
  /** Compress if worthwhile. Off for keys and shares: the size of what is compressed tells about it. */
  readonly compressible?: boolean;
  readonly signal?: AbortSignal;
  /** Told at the end what a manifest has to know. */
  readonly onSealed?: (sealed: SealedSummary) => void;
}

/** What was made. */
export interface SealedSummary {
  /** Digest of the tail: of this one writing. */
  readonly digest: Uint8Array;
  /** Bytes to store. */
  readonly sizeBytes: number;
}

/**
 * Seals an object and yields the bytes to store. A piece holds until the next is asked for, as storage takes them.
 *
 * Pieces of the content are read before the next is asked for; whoever makes them wipes them.
 *
 * @throws KmsError `REQUEST_INVALID` for claims that are not well formed or content of another size; what the keyring throws.
 */
export async function* sealObject(
  claims: ObjectClaims,
  content: AsyncIterable<Uint8Array>,
  { signer, keyring, random = systemRandom }: Sealer,
  options: SealOptions = {},
): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
  checkClaims(claims);
  const { signal, sizeBytes, compressible = false } = options;
  const first = new Uint8Array(CHUNK_BYTES);
  const source = new ExactReader(measured(content, sizeBytes, signal));
  let stream: SecretStream | undefined;
  let body: ExactReader = source;
  try {
    const beginning = first.subarray(0, await source.fill(first));
    const smaller = compressible && isWorthwhile(beginning);
    const all = chained(beginning, source);
    body = new ExactReader(smaller ? compress(all) : all);
    const { dataKey, wrapped } = await keyring.generate(dataKeyBinding(claims), signal);
    const { streamKey, commitment } = deriveStreamKeys(dataKey);
    const head: SealedHead = {
      ...claims,
      signer: signer.publicKey,
      keychain: keyring.name,
      wrapped,
      commitment,
      streamHeader: random(STREAM_HEADER_BYTES),
      compression: smaller ? 'zstd' : 'none',
      sizeBytes,
    };
    const encoded = encodeHead(head);
    try {
      stream = await openSecretStream(streamKey, head.streamHeader);
    } finally {
      streamKey.fill(0);
    }
    yield prefixOf(encoded);
    yield encoded;
    const digest = headDigest(encoded);
    yield Uint8Array.from(signer.sign(digest));
    const { chunks, bodyDigest, bodyBytes } = yield* sealChunks(body, stream, digest);
    const tail = tailDigest({ headDigest: digest, chunks, bodyDigest });
    yield Uint8Array.from(signer.sign(tail));
    options.onSealed?.({ digest: tail, sizeBytes: PREFIX_BYTES + encoded.length + 2 * SIGNATURE_BYTES + bodyBytes });
  } finally {
    stream?.close();
    first.fill(0);
    await body.close();
    await source.close();
  }
}

interface SealedBody {
  readonly chunks: number;
  readonly bodyDigest: Uint8Array;
  readonly bodyBytes: number;
}

/** Encrypts what the reader gives, chunk by chunk. */
async function* sealChunks(
  body: ExactReader,
  stream: SecretStream,
  digest: Uint8Array,
): AsyncGenerator<Uint8Array<ArrayBuffer>, SealedBody> {
  const chunk = new Uint8Array(CHUNK_BYTES);
  const bound = new Uint8Array(digest.length + FRAME_BYTES);
  bound.set(digest);
  const sealed = new Uint8Array(FRAME_BYTES + CHUNK_BYTES + CHUNK_OVERHEAD);
  const hash = createHash('sha256');
  let bodyBytes = 0;
  try {
    for (let index = 0; index < MAX_CHUNKS; index++) {
      const sizeBytes = await body.fill(chunk);
      const final = sizeBytes < CHUNK_BYTES || (await body.atEnd());
      const piece = sealed.subarray(0, FRAME_BYTES + sizeBytes + CHUNK_OVERHEAD);
      writeFrame(piece, { index, sizeBytes, final });
      bound.set(piece.subarray(0, FRAME_BYTES), digest.length);
      stream.push(chunk.subarray(0, sizeBytes), bound, final, piece.subarray(FRAME_BYTES));
      hash.update(piece);
      bodyBytes += piece.length;
      yield piece;
      if (final) return { chunks: index + 1, bodyDigest: new Uint8Array(hash.digest()), bodyBytes };
    }
    throw new KmsError('REQUEST_INVALID', 'the content has more chunks than a sealed object may have');
  } finally {
    chunk.fill(0);
  }
}

/** Passes content on, and fails for other content than announced. */
async function* measured(
  content: AsyncIterable<Uint8Array>,
  sizeBytes: number | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void> {
  let passed = 0;
  for await (const piece of content) {
    if (signal?.aborted === true) throw new KmsError('CANCELLED', 'sealing was given up');
    passed += piece.length;
    if (sizeBytes !== undefined && passed > sizeBytes) break;
    yield piece;
  }
  if (sizeBytes === undefined || passed === sizeBytes) return;
  throw new KmsError('REQUEST_INVALID', 'the content is not of the size that was announced', { sizeBytes });
}

/** Yields what was read ahead, then the rest. */
async function* chained(beginning: Uint8Array, rest: ExactReader): AsyncGenerator<Uint8Array, void> {
  yield beginning;
  for (let piece = await rest.take(); piece !== undefined; piece = await rest.take()) yield piece;
}

function prefixOf(encoded: Uint8Array): Uint8Array<ArrayBuffer> {
  // Bounded by what claims and keyrings may hold; a reader would refuse more.
  if (encoded.length > MAX_HEAD_BYTES) throw new KmsError('INTERNAL', 'the head of a sealed object is too large');
  const prefix = new Uint8Array(PREFIX_BYTES);
  prefix.set(MAGIC);
  const view = new DataView(prefix.buffer);
  view.setUint32(8, FORMAT_VERSION, true);
  view.setUint32(12, encoded.length, true);
  return prefix;
}
