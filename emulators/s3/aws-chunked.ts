/**
 * Bodies in the `aws-chunked` encoding: `size[;chunk-signature=…]`, data, …, an empty chunk, trailers. Chunks may be
 * signed, trailers too. Every length is bounded and nothing may follow the end.
 */
import { S3Error } from './errors.ts';
import type { ChunkSigner } from './sigv4.ts';

const MAX_LINE_BYTES = 4096;
const MAX_TRAILER_LINES = 16;
/** Chunks that are signed are held until their signature is checked. */
const MAX_SIGNED_CHUNK_BYTES = 16 * 1024 * 1024;

/** What {@link decodeChunked} needs beside the body. */
export interface ChunkedOptions {
  /** Checks signatures; undefined where the body is not signed chunk by chunk. */
  readonly signer: ChunkSigner | undefined;
  /** Value of `x-amz-decoded-content-length`. */
  readonly decodedBytes: number;
  /** Whether trailers follow; without, the body ends with an empty line. */
  readonly trailers: boolean;
  /** Is given the trailers, names in lower case, before the stream ends. */
  readonly onTrailers: (trailers: ReadonlyMap<string, string>) => void;
}

/**
 * Decodes a body as it comes.
 *
 * @throws S3Error `IncompleteBody`, `SignatureDoesNotMatch`, `MalformedTrailerError`, `InvalidChunkSizeError`.
 */
export async function* decodeChunked(
  body: AsyncIterable<Uint8Array>,
  options: ChunkedOptions,
): AsyncGenerator<Uint8Array> {
  const input = new Input(body);
  let total = 0;
  for (;;) {
    const { sizeBytes, signature } = chunkHead(await input.line());
    total += sizeBytes;
    if (total > options.decodedBytes) throw new S3Error('IncompleteBody');
    if (options.signer) {
      if (sizeBytes > MAX_SIGNED_CHUNK_BYTES) throw new S3Error('InvalidChunkSizeError');
      const parts: Uint8Array[] = [];
      for await (const part of input.take(sizeBytes)) parts.push(part);
      const chunk = Buffer.concat(parts);
      if (!options.signer.chunk(signature ?? '', chunk)) throw new S3Error('SignatureDoesNotMatch');
      if (sizeBytes > 0) yield chunk;
    } else {
      yield* input.take(sizeBytes);
    }
    if (sizeBytes === 0) break;
    if ((await input.line()) !== '') throw new S3Error('IncompleteBody');
  }
  if (total !== options.decodedBytes) throw new S3Error('IncompleteBody');
  options.onTrailers(await readTrailers(input, options));
  if (!(await input.ended())) throw new S3Error('IncompleteBody');
}

function chunkHead(line: string): { sizeBytes: number; signature: string | undefined } {
  const match = /^([0-9a-fA-F]{1,10})(?:;chunk-signature=([0-9a-f]{64}))?$/.exec(line);
  if (!match) throw new S3Error('IncompleteBody');
  return { sizeBytes: Number.parseInt(match[1] ?? '', 16), signature: match[2] };
}

async function readTrailers(
  input: Input,
  { signer, trailers: expected }: ChunkedOptions,
): Promise<Map<string, string>> {
  const trailers = new Map<string, string>();
  let signed = '';
  for (;;) {
    // Some clients leave out the empty line at the very end.
    const line = (await input.ended()) ? '' : await input.line();
    if (line === '') break;
    const match = /^([A-Za-z0-9-]+):\s*(.*?)\s*$/.exec(line);
    const name = match?.[1]?.toLowerCase() ?? '';
    if (!match || trailers.has(name) || trailers.size === MAX_TRAILER_LINES) throw new S3Error('MalformedTrailerError');
    trailers.set(name, match[2] ?? '');
    if (name !== 'x-amz-trailer-signature') signed += `${name}:${match[2]}\n`;
  }
  if (!expected && trailers.size > 0) throw new S3Error('MalformedTrailerError');
  if (signer && expected && !signer.trailer(trailers.get('x-amz-trailer-signature') ?? '', signed)) {
    throw new S3Error('SignatureDoesNotMatch');
  }
  return trailers;
}

/** Lines and counted bytes out of a stream. */
class Input {
  readonly #source: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Whether nothing follows. */
  async ended(): Promise<boolean> {
    return this.#rest.byteLength === 0 && !(await this.#fill());
  }

  /** The next line without its CR LF. */
  async line(): Promise<string> {
    let line = Buffer.alloc(0);
    for (;;) {
      const end = this.#rest.indexOf(10);
      const part = end < 0 ? this.#rest : this.#rest.subarray(0, end + 1);
      line = Buffer.concat([line, part]);
      this.#rest = this.#rest.subarray(part.byteLength);
      if (line.byteLength > MAX_LINE_BYTES) throw new S3Error('IncompleteBody');
      if (end >= 0) break;
      if (!(await this.#fill())) throw new S3Error('IncompleteBody');
    }
    const text = line.toString('latin1');
    if (!text.endsWith('\r\n')) throw new S3Error('IncompleteBody');
    return text.slice(0, -2);
  }

  /** The next bytes, as they come. */
  async *take(sizeBytes: number): AsyncGenerator<Uint8Array> {
    let left = sizeBytes;
    while (left > 0) {
      if (this.#rest.byteLength === 0 && !(await this.#fill())) throw new S3Error('IncompleteBody');
      const part = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(part.byteLength);
      left -= part.byteLength;
      yield part;
    }
  }

  async #fill(): Promise<boolean> {
    for (;;) {
      const step = await this.#source.next();
      if (step.done) return false;
      this.#rest = step.value;
      if (this.#rest.byteLength > 0) return true;
    }
  }
}
