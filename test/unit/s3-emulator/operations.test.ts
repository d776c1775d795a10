/**
 * What the emulator does with good and bad requests of an unmodified AWS client, in the words of AWS.
 */
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteBucketPolicyCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetBucketLocationCommand,
  GetBucketPolicyCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  ListPartsCommand,
  PutBucketPolicyCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import t, { type Test } from 'tap';
import { readXml } from '../../../emulators/s3/xml.ts';
import { KEYS, startS3, type TestS3 } from '../../helpers/s3.ts';

const at = (Key: string) => ({ Bucket: 'vault', Key });

async function start(
  t: Test,
): Promise<{ s3: TestS3; aws: S3Client; put: (Key: string, Body?: string) => Promise<string> }> {
  const s3 = await startS3(t);
  const aws = new S3Client({
    region: 'eu-west-1',
    endpoint: s3.emulator.url,
    forcePathStyle: true,
    credentials: KEYS,
    maxAttempts: 1,
  });
  t.teardown(() => aws.destroy());
  const put = async (Key: string, Body = 'x') =>
    (await aws.send(new PutObjectCommand({ ...at(Key), Body }))).ETag ?? '';
  return { s3, aws, put };
}

t.test('conditional writes and deletions', async (t) => {
  const { s3, aws, put } = await start(t);
  const conditional = (IfMatch?: string, IfNoneMatch?: string) =>
    aws.send(
      new PutObjectCommand({
        ...at('k'),
        Body: 'new',
        ...(IfMatch && { IfMatch }),
        ...(IfNoneMatch && { IfNoneMatch }),
      }),
    );
  await t.rejects(conditional('"none"'), { name: 'NoSuchKey' }, 'nothing is there to match');
  t.ok(await conditional(undefined, '*'));
  await t.rejects(conditional(undefined, '*'), { name: 'PreconditionFailed', $metadata: { httpStatusCode: 412 } });
  await t.rejects(conditional('"none"'), { name: 'PreconditionFailed' });
  await t.rejects(conditional(undefined, '"etag"'), { name: 'NotImplemented' });
  const etag = await put('k', 'other');
  t.ok(await conditional(etag));
  await t.rejects(aws.send(new DeleteObjectCommand({ ...at('k'), IfMatch: etag })), { name: 'PreconditionFailed' });
  t.ok(s3.bucket.current('k'));
  s3.bucket.versioning = 'Enabled';
  await aws.send(new DeleteObjectCommand(at('k')));
  t.ok(await conditional(undefined, '*'), 'what was deleted is not there, though its versions are');
});

t.test('reads, ranges and conditions of reads', async (t) => {
  const { aws, put } = await start(t);
  const etag = await put('k', '0123456789');
  const read = async (extra: object) => {
    const answer = await aws.send(new GetObjectCommand({ ...at('k'), ...extra }));
    return [await answer.Body?.transformToString(), answer.ContentRange];
  };
  t.same(await read({ Range: 'bytes=2-4' }), ['234', 'bytes 2-4/10']);
  t.same(await read({ Range: 'bytes=7-' }), ['789', 'bytes 7-9/10']);
  t.same(await read({ Range: 'bytes=-3' }), ['789', 'bytes 7-9/10']);
  t.same(await read({ Range: 'bytes=5-99' }), ['56789', 'bytes 5-9/10']);
  t.same(await read({ Range: 'bytes=5-3' }), ['0123456789', undefined], 'no range: ignored');
  t.same(await read({ Range: 'lines=1-2' }), ['0123456789', undefined]);
  t.same(await read({ IfMatch: etag }), ['0123456789', undefined]);
  await t.rejects(read({ Range: 'bytes=10-' }), { name: 'InvalidRange' });
  await t.rejects(read({ IfMatch: '"other"' }), { name: 'PreconditionFailed' });
  const unchanged: unknown = await read({ IfNoneMatch: etag }).catch((error: unknown) => error);
  t.match(unchanged, { $metadata: { httpStatusCode: 304 } });
  await t.rejects(read({ VersionId: 'none' }), { name: 'NoSuchVersion' });
  await t.rejects(aws.send(new GetObjectCommand(at('none'))), { name: 'NoSuchKey' });
  await t.rejects(aws.send(new HeadObjectCommand(at('none'))), { name: 'NotFound' });
});

t.test('what a write said of an object comes back', async (t) => {
  const { aws } = await start(t);
  const meta = { ContentType: 'text/plain', CacheControl: 'no-store', Metadata: { kind: 'test' } };
  await aws.send(new PutObjectCommand({ ...at('k'), Body: 'x', ...meta }));
  t.match(await aws.send(new HeadObjectCommand(at('k'))), { ...meta, ContentLength: 1, AcceptRanges: 'bytes' });
});

t.test('listings: folders, pages and odd names', async (t) => {
  const { aws, put } = await start(t);
  const names = ['a/1', 'a/2', 'a/b/3', 'c', 'd e+f&<>"\'/x', 'ü/y', 'z'];
  for (const name of names) await put(name);
  const pages = async (extra: object, size: number) => {
    const found: string[] = [];
    let ContinuationToken: string | undefined;
    do {
      const page = await aws.send(
        new ListObjectsV2Command({ Bucket: 'vault', MaxKeys: size, ContinuationToken, ...extra }),
      );
      const rows = [
        ...(page.Contents ?? []).map(({ Key }) => Key),
        ...(page.CommonPrefixes ?? []).map((p) => p.Prefix),
      ];
      t.ok(rows.length <= size, 'a page is no larger than asked for');
      found.push(...rows.map((row) => row ?? ''));
      ContinuationToken = page.NextContinuationToken;
      t.equal(page.IsTruncated, ContinuationToken !== undefined);
    } while (ContinuationToken !== undefined);
    return found.sort();
  };
  for (const size of [1, 2, 3, 1000]) {
    t.same(await pages({}, size), [...names].sort(), `all, ${size} a page`);
    t.same(await pages({ Delimiter: '/' }, size), ['a/', 'c', 'd e+f&<>"\'/', 'z', 'ü/'], `folders, ${size} a page`);
    t.same(await pages({ Delimiter: '/', Prefix: 'a/' }, size), ['a/1', 'a/2', 'a/b/']);
  }
  const encoded = await aws.send(new ListObjectsV2Command({ Bucket: 'vault', Prefix: 'd', EncodingType: 'url' }));
  t.same(encoded.Contents?.[0]?.Key, "d+e%2Bf%26%3C%3E%22'/x");
  const bad = new ListObjectsV2Command({ Bucket: 'vault', ContinuationToken: 'not one' });
  await t.rejects(aws.send(bad), { name: 'InvalidArgument' });
});

t.test('versions, deletion marks and their removal', async (t) => {
  const { aws, put } = await start(t);
  await put('k', 'before');
  t.notOk((await aws.send(new GetBucketVersioningCommand({ Bucket: 'vault' }))).Status);
  await aws.send(new PutBucketVersioningCommand({ Bucket: 'vault', VersioningConfiguration: { Status: 'Enabled' } }));
  t.equal((await aws.send(new GetBucketVersioningCommand({ Bucket: 'vault' }))).Status, 'Enabled');
  await put('k', 'one');
  await put('kk', 'another key');
  const marker = await aws.send(new DeleteObjectCommand(at('k')));
  t.equal(marker.DeleteMarker, true);
  await t.rejects(aws.send(new GetObjectCommand(at('k'))), { name: 'NoSuchKey' });
  const list = await aws.send(new ListObjectVersionsCommand({ Bucket: 'vault', Prefix: 'k' }));
  const versions = (list.Versions ?? []).filter(({ Key }) => Key === 'k');
  t.same(
    versions.map(({ VersionId }) => VersionId === 'null'),
    [false, true],
    'what was there before is version null',
  );
  t.equal(list.DeleteMarkers?.[0]?.IsLatest, true);
  const old = await aws.send(new GetObjectCommand({ ...at('k'), VersionId: 'null' }));
  t.equal(await old.Body?.transformToString(), 'before');
  await t.rejects(aws.send(new GetObjectCommand({ ...at('k'), VersionId: marker.VersionId })), {
    name: 'MethodNotAllowed',
  });
  await aws.send(new DeleteObjectCommand({ ...at('k'), VersionId: marker.VersionId }));
  const back = await aws.send(new GetObjectCommand(at('k')));
  t.equal(await back.Body?.transformToString(), 'one', 'without its mark the object is back');
  let pages = 0;
  let markers: { KeyMarker?: string | undefined; VersionIdMarker?: string | undefined } = {};
  const seen: string[] = [];
  for (let more = true; more; pages++) {
    const page = await aws.send(new ListObjectVersionsCommand({ Bucket: 'vault', MaxKeys: 1, ...markers }));
    seen.push(...(page.Versions ?? []).map(({ Key }) => Key ?? ''));
    markers = { KeyMarker: page.NextKeyMarker, VersionIdMarker: page.NextVersionIdMarker };
    more = page.IsTruncated === true;
  }
  t.same([pages, seen], [3, ['k', 'k', 'kk']]);
  await aws.send(new DeleteObjectsCommand({ Bucket: 'vault', Delete: { Objects: [{ Key: 'k' }, { Key: 'kk' }] } }));
  t.same((await aws.send(new ListObjectsV2Command({ Bucket: 'vault' }))).KeyCount, 0);
});

t.test('uploads in parts: order, sizes, tags, and what is not there', async (t) => {
  const { s3, aws } = await start(t);
  const { UploadId } = await aws.send(new CreateMultipartUploadCommand(at('k')));
  const part = async (PartNumber: number, Body: string) => {
    const { ETag } = await aws.send(new UploadPartCommand({ ...at('k'), UploadId, PartNumber, Body }));
    return { PartNumber, ETag };
  };
  const complete = (Parts: { PartNumber: number; ETag: string | undefined }[], extra = {}) =>
    aws.send(new CompleteMultipartUploadCommand({ ...at('k'), UploadId, MultipartUpload: { Parts }, ...extra }));
  const [small, large, last] = [await part(1, 'small'), await part(2, 'b'.repeat(2000)), await part(3, 'c')];
  t.equal((await aws.send(new ListPartsCommand({ ...at('k'), UploadId }))).Parts?.length, 3);
  t.equal((await aws.send(new ListMultipartUploadsCommand({ Bucket: 'vault' }))).Uploads?.length, 1);
  await t.rejects(complete([large, small]), { name: 'InvalidPartOrder' });
  await t.rejects(complete([small, large]), { name: 'EntityTooSmall' });
  await t.rejects(complete([{ PartNumber: 2, ETag: '"other"' }]), { name: 'InvalidPart' });
  await t.rejects(complete([{ PartNumber: 9, ETag: large.ETag }]), { name: 'InvalidPart' });
  await t.rejects(complete([]), { name: 'MalformedXML' });
  await t.rejects(part(0, 'x'), { name: 'InvalidArgument' });
  await t.rejects(part(10_001, 'x'), { name: 'InvalidArgument' });
  t.match((await complete([large, last], { IfNoneMatch: '*' })).ETag, /-2"$/);
  t.equal(s3.bucket.current('k')?.data.content.byteLength, 2001);
  await t.rejects(complete([large, last]), { name: 'NoSuchUpload' });
  const abort = (key: string) => aws.send(new AbortMultipartUploadCommand({ ...at(key), UploadId }));
  await t.rejects(abort('k'), { name: 'NoSuchUpload' });

  const second = await aws.send(new CreateMultipartUploadCommand({ ...at('k'), ChecksumAlgorithm: 'SHA256' }));
  const of = { ...at('k'), UploadId: second.UploadId };
  const sent = await aws.send(new UploadPartCommand({ ...of, PartNumber: 1, Body: 'x', ChecksumAlgorithm: 'SHA256' }));
  const parts = [{ PartNumber: 1, ETag: sent.ETag, ChecksumSHA256: sent.ChecksumSHA256 }];
  const wrong = [{ ...parts[0], PartNumber: 1, ChecksumSHA256: 'A'.repeat(43).concat('=') }];
  const finish = (Parts: typeof parts, extra = {}) =>
    aws.send(new CompleteMultipartUploadCommand({ ...of, MultipartUpload: { Parts }, ...extra }));
  await t.rejects(finish([{ PartNumber: 1, ETag: sent.ETag, ChecksumSHA256: undefined }]), { name: 'InvalidRequest' });
  await t.rejects(finish(wrong.map((one) => ({ ...one, ETag: sent.ETag }))), { name: 'InvalidPart' });
  await t.rejects(finish(parts, { IfNoneMatch: '*' }), { name: 'PreconditionFailed' });
  t.match(await finish(parts), { ChecksumType: 'COMPOSITE', ChecksumSHA256: /-1$/ });
});

t.test('buckets and their policies', async (t) => {
  const { aws, s3, put } = await start(t);
  await aws.send(new CreateBucketCommand({ Bucket: 'other' }));
  await t.rejects(aws.send(new CreateBucketCommand({ Bucket: 'other' })), { name: 'BucketAlreadyOwnedByYou' });
  t.same(
    (await aws.send(new ListBucketsCommand({}))).Buckets?.map(({ Name }) => Name),
    ['vault', 'other'],
  );
  t.match(await aws.send(new GetBucketLocationCommand({ Bucket: 'vault' })), { LocationConstraint: 'eu-west-1' });
  await aws.send(new HeadBucketCommand({ Bucket: 'vault' }));
  await aws.send(new DeleteBucketCommand({ Bucket: 'other' }));
  await put('k');
  await t.rejects(aws.send(new DeleteBucketCommand({ Bucket: 'vault' })), { name: 'BucketNotEmpty' });
  await t.rejects(aws.send(new GetBucketPolicyCommand({ Bucket: 'vault' })), { name: 'NoSuchBucketPolicy' });
  const policy = (Statement: object) =>
    aws.send(new PutBucketPolicyCommand({ Bucket: 'vault', Policy: JSON.stringify({ Statement }) }));
  const url = `${s3.emulator.url}/vault/k`;
  const allow = { Effect: 'Allow', Principal: '*', Action: ['s3:Get*'], Resource: 'arn:aws:s3:::vault/?' };
  await policy([allow]);
  t.equal((await fetch(url)).status, 200);
  t.equal((await fetch(url, { method: 'DELETE' })).status, 403);
  t.equal((await fetch(`${s3.emulator.url}/vault?list-type=2`)).status, 403);
  t.equal((await fetch(`${s3.emulator.url}/vault/none`)).status, 403, 'what is not there looks forbidden');
  await policy([allow, { ...allow, Effect: 'Deny', Principal: { AWS: '*' }, Resource: ['arn:aws:s3:::vault/*'] }]);
  t.equal((await fetch(url)).status, 403, 'a denial wins');
  await policy([allow, { ...allow, Action: 's3:ListBucket', Resource: 'arn:aws:s3:::vault' }]);
  t.equal((await fetch(`${s3.emulator.url}/vault/n`)).status, 404);
  t.equal((await fetch(`${s3.emulator.url}/vault?list-type=2`)).status, 200);
  t.equal((await fetch(`${s3.emulator.url}/vault/k`, { method: 'PUT', body: 'x' })).status, 403);
  await t.rejects(policy([{ ...allow, Condition: {} }]), { name: 'NotImplemented' });
  await t.rejects(policy([{ ...allow, Principal: { AWS: '123456789012' } }]), { name: 'NotImplemented' });
  await t.rejects(policy([{ ...allow, Effect: 'Perhaps' }]), { name: 'MalformedPolicy' });
  await t.rejects(aws.send(new PutBucketPolicyCommand({ Bucket: 'vault', Policy: 'no' })), { name: 'MalformedPolicy' });
  await aws.send(new DeleteBucketPolicyCommand({ Bucket: 'vault' }));
  t.equal((await fetch(url)).status, 403);
});

t.test('what it does not do it refuses', async (t) => {
  const { s3, aws } = await start(t);
  await t.rejects(aws.send(new GetObjectTaggingCommand(at('k'))), { name: 'NotImplemented' });
  await t.rejects(aws.send(new GetObjectCommand({ Bucket: 'none', Key: 'k' })), { name: 'NoSuchBucket' });
  await t.rejects(aws.send(new GetObjectCommand(at('k'.repeat(1025)))), { name: 'KeyTooLongError' });
  const raw = async (path: string, init?: RequestInit) => (await fetch(`${s3.emulator.url}${path}`, init)).status;
  t.equal(await raw('/'), 403, 'without a signature nothing is listed');
  t.equal(await raw('/vault/%zz'), 400);
  t.equal(await raw('/UPPER/k'), 400);
  t.equal(await raw('/vault/k?uploads', { method: 'PATCH' }), 501);
  const small = await startS3(t, { maxObjectBytes: 10 });
  const storage = small.emulator;
  const client = new S3Client({ region: 'eu-west-1', endpoint: storage.url, forcePathStyle: true, credentials: KEYS });
  t.teardown(() => client.destroy());
  await t.rejects(client.send(new PutObjectCommand({ ...at('k'), Body: 'x'.repeat(11) })), { name: 'EntityTooLarge' });
});

t.test('XML that is no plain list of elements is refused', async (t) => {
  t.same(readXml('<?xml version="1.0"?>\n<A x="1"><B>1 &lt;&#65;&#x42;</B><C/></A>', 'A').children, [
    { name: 'B', text: '1 <AB', children: [] },
    { name: 'C', text: '', children: [] },
  ]);
  const bad = [
    '',
    'text',
    '<A>',
    '</A>',
    '<A></B>',
    '<A></A><A></A>',
    '<A></A>text',
    '<B></B>',
    '<A>&evil;</A>',
    '<A>&#0;</A>',
    '<A>&#x110000;</A>',
    '<A>&</A>',
    '<!DOCTYPE A [<!ENTITY e "x">]><A>&e;</A>',
    '<A><![CDATA[x]]></A>',
    '<A><!-- x --></A>',
    '<A x=1></A>',
    `${'<A>'.repeat(20)}${'</A>'.repeat(20)}`,
  ];
  for (const text of bad) t.throws(() => readXml(text, 'A'), { code: 'MalformedXML' }, text.slice(0, 40));
});
