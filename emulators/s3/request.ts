/**
 * One request to the server, taken apart, and the answer to it.
 */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { ReceivedBody } from './body.ts';
import { S3Error } from './errors.ts';

/** Where a request goes and what it carries. */
export interface S3Request {
  readonly method: string;
  readonly rawPath: string;
  readonly bucket: string;
  readonly key: string;
  readonly query: ReadonlyMap<string, string>;
  readonly headers: IncomingHttpHeaders;
  /** Empty for methods without a body. */
  readonly body: ReceivedBody;
}

/** An answer. */
export interface S3Response {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | number>>;
  readonly body?: Uint8Array | string;
}

/** Longest key of S3, in bytes. */
const MAX_KEY_BYTES = 1024;
const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;

/** A request's address: path-style, or virtual-hosted below one of the given domains. */
export interface Address {
  readonly rawPath: string;
  readonly bucket: string;
  readonly key: string;
  readonly query: readonly (readonly [string, string])[];
}

/**
 * Reads the address of a request.
 *
 * @param domains - Names below which a label is a bucket: `localhost` makes `bucket.localhost` one.
 * @throws S3Error `InvalidArgument`, `InvalidBucketName`, `KeyTooLongError`.
 */
export function readAddress(message: IncomingMessage, domains: readonly string[]): Address {
  const [rawPath = '/', rawQuery = ''] = split(message.url ?? '/', '?');
  if (!rawPath.startsWith('/')) throw new S3Error('InvalidArgument');
  const host = (message.headers.host ?? '').replace(/:\d+$/, '').toLowerCase();
  const domain = domains.find((one) => host.endsWith(`.${one}`));
  const path = decode(rawPath.slice(1));
  const [bucket = '', key = ''] = domain === undefined ? split(path, '/') : [host.slice(0, -domain.length - 1), path];
  if (bucket !== '' && !BUCKET.test(bucket)) throw new S3Error('InvalidBucketName', { BucketName: bucket });
  if (Buffer.byteLength(key) > MAX_KEY_BYTES) throw new S3Error('KeyTooLongError');
  const query = rawQuery
    .split('&')
    .filter((part) => part !== '')
    .map((part) => {
      const [name = '', value = ''] = split(part.replaceAll('+', ' '), '=');
      return [decode(name), decode(value)] as const;
    });
  return { rawPath, bucket, key, query };
}

function split(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new S3Error('InvalidArgument', {}, "Couldn't parse the specified URI.");
  }
}

/** The first value of a header. */
export function header(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
}
