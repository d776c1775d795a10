/**
 * Uploads in parts: CreateMultipartUpload, UploadPart, ListParts, CompleteMultipartUpload, AbortMultipartUpload.
 */
import {
  type Bucket,
  type Content,
  multipartEtag,
  type ObjectChecksum,
  type Part,
  type Upload,
  unquoted,
} from './bucket.ts';
import { startChecksum } from './checksums.ts';
import type { Deps } from './deps.ts';
import { S3Error } from './errors.ts';
import { checksumHeaders, keptHeaders, versionHeader, wantedAlgorithm, writeCondition } from './object-operations.ts';
import { header, type S3Request, type S3Response } from './request.ts';
import { childText, type Element, readXml, writeXml } from './xml.ts';

const MAX_PARTS = 10_000;

/** CreateMultipartUpload. */
export function createUpload(bucket: Bucket, { key, headers }: S3Request, deps: Deps): S3Response {
  const uploadId = deps.nextId();
  const algorithm = wantedAlgorithm(headers);
  const type = header(headers, 'x-amz-checksum-type') ?? (algorithm === 'CRC64NVME' ? 'FULL_OBJECT' : 'COMPOSITE');
  if (type !== 'FULL_OBJECT' && type !== 'COMPOSITE') throw new S3Error('InvalidRequest');
  const impossible = type === 'FULL_OBJECT' ? algorithm?.startsWith('SHA') : algorithm === 'CRC64NVME';
  if (impossible) {
    const message = `The ${type} checksum type cannot be used with the ${algorithm} checksum algorithm.`;
    throw new S3Error('InvalidRequest', {}, message);
  }
  const checksum: Upload['checksum'] = algorithm && { algorithm, type };
  const startedMs = deps.nowMs();
  bucket.uploads.set(uploadId, { uploadId, key, startedMs, headers: keptHeaders(headers), checksum, parts: new Map() });
  const body = writeXml([
    'InitiateMultipartUploadResult',
    [
      ['Bucket', bucket.name],
      ['Key', key],
      ['UploadId', uploadId],
    ],
  ]);
  const told = checksum && { 'x-amz-checksum-algorithm': checksum.algorithm, 'x-amz-checksum-type': type };
  return { status: 200, headers: { ...told }, body };
}

/** UploadPart. */
export function uploadPart(bucket: Bucket, { key, query, body, headers }: S3Request, deps: Deps): S3Response {
  if (headers['x-amz-copy-source'] !== undefined) throw new S3Error('NotImplemented');
  const upload = findUpload(bucket, key, query.get('uploadId'));
  const number = Number(query.get('partNumber'));
  if (!Number.isInteger(number) || number < 1 || number > MAX_PARTS) {
    throw new S3Error('InvalidArgument', {}, 'Part number must be an integer between 1 and 10000, inclusive');
  }
  const { checksum } = body;
  if (upload.checksum && checksum && checksum.algorithm !== upload.checksum.algorithm) {
    const message = `Checksum Type mismatch occurred, expected checksum Type: ${upload.checksum.algorithm.toLowerCase()}, actual checksum Type: ${checksum.algorithm.toLowerCase()}`;
    throw new S3Error('InvalidRequest', {}, message);
  }
  const part = { content: body.content, etag: body.md5.toString('hex'), checksum, modifiedMs: deps.nowMs() };
  upload.parts.set(number, part);
  return {
    status: 200,
    headers: {
      etag: `"${part.etag}"`,
      ...(checksum && { [`x-amz-checksum-${checksum.algorithm.toLowerCase()}`]: checksum.value }),
    },
  };
}

/** CompleteMultipartUpload: all parts named become one object, under the same conditions as a put. */
export function completeUpload(bucket: Bucket, request: S3Request, deps: Deps): S3Response {
  const { key, query, headers } = request;
  const upload = findUpload(bucket, key, query.get('uploadId'));
  const parts = namedParts(request.body.content.toString('utf8'), upload, deps.minPartBytes);
  const content = joined(parts.map((part) => part.content));
  const data = { content, etag: multipartEtag(parts), checksum: wholeChecksum(upload, parts), headers: upload.headers };
  const { algorithm } = data.checksum;
  const expected = header(headers, `x-amz-checksum-${algorithm.toLowerCase()}`);
  if (expected !== undefined && expected !== data.checksum.value) {
    throw new S3Error('BadDigest', {}, `The ${algorithm} you specified did not match the calculated checksum.`);
  }
  const version = bucket.put(key, data, writeCondition(request, deps), deps.nextVersion());
  bucket.uploads.delete(upload.uploadId);
  const body = writeXml([
    'CompleteMultipartUploadResult',
    [
      ['Bucket', bucket.name],
      ['Key', key],
      ['ETag', `"${data.etag}"`],
      [`Checksum${algorithm}`, data.checksum.value],
      ['ChecksumType', data.checksum.type],
    ],
  ]);
  return { status: 200, headers: { ...versionHeader(bucket, version), ...checksumHeaders(data) }, body };
}

/** AbortMultipartUpload. */
export function abortUpload(bucket: Bucket, { key, query }: S3Request): S3Response {
  bucket.uploads.delete(findUpload(bucket, key, query.get('uploadId')).uploadId);
  return { status: 204 };
}

/** ListParts. */
export function listParts(bucket: Bucket, { key, query }: S3Request): S3Response {
  const upload = findUpload(bucket, key, query.get('uploadId'));
  const parts = [...upload.parts].sort(([a], [b]) => a - b);
  const rows = parts.map(
    ([number, part]): Element => [
      'Part',
      [
        ['PartNumber', number],
        ['LastModified', new Date(part.modifiedMs).toISOString()],
        ['ETag', `"${part.etag}"`],
        ['Size', part.content.byteLength],
      ],
    ],
  );
  const head: Element[] = [
    ['Bucket', bucket.name],
    ['Key', key],
    ['UploadId', upload.uploadId],
    ['IsTruncated', false],
  ];
  return { status: 200, body: writeXml(['ListPartsResult', [...head, ...rows]]) };
}

/** ListMultipartUploads. */
export function listUploads(bucket: Bucket, { query }: S3Request): S3Response {
  const prefix = query.get('prefix') ?? '';
  const uploads = [...bucket.uploads.values()].filter(({ key }) => key.startsWith(prefix));
  const rows = uploads.map(
    ({ key, uploadId, startedMs }): Element => [
      'Upload',
      [
        ['Key', key],
        ['UploadId', uploadId],
        ['Initiated', new Date(startedMs).toISOString()],
      ],
    ],
  );
  const head: Element[] = [
    ['Bucket', bucket.name],
    ['IsTruncated', false],
  ];
  return { status: 200, body: writeXml(['ListMultipartUploadsResult', [...head, ...rows]]) };
}

function findUpload(bucket: Bucket, key: string, uploadId: string | undefined): Upload {
  const upload = bucket.uploads.get(uploadId ?? '');
  if (upload?.key !== key) throw new S3Error('NoSuchUpload', { UploadId: uploadId ?? '' });
  return upload;
}

function namedParts(body: string, upload: Upload, minPartBytes: number): Part[] {
  const rows = readXml(body, 'CompleteMultipartUpload').children.filter(({ name }) => name === 'Part');
  if (rows.length === 0) throw new S3Error('MalformedXML');
  let before = 0;
  return rows.map((row, index) => {
    const number = Number(childText(row, 'PartNumber'));
    if (!(number > before)) throw new S3Error('InvalidPartOrder');
    before = number;
    const part = upload.parts.get(number);
    if (!part || unquoted(childText(row, 'ETag') ?? '') !== part.etag) {
      throw new S3Error('InvalidPart', { PartNumber: String(number) });
    }
    const sent = part.checksum && childText(row, `Checksum${part.checksum.algorithm}`);
    if (sent !== undefined && sent !== part.checksum?.value) throw new S3Error('InvalidPart');
    if (upload.checksum?.type === 'COMPOSITE' && sent === undefined) {
      throw new S3Error(
        'InvalidRequest',
        {},
        'The upload was created using a checksum. The complete request must include the checksum for each part.',
      );
    }
    if (index < rows.length - 1 && part.content.byteLength < minPartBytes) {
      throw new S3Error('EntityTooSmall', { ProposedSize: String(part.content.byteLength) });
    }
    return part;
  });
}

/** The bytes of all parts, which stay where they are: together they may be gigabytes. */
function joined(parts: readonly Buffer[]): Content {
  const byteLength = parts.reduce((sum, part) => sum + part.byteLength, 0);
  return {
    byteLength,
    subarray: (start, end) => {
      let at = 0;
      const pieces = parts.map((part) => {
        const piece = part.subarray(Math.max(0, start - at), Math.max(0, end - at));
        at += part.byteLength;
        return piece;
      });
      return Buffer.concat(pieces);
    },
  };
}

function wholeChecksum(upload: Upload, parts: readonly Part[]): ObjectChecksum {
  const { algorithm, type } = upload.checksum ?? { algorithm: 'CRC64NVME' as const, type: 'FULL_OBJECT' as const };
  const checksum = startChecksum(algorithm);
  if (type === 'FULL_OBJECT') {
    for (const { content } of parts) checksum.update(content);
    return { algorithm, type, value: checksum.value().toString('base64') };
  }
  for (const part of parts) checksum.update(Buffer.from(part.checksum?.value ?? '', 'base64'));
  return { algorithm, type, value: `${checksum.value().toString('base64')}-${parts.length}` };
}
