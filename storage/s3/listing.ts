/**
 * Names below a folder, and versions of an object, page by page.
 */
import { GetObjectCommand, ListObjectsV2Command, ListObjectVersionsCommand } from '@aws-sdk/client-s3';
import { KmsError } from '../../common/errors.ts';
import { notFound, type ObjectPath } from '../storage.ts';
import { type OpenedBody, openedBody, type S3Calls } from './calls.ts';

/** One version of an object, or the mark that it was deleted. */
export interface ObjectVersion {
  readonly versionId: string;
  readonly current: boolean;
  readonly deleted: boolean;
  readonly sizeBytes: number;
  readonly modified: Date;
}

/** More pages of a listing than any vault has: a server that never ends one is stopped here. */
const MAX_PAGES = 10_000;
/** A page of S3. */
const PAGE = 1000;

/** Lists the sorted names directly below a folder; `limit` stops early. */
export async function listNames(
  calls: S3Calls,
  folder: ObjectPath,
  { limit = Number.POSITIVE_INFINITY }: { readonly limit?: number } = {},
): Promise<string[]> {
  const { client, bucket, attempts, timeoutMs } = calls.options;
  const attempted = { operation: 'ListObjectsV2', action: 's3:ListBucket', type: folder[0] ?? '' };
  const Prefix = `${[calls.options.prefix, ...folder].join('/')}/`;
  const names = new Set<string>();
  let token: string | undefined;
  for (let page = 0; page < MAX_PAGES; page++) {
    const input = {
      Bucket: bucket,
      Prefix,
      Delimiter: '/',
      EncodingType: 'url' as const,
      ...(limit < PAGE && { MaxKeys: limit }),
      ...(token !== undefined && { ContinuationToken: token }),
    };
    const send = (abortSignal: AbortSignal) => client.send(new ListObjectsV2Command(input), { abortSignal });
    const answer = await attempts.get(attempted, send, { timeoutMs });
    const objects = (answer.Contents ?? []).map(({ Key }) => Key ?? '');
    const folders = (answer.CommonPrefixes ?? []).map((one) => one.Prefix ?? '');
    for (const key of [...objects, ...folders]) {
      const name = nameBelow(Prefix, answer.EncodingType === 'url' ? decodeKey(key) : key);
      if (name !== undefined) names.add(name);
    }
    const next = answer.IsTruncated === true ? answer.NextContinuationToken : undefined;
    if (next === undefined || names.size >= limit) return [...names].sort();
    if (next === token) break;
    token = next;
  }
  throw new KmsError('STATE_INVALID', 'S3 never ends the list of objects', { type: folder[0] ?? '' });
}

/** Lists the versions of one object, newest first. */
export async function listVersions(calls: S3Calls, path: ObjectPath): Promise<readonly ObjectVersion[]> {
  const { client, attempts, timeoutMs } = calls.options;
  const attempted = { operation: 'ListObjectVersions', action: 's3:ListBucketVersions', type: path[0] ?? '' };
  const { Bucket, Key } = calls.at(path);
  const found: ObjectVersion[] = [];
  let marker: { KeyMarker?: string; VersionIdMarker?: string } = {};
  for (let page = 0; page < MAX_PAGES; page++) {
    const input = { Bucket, Prefix: Key, ...marker };
    const send = (abortSignal: AbortSignal) => client.send(new ListObjectVersionsCommand(input), { abortSignal });
    const answer = await attempts.get(attempted, send, { timeoutMs });
    const rows = [
      ...(answer.Versions ?? []).map((row) => ({ ...row, deleted: false })),
      ...(answer.DeleteMarkers ?? []).map((row) => ({ ...row, Size: 0, deleted: true })),
    ];
    for (const row of rows.filter((one) => one.Key === Key)) {
      found.push({
        versionId: row.VersionId ?? 'null',
        current: row.IsLatest === true,
        deleted: row.deleted,
        sizeBytes: row.Size ?? 0,
        modified: row.LastModified ?? new Date(0),
      });
    }
    // Keys that only begin like this one follow it.
    if (answer.IsTruncated !== true || answer.NextKeyMarker !== Key) break;
    const { NextVersionIdMarker } = answer;
    marker = { KeyMarker: Key, ...(NextVersionIdMarker !== undefined && { VersionIdMarker: NextVersionIdMarker }) };
  }
  // The server lists newest first, but deletions apart from the rest; a sort that is stable keeps its order.
  const newestFirst = (a: ObjectVersion, b: ObjectVersion): number =>
    Number(b.current) - Number(a.current) || b.modified.getTime() - a.modified.getTime();
  return found.sort(newestFirst);
}

/**
 * Opens one version of an object, once.
 *
 * @throws KmsError `NOT_FOUND`.
 */
export async function openVersion(calls: S3Calls, path: ObjectPath, versionId: string): Promise<OpenedBody> {
  const { client, attempts, timeoutMs } = calls.options;
  const attempted = { operation: 'GetObject', action: 's3:GetObjectVersion', type: path[0] ?? '' };
  const command = () => new GetObjectCommand({ ...calls.at(path), VersionId: versionId });
  const outcome = await attempts.run(attempted, (abortSignal) => client.send(command(), { abortSignal }), {
    timeoutMs,
  });
  if (outcome.ok) return openedBody(outcome.value.Body);
  const { code, error } = outcome.failure;
  // Of a delete marker there is nothing to read.
  const absent = code === 'NoSuchVersion' || code === 'NoSuchKey' || code === 'MethodNotAllowed';
  throw absent ? notFound(path, error) : error;
}

function decodeKey(key: string): string {
  try {
    return decodeURIComponent(key.replaceAll('+', ' '));
  } catch {
    return '';
  }
}

/** The first segment below a prefix; what hides or is empty is no name of ours. */
function nameBelow(prefix: string, key: string): string | undefined {
  if (!key.startsWith(prefix)) return undefined;
  const name = key.slice(prefix.length).split('/')[0] ?? '';
  return name === '' || name.startsWith('.') ? undefined : name;
}
