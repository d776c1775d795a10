/**
 * Who the emulator lets in, and which bodies it believes: signatures, sessions, clocks, chunks, digests. The good ones
 * are made by the AWS client, so both sides are not ours.
 */
import { Readable } from 'node:stream';
import {
  type ChecksumAlgorithm,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import t, { type Test } from 'tap';
import { decodeChunked } from '../../../emulators/s3/aws-chunked.ts';
import { startChecksum } from '../../../emulators/s3/checksums.ts';
import { authenticate } from '../../../emulators/s3/sigv4.ts';
import { KEYS, startS3, type TestS3 } from '../../helpers/s3.ts';
import vectors from '../../vectors/s3/signed-chunks.json' with { type: 'json' };
import { bytes, chunks } from '../storage/contract.ts';

function client(t: Test, s3: TestS3, overrides: Partial<ConstructorParameters<typeof S3Client>[0]> = {}): S3Client {
  const made = new S3Client({
    region: 'eu-west-1',
    endpoint: s3.emulator.url,
    forcePathStyle: true,
    credentials: KEYS,
    maxAttempts: 1,
    ...overrides,
  });
  t.teardown(() => made.destroy());
  return made;
}

t.test('all algorithms of checksums, in headers and in trailers', async (t) => {
  const s3 = await startS3(t);
  const aws = client(t, s3);
  const content = Buffer.from(Array.from({ length: 100_000 }, (_, i) => i * 7));
  const algorithms: readonly ChecksumAlgorithm[] = ['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'];
  for (const [i, ChecksumAlgorithm] of algorithms.entries()) {
    const at = { Bucket: 'vault', Key: `k${i}` };
    for (const Body of [content, Readable.from([content.subarray(0, 70_000), content.subarray(70_000)])]) {
      const streamed = Body instanceof Readable && { ContentLength: content.byteLength };
      try {
        await aws.send(new PutObjectCommand({ ...at, Body, ChecksumAlgorithm, ...streamed }));
      } catch (error) {
        // The client computes CRC64NVME only with a package of its own beside it.
        t.match(error, { message: /CRC64|crc64|aws-crt/i }, ChecksumAlgorithm);
        continue;
      }
      const { Body: read } = await aws.send(new GetObjectCommand({ ...at, ChecksumMode: 'ENABLED' }));
      t.equal(Buffer.compare((await read?.transformToByteArray()) ?? Buffer.alloc(0), content), 0, ChecksumAlgorithm);
      const head = await aws.send(new HeadObjectCommand({ ...at, ChecksumMode: 'ENABLED' }));
      t.equal(head.ChecksumType, 'FULL_OBJECT');
      t.ok(head[`Checksum${ChecksumAlgorithm}` as 'ChecksumCRC32'], ChecksumAlgorithm);
    }
  }
});

t.test('the checksums are those of their specifications', async (t) => {
  // "123456789": the check values of the CRC catalogue; the digests are those of FIPS 180.
  const expected = {
    CRC32: 'cbf43926',
    CRC32C: 'e3069283',
    CRC64NVME: 'ae8b14860a799888',
    SHA1: 'f7c3bc1d808e04732adf679965ccc34ca7ae3441',
    SHA256: '15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225',
  } as const;
  for (const [algorithm, value] of Object.entries(expected) as [keyof typeof expected, string][]) {
    const checksum = startChecksum(algorithm);
    checksum.update(bytes('1234'));
    checksum.update(bytes('56789'));
    t.equal(checksum.value().toString('hex'), value, algorithm);
  }
});

t.test('keys, sessions, regions and clocks that are wrong, in the words of AWS', async (t) => {
  const session = { ...KEYS, accessKeyId: 'ASIASESSION', sessionToken: 'token', expiresAtMs: Date.now() + 3_600_000 };
  const over = { ...session, accessKeyId: 'ASIAOVER', expiresAtMs: 1 };
  const s3 = await startS3(t, { credentials: [KEYS, session, over] });
  const put = new PutObjectCommand({ Bucket: 'vault', Key: 'k', Body: 'x' });
  t.ok(await client(t, s3, { credentials: session }).send(put), 'a session is good');
  const cases = [
    ['InvalidAccessKeyId', { credentials: { ...KEYS, accessKeyId: 'AKIDNONE' } }, /does not exist in our records/],
    ['SignatureDoesNotMatch', { credentials: { ...KEYS, secretAccessKey: 'x' } }, /Check your key and signing method/],
    ['InvalidToken', { credentials: { ...session, sessionToken: 'other' } }, /malformed or otherwise not valid/],
    ['InvalidToken', { credentials: { ...KEYS, sessionToken: 'none needed' } }, /malformed or otherwise not valid/],
    ['ExpiredToken', { credentials: over }, /token has expired/],
    ['AuthorizationHeaderMalformed', { region: 'us-west-2' }, /region 'us-west-2' is wrong; expecting 'eu-west-1'/],
    ['RequestTimeTooSkewed', { systemClockOffset: 3_600_000 }, /too large/],
  ] as const;
  for (const [name, overrides, message] of cases) {
    await t.rejects(client(t, s3, { ...overrides }).send(put), { name, message }, name);
  }
  t.equal(s3.bucket.versions('k').length, 1, 'nothing of it was stored');
});

t.test('requests that were changed on the way are refused', async (t) => {
  const s3 = await startS3(t);
  const changes: readonly (readonly [string, (request: Signed) => void, string])[] = [
    [
      'another key',
      (r) => {
        r.path = '/vault/other';
      },
      'SignatureDoesNotMatch',
    ],
    [
      'another query',
      (r) => {
        r.query.versionId = 'x';
      },
      'SignatureDoesNotMatch',
    ],
    [
      'another method',
      (r) => {
        r.method = 'DELETE';
      },
      'SignatureDoesNotMatch',
    ],
    [
      'another body',
      (r) => {
        r.body = 'y';
      },
      'XAmzContentSHA256Mismatch',
    ],
    [
      'another hash',
      (r) => {
        r.headers['x-amz-content-sha256'] = 'UNSIGNED-PAYLOAD';
      },
      'SignatureDoesNotMatch',
    ],
    [
      'a header more',
      (r) => {
        r.headers['x-amz-meta-evil'] = '1';
      },
      'AccessDenied',
    ],
    [
      'no date',
      (r) => {
        delete r.headers['x-amz-date'];
      },
      'AccessDenied',
    ],
    [
      'no condition',
      (r) => {
        delete r.headers['if-none-match'];
      },
      'SignatureDoesNotMatch',
    ],
    [
      'no credential',
      (r) => {
        r.headers.authorization = 'AWS4-HMAC-SHA256';
      },
      'AuthorizationHeaderMalformed',
    ],
    [
      'basic',
      (r) => {
        r.headers.authorization = 'Basic eHg6eXk=';
      },
      'AuthorizationHeaderMalformed',
    ],
    [
      'no signature',
      (r) => {
        delete r.headers.authorization;
      },
      'AccessDenied',
    ],
  ];
  for (const [why, change, name] of changes) {
    const aws = client(t, s3);
    aws.middlewareStack.add(
      (next) => async (args) => {
        change(args.request as Signed);
        return await next(args);
      },
      { step: 'finalizeRequest', priority: 'low', name: 'tamper' },
    );
    const put = aws.send(new PutObjectCommand({ Bucket: 'vault', Key: 'k', Body: 'x', IfNoneMatch: '*' }));
    await t.rejects(put, { name }, why);
  }
  t.same(s3.bucket.keys(), []);
});

/** A request of the AWS client, signed. */
interface Signed {
  method: string;
  path: string;
  query: Record<string, string>;
  headers: Record<string, string>;
  body: unknown;
}

const SIZES = [65_536, 1024, 0];

/** A published example of a signed stream: what it decodes to, or why not. */
async function decodeExample(
  example: (typeof vectors)['plain' | 'trailer'],
  change: (text: string) => string = (text) => text,
  step = Number.POSITIVE_INFINITY,
): Promise<{ sizeBytes: number; trailers: ReadonlyMap<string, string> }> {
  const known = [{ accessKeyId: vectors.accessKeyId, secretAccessKey: vectors.secretAccessKey }];
  const request = { method: 'PUT', rawPath: vectors.path, query: [], headers: example.headers };
  const caller = authenticate(request, known, vectors.region, Date.parse(vectors.date));
  const parts = example.chunks.map((signature, i) => {
    const size = SIZES[i] ?? 0;
    return `${size.toString(16)};chunk-signature=${signature}\r\n${size > 0 ? `${'a'.repeat(size)}\r\n` : ''}`;
  });
  const end = 'trailers' in example ? example.trailers.map((line) => `${line}\r\n`).join('') : '';
  const content = Buffer.from(change(`${parts.join('')}${end}\r\n`));
  const pieces: Buffer[] = [];
  for (let at = 0; at < content.byteLength; at += step) pieces.push(content.subarray(at, at + step));
  let sizeBytes = 0;
  let trailers: ReadonlyMap<string, string> = new Map();
  const options = {
    signer: caller?.chunkSigner,
    decodedBytes: 66_560,
    trailers: 'trailers' in example,
    onTrailers: (got: ReadonlyMap<string, string>) => {
      trailers = got;
    },
  };
  for await (const part of decodeChunked(chunks(...pieces), options)) sizeBytes += part.byteLength;
  return { sizeBytes, trailers };
}

t.test('the published examples of signed streams are taken, however they are cut', async (t) => {
  for (const example of [vectors.plain, vectors.trailer]) {
    for (const step of [Number.POSITIVE_INFINITY, 1000, 17]) {
      t.equal((await decodeExample(example, undefined, step)).sizeBytes, 66_560);
    }
  }
  t.equal((await decodeExample(vectors.trailer)).trailers.get('x-amz-checksum-crc32c'), 'sOO8/Q==');
});

t.test('every change of a signed stream is seen', async (t) => {
  const changes: readonly (readonly [string, (text: string) => string])[] = [
    ['a letter', (text) => text.replace('aaaa', 'aaba')],
    ['a signature', (text) => text.replace(/chunk-signature=[0-9a-f]/, 'chunk-signature=0')],
    ['no signature', (text) => text.replace(/;chunk-signature=[0-9a-f]{64}/, '')],
    ['the last signature', (text) => text.replace(/\n0;chunk-signature=[0-9a-f]/, '\n0;chunk-signature=0')],
    ['cut in the middle', (text) => text.slice(0, 30_000)],
    ['cut before the last chunk', (text) => text.slice(0, text.indexOf('\n0;') + 1)],
    ['something behind', (text) => `${text}more`],
    ['the second chunk left out', (text) => text.replace(/400;[^\r]*\r\na*\r\n/, '')],
    ['the second chunk twice', (text) => text.replace(/(400;[^\r]*\r\na*\r\n)/, '$1$1')],
    ['an endless line', () => 'a'.repeat(10_000)],
    ['a size that is none', (text) => text.replace('10000;', 'xyz;')],
    ['a size beyond all', (text) => text.replace('10000;', 'fffffffff;')],
    ['nothing', () => ''],
  ];
  const ofTrailers: typeof changes = [
    ['another checksum', (text) => text.replace('sOO8', 'sOO9')],
    ['another name', (text) => text.replace('crc32c:', 'crc32:')],
    ['no trailer', (text) => text.replace(/x-amz-[\s\S]*$/, '\r\n')],
    ['no signature of it', (text) => text.replace(/x-amz-trailer-signature:[0-9a-f]*\r\n/, '')],
    ['one twice', (text) => text.replace(/(x-amz-checksum[^\r]*\r\n)/, '$1$1')],
    ['no trailer at all', (text) => text.replace(/x-amz-checksum/, 'x')],
  ];
  for (const [why, change] of changes) {
    await t.rejects(decodeExample(vectors.plain, change), { code: /^[A-Z]/ }, why);
    await t.rejects(decodeExample(vectors.trailer, change), { code: /^[A-Z]/ }, `${why}, with trailers`);
  }
  for (const [why, change] of ofTrailers)
    await t.rejects(decodeExample(vectors.trailer, change), { code: /^[A-Z]/ }, why);
  await t.rejects(
    decodeExample(vectors.plain, (text) => text.replace(/\r\n$/, 'x-amz-evil:1\r\n\r\n')),
    { code: 'MalformedTrailerError' },
    'trailers that were not announced',
  );
});
