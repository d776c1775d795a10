/**
 * An S3 server for tests and developer mode, in memory or in a folder: conditional writes, versions, uploads in parts,
 * checksums, signatures, anonymous readers by policy, and faults on demand. Not for production: nothing is flushed to disk.
 *
 * What it does it does as AWS does; anything else is refused as `NotImplemented`. Guide: docs/developers/s3-emulator.md.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { toHex } from '../../common/bytes.ts';
import { type Clock, systemClock } from '../../common/clock.ts';
import { type RandomSource, systemRandom } from '../../common/random.ts';
import type { TlsIdentity } from '../tls-files.ts';
import { receiveBody } from './body.ts';
import { Bucket } from './bucket.ts';
import { listBuckets } from './bucket-operations.ts';
import type { Deps } from './deps.ts';
import { S3Error } from './errors.ts';
import type { Fault, FaultHook } from './faults.ts';
import { findOperation, type Operation } from './operations.ts';
import { readAddress, type S3Request, type S3Response } from './request.ts';
import { errorResponse, sendResponse } from './response.ts';
import { authenticate, type KnownCredentials } from './sigv4.ts';
import { StateFolder } from './state-folder.ts';

/** Settings of {@link startS3Emulator}. */
export interface S3EmulatorOptions {
  readonly credentials: readonly KnownCredentials[];
  /** Default `us-east-1`. */
  readonly region?: string;
  /** Default 0: any free port. It listens on the loopback address only. */
  readonly port?: number;
  /** Plain HTTP unless set. */
  readonly tls?: TlsIdentity;
  /** Default `['localhost']`: `bucket.localhost` is a virtual host. */
  readonly domains?: readonly string[];
  /** Largest body it takes, default 1 GiB. */
  readonly maxObjectBytes?: number;
  /** Default 5 MiB, as S3 has it; tests set less. */
  readonly minPartBytes?: number;
  /** Keeps the buckets in this folder. */
  readonly statePath?: string;
  readonly fault?: FaultHook;
  readonly clock?: Clock;
  readonly random?: RandomSource;
}

/** A running server. */
export interface S3Emulator {
  readonly url: string;
  readonly port: number;
  /** The buckets, to look at and to change behind the clients' backs. */
  readonly buckets: ReadonlyMap<string, Bucket>;
  /** Makes a bucket if there is none of that name. */
  createBucket(name: string, region?: string): Bucket;
  close(): Promise<void>;
}

/**
 * Starts a server on the loopback address.
 *
 * @throws Error if the state folder is damaged or the port is taken.
 */
export async function startS3Emulator(options: S3EmulatorOptions): Promise<S3Emulator> {
  const emulator = new Emulator(options);
  const { tls } = options;
  const listener = (message: IncomingMessage, response: ServerResponse): void => void emulator.serve(message, response);
  const server = tls === undefined ? createServer(listener) : createTlsServer({ ...tls }, listener);
  server.listen(options.port ?? 0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    port,
    buckets: emulator.buckets,
    createBucket: (name, region) => emulator.createBucket(name, region),
    close: () => closeServer(server),
  };
}

async function closeServer(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
}

class Emulator {
  readonly buckets = new Map<string, Bucket>();
  readonly #options: S3EmulatorOptions;
  readonly #clock: Clock;
  readonly #random: RandomSource;
  readonly #region: string;
  readonly #state: StateFolder | undefined;
  #requests = 0;

  constructor(options: S3EmulatorOptions) {
    const { clock = systemClock, random = systemRandom, region = 'us-east-1' } = options;
    this.#options = options;
    this.#clock = clock;
    this.#random = random;
    this.#region = region;
    this.#state = options.statePath === undefined ? undefined : new StateFolder(options.statePath);
    for (const bucket of this.#state?.open() ?? []) this.buckets.set(bucket.name, bucket);
  }

  createBucket(name: string, region = this.#region): Bucket {
    const there = this.buckets.get(name);
    if (there) return there;
    const nowMs = this.#clock.nowMs();
    const bucket = this.#state ? this.#state.create(name, region, nowMs) : new Bucket(name, region, nowMs);
    this.buckets.set(name, bucket);
    return bucket;
  }

  async serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const requestId = toHex(this.#random(8)).toUpperCase();
    let fault: Fault | undefined;
    let answer: S3Response;
    try {
      answer = await this.#answer(message, (found) => {
        fault = found;
      });
    } catch (error) {
      if (!(error instanceof S3Error) && message.destroyed && !message.complete) return; // the client hung up
      answer = errorResponse(error, { requestId, resource: message.url ?? '/' });
    }
    await sendResponse(message, response, answer, { requestId, nowMs: this.#clock.nowMs(), fault });
  }

  async #answer(message: IncomingMessage, onFault: (fault: Fault | undefined) => void): Promise<S3Response> {
    const { headers, method = '' } = message;
    const address = readAddress(message, this.#options.domains ?? ['localhost']);
    const { bucket: bucketName, key, rawPath } = address;
    const query = new Map(address.query);
    const operation = this.#findOperation(method, bucketName, key, query);
    const fault = this.#options.fault?.({
      operation: operation?.name ?? (bucketName === '' ? 'ListBuckets' : 'CreateBucket'),
      bucket: bucketName,
      key,
      request: ++this.#requests,
    });
    onFault(fault);
    if (fault?.kind === 'error') throw new S3Error(fault.code, {}, fault.message);
    if (fault?.kind === 'reset' || fault?.kind === 'hang') return { status: 200 };

    const bucket = this.buckets.get(bucketName);
    const region = bucket?.region ?? this.#region;
    const { credentials, maxObjectBytes = 2 ** 30 } = this.#options;
    const caller = authenticate(
      { method, rawPath, query: address.query, headers },
      credentials,
      region,
      this.#clock.nowMs(),
    );
    // Who may not, learns nothing about what is there; and nobody's body is read before that is known.
    if (!caller) this.#authorizeAnonymous(bucket, operation, key);
    const body = await receiveBody(message, {
      headers,
      chunkSigner: caller?.chunkSigner,
      maxBytes: maxObjectBytes,
      ofParts: operation?.name === 'CompleteMultipartUpload',
    });
    if (fault?.kind === 'forget') return { status: 200, headers: { etag: `"${body.md5.toString('hex')}"` } };
    if (!operation) return this.#serviceOperation(method, bucketName);
    if (!bucket) throw new S3Error('NoSuchBucket', { BucketName: bucketName });
    const request: S3Request = { method, rawPath, bucket: bucketName, key, query, headers, body };
    const answer = operation.run(bucket, request, this.#deps(fault));
    return { ...answer, headers: { 'x-amz-bucket-region': bucket.region, ...answer.headers } };
  }

  #findOperation(method: string, bucket: string, key: string, query: S3Request['query']): Operation | undefined {
    const isBucketItself = key === '' && [...query.keys()].every((name) => name === 'x-id');
    if (bucket === '' || (isBucketItself && (method === 'PUT' || method === 'DELETE'))) return undefined;
    return findOperation({ method, key, query });
  }

  /** Operations on the list of buckets: ListBuckets, CreateBucket, DeleteBucket. */
  #serviceOperation(method: string, name: string): S3Response {
    if (name === '') {
      if (method !== 'GET') throw new S3Error('MethodNotAllowed');
      return listBuckets(this.buckets.values());
    }
    const there = this.buckets.get(name);
    if (method === 'PUT') {
      if (there) throw new S3Error('BucketAlreadyOwnedByYou', { BucketName: name });
      this.createBucket(name);
      return { status: 200, headers: { location: `/${name}` } };
    }
    if (!there) throw new S3Error('NoSuchBucket', { BucketName: name });
    if (!there.empty) throw new S3Error('BucketNotEmpty', { BucketName: name });
    this.#state?.remove(name);
    this.buckets.delete(name);
    return { status: 204 };
  }

  #authorizeAnonymous(bucket: Bucket | undefined, operation: Operation | undefined, key: string): void {
    if (!operation) throw new S3Error('AccessDenied');
    if (!bucket) throw new S3Error('NoSuchBucket');
    const arn = `arn:aws:s3:::${bucket.name}`;
    const allowed = (action: string, resource: string): boolean =>
      bucket.policy?.allowsAnyone(action, resource) ?? false;
    if (!allowed(operation.action, key === '' ? arn : `${arn}/${key}`)) throw new S3Error('AccessDenied');
    // Without the right to list, what is not there looks like what may not be read.
    const absent = operation.action === 's3:GetObject' && !bucket.current(key);
    if (absent && !allowed('s3:ListBucket', arn)) throw new S3Error('AccessDenied');
  }

  #deps(fault: Fault | undefined): Deps {
    return {
      nowMs: () => this.#clock.nowMs(),
      nextId: () => toHex(this.#random(16)),
      nextVersion: () => ({ id: toHex(this.#random(16)), nowMs: this.#clock.nowMs() }),
      minPartBytes: this.#options.minPartBytes ?? 5 * 1024 * 1024,
      ignoreConditions: fault?.kind === 'unconditional',
      stale: fault?.kind === 'stale',
    };
  }
}
