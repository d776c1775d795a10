/**
 * Path-style object addresses as S3 clients write them: `/<bucket>/<prefix>/<Type>/<id>`.
 *
 * A closed grammar: a request names a published type and an id of 64 hex characters, or it names nothing. So no
 * text of a request ever becomes part of a file name.
 */
import { PUBLIC_DATA_TYPES } from '../../../wire/public-data.ts';

/** What a request path names. */
export type ObjectAddress =
  | { readonly kind: 'object'; readonly type: string; readonly id: string }
  | { readonly kind: 'no-such-bucket' }
  | { readonly kind: 'no-such-key' };

const OBJECT_ID = /^[0-9a-f]{64}$/;
const TYPES: ReadonlySet<string> = new Set(PUBLIC_DATA_TYPES);

/** Returns whether a type and an id are such that they may name a public object. */
export function isObjectName(type: string, id: string): boolean {
  return TYPES.has(type) && OBJECT_ID.test(id);
}

/**
 * Reads the path of a request; a query is ignored, as for anonymous S3 readers.
 *
 * @param target - The request target as it came, not decoded: no name of ours needs an escape, so an address that
 * has one names nothing.
 */
export function parseObjectAddress(target: string, bucket: string, prefix: string): ObjectAddress {
  const query = target.indexOf('?');
  const path = query < 0 ? target : target.slice(0, query);
  const [root, first, second, type = '', id = '', ...rest] = path.split('/');
  if (root !== '' || first !== bucket) return { kind: 'no-such-bucket' };
  if (second !== prefix || rest.length > 0 || !isObjectName(type, id)) return { kind: 'no-such-key' };
  return { kind: 'object', type, id };
}
