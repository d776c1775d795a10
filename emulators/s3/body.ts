/**
 * A request's body: decoded, bounded, and checked against every digest that the client sent with it before anybody
 * sees its end.
 */
import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { decodeChunked } from './aws-chunked.ts';
import { CHECKSUM_ALGORITHMS, type ChecksumAlgorithm, startChecksum } from './checksums.ts';
import { S3Error } from './errors.ts';
import type { ChunkSigner } from './sigv4.ts';

/** A body as it arrived, whole. */
export interface ReceivedBody {
  readonly content: Buffer;
  /** The checksum that the client sent, which the content has. */
  readonly checksum: { readonly algorithm: ChecksumAlgorithm; readonly value: string } | undefined;
  readonly md5: Buffer;
}

/** What {@link receiveBody} needs beside the body. */
export interface BodyOptions {
  readonly headers: IncomingHttpHeaders;
  /** Of the request's signature; undefined for anonymous requests. */
  readonly chunkSigner: ChunkSigner | undefined;
  readonly maxBytes: number;
  /** The checksum in the headers is that of an object made of parts, not of this body. */
  readonly ofParts: boolean;
}

/**
 * Reads a body.
 *
 * @throws S3Error `EntityTooLarge`, `BadDigest`, `XAmzContentSHA256Mismatch`, `IncompleteBody` and those of chunks.
 */
export async function receiveBody(raw: AsyncIterable<Uint8Array>, options: BodyOptions): Promise<ReceivedBody> {
  const { headers, maxBytes } = options;
  const declared = options.ofParts ? undefined : declaredChecksum(headers);
  let trailers: ReadonlyMap<string, string> = new Map();
  const stream = decoded(raw, options, (got) => {
    trailers = got;
  });
  const parts: Uint8Array[] = [];
  const md5 = createHash('md5');
  const sha256 = createHash('sha256');
  const running = declared && startChecksum(declared.algorithm);
  let sizeBytes = 0;
  for await (const part of stream) {
    sizeBytes += part.byteLength;
    if (sizeBytes > maxBytes) throw new S3Error('EntityTooLarge', { MaxSizeAllowed: String(maxBytes) });
    parts.push(part);
    md5.update(part);
    sha256.update(part);
    running?.update(part);
  }
  const length = headers['x-amz-decoded-content-length'] ?? headers['content-length'];
  if (length !== undefined && Number(length) !== sizeBytes) throw new S3Error('IncompleteBody');
  const contentSha256 = String(headers['x-amz-content-sha256'] ?? 'UNSIGNED-PAYLOAD');
  if (/^[0-9a-f]{64}$/.test(contentSha256) && sha256.digest('hex') !== contentSha256) {
    throw new S3Error('XAmzContentSHA256Mismatch');
  }
  const digest = md5.digest();
  const contentMd5 = headers['content-md5'];
  if (contentMd5 !== undefined && contentMd5 !== digest.toString('base64')) throw new S3Error('BadDigest');
  return { content: Buffer.concat(parts), checksum: checkChecksum(declared, running?.value(), trailers), md5: digest };
}

interface DeclaredChecksum {
  readonly algorithm: ChecksumAlgorithm;
  /** Undefined: it follows in the trailer. */
  readonly value: string | undefined;
}

function declaredChecksum(headers: IncomingHttpHeaders): DeclaredChecksum | undefined {
  const trailer = String(headers['x-amz-trailer'] ?? '').toLowerCase();
  const found = CHECKSUM_ALGORITHMS.flatMap((algorithm): DeclaredChecksum[] => {
    const name = `x-amz-checksum-${algorithm.toLowerCase()}`;
    const value = headers[name];
    if (value !== undefined) return [{ algorithm, value: String(value) }];
    return trailer === name ? [{ algorithm, value: undefined }] : [];
  });
  if (found.length > 1) {
    throw new S3Error(
      'InvalidRequest',
      {},
      'Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.',
    );
  }
  if (trailer !== '' && found.length === 0) {
    throw new S3Error('InvalidRequest', {}, 'The value specified in the x-amz-trailer header is not supported');
  }
  return found[0];
}

function checkChecksum(
  declared: DeclaredChecksum | undefined,
  computed: Buffer | undefined,
  trailers: ReadonlyMap<string, string>,
): ReceivedBody['checksum'] {
  if (!declared || !computed) return undefined;
  const { algorithm } = declared;
  const sent = declared.value ?? trailers.get(`x-amz-checksum-${algorithm.toLowerCase()}`);
  if (sent === undefined) throw new S3Error('MalformedTrailerError');
  const value = computed.toString('base64');
  if (Buffer.from(sent, 'base64').byteLength !== computed.byteLength) {
    throw new S3Error('InvalidRequest', {}, `Value for x-amz-checksum-${algorithm.toLowerCase()} header is invalid.`);
  }
  if (sent !== value) {
    throw new S3Error('BadDigest', {}, `The ${algorithm} you specified did not match the calculated checksum.`);
  }
  return { algorithm, value };
}

function decoded(
  raw: AsyncIterable<Uint8Array>,
  { headers, chunkSigner, maxBytes }: BodyOptions,
  onTrailers: (trailers: ReadonlyMap<string, string>) => void,
): AsyncIterable<Uint8Array> {
  const kind = String(headers['x-amz-content-sha256'] ?? '');
  if (!kind.startsWith('STREAMING-')) return raw;
  const signed = kind.startsWith('STREAMING-AWS4-HMAC-SHA256-PAYLOAD');
  if (!signed && kind !== 'STREAMING-UNSIGNED-PAYLOAD-TRAILER') {
    throw new S3Error(
      'InvalidArgument',
      {},
      'x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-…, or a valid sha256 value.',
    );
  }
  if (signed && !chunkSigner) throw new S3Error('AccessDenied');
  const length = String(headers['x-amz-decoded-content-length'] ?? '');
  if (!/^\d{1,15}$/.test(length)) throw new S3Error('MissingContentLength');
  if (Number(length) > maxBytes) throw new S3Error('EntityTooLarge', { MaxSizeAllowed: String(maxBytes) });
  return decodeChunked(raw, {
    signer: signed ? chunkSigner : undefined,
    decodedBytes: Number(length),
    trailers: kind.endsWith('-TRAILER'),
    onTrailers,
  });
}
