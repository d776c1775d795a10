/**
 * Operations on buckets: listings, versions, policy.
 */
import type { Bucket } from './bucket.ts';
import type { Deps } from './deps.ts';
import { S3Error } from './errors.ts';
import { parsePolicy } from './policy.ts';
import type { S3Request, S3Response } from './request.ts';
import { childText, type Element, readXml, writeXml } from './xml.ts';

const MAX_KEYS = 1000;

/** ListObjectsV2. */
export function listObjects(bucket: Bucket, { query }: S3Request): S3Response {
  const prefix = query.get('prefix') ?? '';
  const delimiter = query.get('delimiter') ?? '';
  const maxKeys = pageSize(query.get('max-keys'));
  const encode = encoder(query.get('encoding-type'));
  const token = query.get('continuation-token');
  const after = token === undefined ? (query.get('start-after') ?? '') : readToken(token);

  const rows: { name: string; element: Element }[] = [];
  for (const key of bucket.keys()) {
    const version = bucket.current(key);
    if (!version || !key.startsWith(prefix)) continue;
    const cut = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length);
    const name = cut < 0 ? key : key.slice(0, cut + delimiter.length);
    if (rows.at(-1)?.name === name || Buffer.compare(Buffer.from(name), Buffer.from(after)) <= 0) continue;
    if (cut >= 0) rows.push({ name, element: ['CommonPrefixes', [['Prefix', encode(name)]]] });
    else rows.push({ name, element: contents(encode(key), version) });
    if (rows.length > maxKeys) break;
  }
  const truncated = rows.length > maxKeys;
  const page = rows.slice(0, maxKeys);
  const last = page.at(-1)?.name ?? '';
  const head: (Element | undefined)[] = [
    ['Name', bucket.name],
    ['Prefix', encode(prefix)],
    delimiter === '' ? undefined : ['Delimiter', encode(delimiter)],
    query.get('encoding-type') === 'url' ? ['EncodingType', 'url'] : undefined,
    ['MaxKeys', maxKeys],
    ['KeyCount', page.length],
    ['IsTruncated', truncated],
    truncated && page.length > 0 ? ['NextContinuationToken', writeToken(last)] : undefined,
  ];
  return { status: 200, body: writeXml(['ListBucketResult', [...head, ...page.map(({ element }) => element)]]) };
}

function contents(key: string, version: NonNullable<ReturnType<Bucket['current']>>): Element {
  return [
    'Contents',
    [
      ['Key', key],
      ['LastModified', new Date(version.modifiedMs).toISOString()],
      ['ETag', `"${version.data.etag}"`],
      ['Size', version.data.content.byteLength],
      ['StorageClass', 'STANDARD'],
    ],
  ];
}

/** ListObjectVersions, of all keys below a prefix. */
export function listVersions(bucket: Bucket, { query }: S3Request): S3Response {
  const prefix = query.get('prefix') ?? '';
  const maxKeys = pageSize(query.get('max-keys'));
  const encode = encoder(query.get('encoding-type'));
  const from = query.get('key-marker') ?? '';
  const rows: { key: string; versionId: string; element: Element }[] = [];
  for (const key of bucket.keys()) {
    if (!key.startsWith(prefix) || key < from) continue;
    let skip = key === from && query.get('version-id-marker') !== undefined;
    if (key === from && from !== '' && !skip) continue;
    for (const [index, { versionId, modifiedMs, data }] of bucket.versions(key).entries()) {
      const wanted = !skip;
      if (skip) skip = versionId !== query.get('version-id-marker');
      if (!wanted) continue;
      const common: Element[] = [
        ['Key', encode(key)],
        ['VersionId', versionId],
        ['IsLatest', index === 0],
        ['LastModified', new Date(modifiedMs).toISOString()],
      ];
      const content: Element[] = data
        ? [
            ['ETag', `"${data.etag}"`],
            ['Size', data.content.byteLength],
            ['StorageClass', 'STANDARD'],
          ]
        : [];
      rows.push({ key, versionId, element: [data ? 'Version' : 'DeleteMarker', [...common, ...content]] });
    }
  }
  const page = rows.slice(0, maxKeys);
  const truncated = rows.length > maxKeys;
  const last = page.at(-1);
  const head: (Element | undefined)[] = [
    ['Name', bucket.name],
    ['Prefix', encode(prefix)],
    ['MaxKeys', maxKeys],
    ['IsTruncated', truncated],
    truncated && last ? ['NextKeyMarker', encode(last.key)] : undefined,
    truncated && last ? ['NextVersionIdMarker', last.versionId] : undefined,
  ];
  return { status: 200, body: writeXml(['ListVersionsResult', [...head, ...page.map(({ element }) => element)]]) };
}

/** GetBucketVersioning. */
export function getVersioning(bucket: Bucket): S3Response {
  const status: Element[] = bucket.versioning === 'Off' ? [] : [['Status', bucket.versioning]];
  return { status: 200, body: writeXml(['VersioningConfiguration', status]) };
}

/** PutBucketVersioning. */
export function putVersioning(bucket: Bucket, { body }: S3Request): S3Response {
  const status = childText(readXml(body.content.toString('utf8'), 'VersioningConfiguration'), 'Status');
  if (status !== 'Enabled' && status !== 'Suspended') throw new S3Error('MalformedXML');
  bucket.versioning = status;
  return { status: 200 };
}

/** GetBucketLocation. */
export function getLocation(bucket: Bucket): S3Response {
  return { status: 200, body: writeXml(['LocationConstraint', bucket.region === 'us-east-1' ? '' : bucket.region]) };
}

/** GetBucketPolicy. */
export function getPolicy(bucket: Bucket): S3Response {
  if (!bucket.policy) throw new S3Error('NoSuchBucketPolicy', { BucketName: bucket.name });
  return { status: 200, headers: { 'content-type': 'application/json' }, body: bucket.policy.document };
}

/** PutBucketPolicy. */
export function putPolicy(bucket: Bucket, { body }: S3Request): S3Response {
  bucket.policy = parsePolicy(body.content.toString('utf8'));
  return { status: 204 };
}

/** DeleteBucketPolicy. */
export function deletePolicy(bucket: Bucket): S3Response {
  bucket.policy = undefined;
  return { status: 204 };
}

/** ListBuckets. */
export function listBuckets(buckets: Iterable<Bucket>): S3Response {
  const rows = [...buckets].map(
    ({ name, createdMs }): Element => [
      'Bucket',
      [
        ['Name', name],
        ['CreationDate', new Date(createdMs).toISOString()],
      ],
    ],
  );
  return { status: 200, body: writeXml(['ListAllMyBucketsResult', [['Buckets', rows]]]) };
}

/** What an operation on a bucket is. */
export type BucketOperation = (bucket: Bucket, request: S3Request, deps: Deps) => S3Response;

function pageSize(text: string | undefined): number {
  const size = Number(text ?? MAX_KEYS);
  if (!Number.isInteger(size) || size < 0) {
    throw new S3Error(
      'InvalidArgument',
      { ArgumentName: 'max-keys' },
      'Provided max-keys not an integer or within integer range',
    );
  }
  return Math.min(size, MAX_KEYS);
}

function encoder(type: string | undefined): (text: string) => string {
  if (type === undefined) return (text) => text;
  if (type !== 'url') throw new S3Error('InvalidArgument', {}, 'Invalid Encoding Method specified in Request');
  return (text) => encodeURIComponent(text).replaceAll('%2F', '/').replaceAll('%20', '+');
}

function writeToken(name: string): string {
  return Buffer.from(name).toString('base64url');
}

function readToken(token: string): string {
  const name = Buffer.from(token, 'base64url').toString('utf8');
  if (name === '' || writeToken(name) !== token) {
    throw new S3Error('InvalidArgument', {}, 'The continuation token provided is incorrect');
  }
  return name;
}
