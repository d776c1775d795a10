/**
 * Which operation a request asks for, and which permission it takes.
 */

import type { BucketOperation } from './bucket-operations.ts';
import * as buckets from './bucket-operations.ts';
import { S3Error } from './errors.ts';
import * as uploads from './multipart-operations.ts';
import * as objects from './object-operations.ts';
import type { S3Request } from './request.ts';

/** An operation on a bucket that is there. */
export interface Operation {
  readonly name: string;
  /** IAM action that it takes. */
  readonly action: string;
  readonly run: BucketOperation;
}

const operation = (name: string, action: string, run: BucketOperation): Operation => ({ name, action, run });
const empty: BucketOperation = () => ({ status: 200 });

/** Method and sub-resource → operation; an empty sub-resource is none. */
const OF_BUCKET: Readonly<Record<string, Operation>> = {
  'HEAD ': operation('HeadBucket', 's3:ListBucket', empty),
  'GET list-type': operation('ListObjectsV2', 's3:ListBucket', buckets.listObjects),
  'GET versions': operation('ListObjectVersions', 's3:ListBucketVersions', buckets.listVersions),
  'GET versioning': operation('GetBucketVersioning', 's3:GetBucketVersioning', buckets.getVersioning),
  'PUT versioning': operation('PutBucketVersioning', 's3:PutBucketVersioning', buckets.putVersioning),
  'GET location': operation('GetBucketLocation', 's3:GetBucketLocation', buckets.getLocation),
  'GET policy': operation('GetBucketPolicy', 's3:GetBucketPolicy', buckets.getPolicy),
  'PUT policy': operation('PutBucketPolicy', 's3:PutBucketPolicy', buckets.putPolicy),
  'DELETE policy': operation('DeleteBucketPolicy', 's3:DeleteBucketPolicy', buckets.deletePolicy),
  'GET uploads': operation('ListMultipartUploads', 's3:ListBucketMultipartUploads', uploads.listUploads),
  'POST delete': operation('DeleteObjects', 's3:DeleteObject', objects.deleteObjects),
};

const OF_OBJECT: Readonly<Record<string, Operation>> = {
  'PUT ': operation('PutObject', 's3:PutObject', objects.putObject),
  'GET ': operation('GetObject', 's3:GetObject', objects.readObject),
  'HEAD ': operation('HeadObject', 's3:GetObject', objects.readObject),
  'DELETE ': operation('DeleteObject', 's3:DeleteObject', objects.deleteObject),
  'POST uploads': operation('CreateMultipartUpload', 's3:PutObject', uploads.createUpload),
  'PUT uploadId': operation('UploadPart', 's3:PutObject', uploads.uploadPart),
  'GET uploadId': operation('ListParts', 's3:ListMultipartUploadParts', uploads.listParts),
  'POST uploadId': operation('CompleteMultipartUpload', 's3:PutObject', uploads.completeUpload),
  'DELETE uploadId': operation('AbortMultipartUpload', 's3:AbortMultipartUpload', uploads.abortUpload),
};

/** Parameters that are no sub-resource. */
const PARAMETERS = new Set([
  'x-id',
  'prefix',
  'delimiter',
  'max-keys',
  'encoding-type',
  'continuation-token',
  'start-after',
  'fetch-owner',
  'key-marker',
  'version-id-marker',
  'upload-id-marker',
  'max-uploads',
  'max-parts',
  'part-number-marker',
  'partNumber',
  'versionId',
]);

/**
 * Returns the operation of a request to a bucket or an object.
 *
 * @throws S3Error `NotImplemented` for what this server does not do, rather than doing something else.
 */
export function findOperation({ method, key, query }: Pick<S3Request, 'method' | 'key' | 'query'>): Operation {
  const resources = [...query.keys()].filter((name) => !PARAMETERS.has(name));
  const table = key === '' ? OF_BUCKET : OF_OBJECT;
  const found = resources.length > 1 ? undefined : table[`${method} ${resources[0] ?? ''}`];
  if (!found) throw new S3Error('NotImplemented', {}, 'this server does not do that');
  return found;
}
