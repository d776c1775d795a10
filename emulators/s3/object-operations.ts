/**
 * PutObject, GetObject, HeadObject, DeleteObject and DeleteObjects.
 */
import { type Bucket, type ObjectData, unquoted, type Version, type WriteCondition } from './bucket.ts';
import { checksumAlgorithm, startChecksum } from './checksums.ts';
import type { Deps } from './deps.ts';
import { S3Error } from './errors.ts';
import { header, type S3Request, type S3Response } from './request.ts';
import { childText, type Element, readXml, writeXml } from './xml.ts';

/** Headers of a write that come back with every read. */
export function keptHeaders(headers: S3Request['headers']): Record<string, string> {
  const names = ['content-type', 'cache-control', 'content-disposition', 'content-language'];
  const kept = Object.entries(headers).filter(([name]) => names.includes(name) || name.startsWith('x-amz-meta-'));
  return { 'content-type': 'application/octet-stream', ...Object.fromEntries(kept.map(([k, v]) => [k, String(v)])) };
}

/** The condition that a write's headers state; none where the server is to ignore them. */
export function writeCondition({ headers }: S3Request, { ignoreConditions }: Deps): WriteCondition {
  if (ignoreConditions) return { ifMatch: undefined, ifNoneMatch: undefined };
  return { ifMatch: header(headers, 'if-match'), ifNoneMatch: header(headers, 'if-none-match') };
}

/** PutObject. */
export function putObject(bucket: Bucket, request: S3Request, deps: Deps): S3Response {
  const { key, body, headers } = request;
  if (headers['x-amz-copy-source'] !== undefined) throw new S3Error('NotImplemented');
  const checksum = body.checksum ?? { algorithm: 'CRC64NVME' as const, value: defaultChecksum(body.content) };
  const data: ObjectData = {
    content: body.content,
    etag: body.md5.toString('hex'),
    checksum: { ...checksum, type: 'FULL_OBJECT' },
    headers: keptHeaders(headers),
  };
  const version = bucket.put(key, data, writeCondition(request, deps), deps.nextVersion());
  return {
    status: 200,
    headers: { etag: `"${data.etag}"`, ...versionHeader(bucket, version), ...checksumHeaders(data) },
  };
}

/** The checksum that S3 computes where the client sent none. */
export function defaultChecksum(content: Uint8Array): string {
  const checksum = startChecksum('CRC64NVME');
  checksum.update(content);
  return checksum.value().toString('base64');
}

/** GetObject and HeadObject. */
export function readObject(bucket: Bucket, request: S3Request, deps: Deps): S3Response {
  const { key, query, headers } = request;
  const { data, version } = findVersion(bucket, key, query.get('versionId'), deps);
  const ifMatch = header(headers, 'if-match');
  if (ifMatch !== undefined && ifMatch !== '*' && unquoted(ifMatch) !== data.etag) {
    throw new S3Error('PreconditionFailed', { Condition: 'If-Match' });
  }
  const common = {
    etag: `"${data.etag}"`,
    'last-modified': new Date(version.modifiedMs).toUTCString(),
    'accept-ranges': 'bytes',
    ...versionHeader(bucket, version),
  };
  const ifNoneMatch = header(headers, 'if-none-match');
  if (ifNoneMatch !== undefined && (ifNoneMatch === '*' || unquoted(ifNoneMatch) === data.etag)) {
    return { status: 304, headers: common };
  }
  const size = data.content.byteLength;
  const range = readRange(header(headers, 'range'), size);
  const [start, end] = range ?? [0, size];
  const checksums = header(headers, 'x-amz-checksum-mode') === 'ENABLED' && !range ? checksumHeaders(data) : {};
  return {
    status: range ? 206 : 200,
    headers: {
      ...data.headers,
      ...common,
      ...checksums,
      'content-length': end - start,
      ...(range && { 'content-range': `bytes ${start}-${end - 1}/${size}` }),
    },
    body: data.content.subarray(start, end),
  };
}

/** DeleteObject. */
export function deleteObject(bucket: Bucket, request: S3Request, deps: Deps): S3Response {
  const { key, query } = request;
  const versionId = query.get('versionId');
  const removed =
    versionId === undefined
      ? bucket.delete(key, writeCondition(request, deps), deps.nextVersion())
      : bucket.deleteVersion(key, versionId);
  const marker = removed && !removed.data;
  return {
    status: 204,
    headers: {
      ...(removed && { 'x-amz-version-id': removed.versionId }),
      ...(marker && { 'x-amz-delete-marker': 'true' }),
    },
  };
}

/** DeleteObjects: up to a thousand keys in one request. */
export function deleteObjects(bucket: Bucket, request: S3Request, deps: Deps): S3Response {
  const root = readXml(request.body.content.toString('utf8'), 'Delete');
  const objects = root.children.filter(({ name }) => name === 'Object');
  if (objects.length === 0 || objects.length > 1000) throw new S3Error('MalformedXML');
  const deleted = objects.map((object): Element => {
    const key = childText(object, 'Key');
    const versionId = childText(object, 'VersionId');
    if (key === undefined || key === '') throw new S3Error('MalformedXML');
    if (versionId === undefined) bucket.delete(key, { ifMatch: undefined, ifNoneMatch: undefined }, deps.nextVersion());
    else bucket.deleteVersion(key, versionId);
    return ['Deleted', [['Key', key], versionId === undefined ? undefined : ['VersionId', versionId]]];
  });
  return { status: 200, body: writeXml(['DeleteResult', childText(root, 'Quiet') === 'true' ? [] : deleted]) };
}

/** Headers that carry an object's checksum. */
export function checksumHeaders({ checksum }: ObjectData): Record<string, string> {
  const { algorithm, type, value } = checksum;
  return { [`x-amz-checksum-${algorithm.toLowerCase()}`]: value, 'x-amz-checksum-type': type };
}

/** Header with the version, where the bucket has versions. */
export function versionHeader(bucket: Bucket, { versionId }: Version): Record<string, string> {
  return bucket.versioning === 'Off' ? {} : { 'x-amz-version-id': versionId };
}

/** Reads which checksum an upload shall have. */
export function wantedAlgorithm(headers: S3Request['headers']): ReturnType<typeof checksumAlgorithm> {
  const name = header(headers, 'x-amz-checksum-algorithm');
  if (name === undefined) return undefined;
  const algorithm = checksumAlgorithm(name);
  if (!algorithm) throw new S3Error('InvalidRequest', {}, 'Checksum algorithm provided is unsupported.');
  return algorithm;
}

function findVersion(
  bucket: Bucket,
  key: string,
  versionId: string | undefined,
  { stale }: Deps,
): { data: ObjectData; version: Version } {
  const versions = bucket.versions(key);
  const wanted = versionId === undefined ? versions[stale ? 1 : 0] : versions.find((v) => v.versionId === versionId);
  if (wanted?.data) return { data: wanted.data, version: wanted };
  if (versionId === undefined) throw new S3Error('NoSuchKey', { Key: key });
  throw new S3Error(wanted ? 'MethodNotAllowed' : 'NoSuchVersion', { Key: key, VersionId: versionId });
}

/** Reads a range of one part; anything that is no such range is ignored, as HTTP demands. */
function readRange(text: string | undefined, size: number): readonly [start: number, end: number] | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(text ?? '');
  const [, first = '', last = ''] = match ?? [];
  if (first === '' && last === '') return undefined;
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === '' || last === '' ? size : Math.min(size, Number(last) + 1);
  if (first !== '' && last !== '' && Number(last) < start) return undefined;
  if (start >= end) throw new S3Error('InvalidRange', { ActualObjectSize: String(size) });
  return [start, end];
}
