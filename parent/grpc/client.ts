/**
 * A small gRPC client on node:http2 for the CLI and the tests: unary calls on one connection that opens by itself, over
 * TCP, TLS 1.3 or a Unix socket.
 */
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import type { DescMethod, DescService, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { AdminService } from '../../proto/gen/arca-admin_pb.js';
import { Health, type HealthCheckResponse } from '../../proto/gen/health_pb.js';
import { CoreServiceEndpoint } from '../../proto/gen/kms-service_pb.js';
import { MetaStoreStatusService } from '../../proto/gen/metastore-status_pb.js';
import { frameMessage, MessageCollector, openByteBudget } from './framing.ts';
import { decodeDetails, decodeMessage, GrpcError, STATUS } from './status.ts';
import { formatTimeout } from './timeout.ts';

type CoreMethods = typeof CoreServiceEndpoint.method;
type AdminMethods = typeof AdminService.method;
type MetaStoreMethods = typeof MetaStoreStatusService.method;

/** RPCs of the client service by their published names, such as `KeyGen`. */
export type KmsRpcName = Capitalize<keyof CoreMethods & string>;
/** RPCs of the request status service by their published names. */
export type MetaStoreRpcName = Capitalize<keyof MetaStoreMethods & string>;
/** RPCs of the operator's service by their names. */
export type AdminRpcName = Capitalize<keyof AdminMethods & string>;

/** What a call of that name takes. */
export type KmsRequest<N extends KmsRpcName> = MessageInitShape<CoreMethods[Uncapitalize<N>]['input']>;
/** What a call of that name gives. */
export type KmsResponse<N extends KmsRpcName> = MessageShape<CoreMethods[Uncapitalize<N>]['output']>;
type AdminRequest<N extends AdminRpcName> = MessageInitShape<AdminMethods[Uncapitalize<N>]['input']>;
type AdminResponse<N extends AdminRpcName> = MessageShape<AdminMethods[Uncapitalize<N>]['output']>;
type MetaStoreRequest<N extends MetaStoreRpcName> = MessageInitShape<MetaStoreMethods[Uncapitalize<N>]['input']>;
type MetaStoreResponse<N extends MetaStoreRpcName> = MessageShape<MetaStoreMethods[Uncapitalize<N>]['output']>;

/** Settings of one call. */
export interface CallOptions {
  /** Cancels the call, on the server too. */
  readonly signal?: AbortSignal | undefined;
  /** Deadline, told to the server. */
  readonly timeoutMs?: number | undefined;
}

/** A client of one node. Every call rejects with {@link GrpcError}; UNAVAILABLE when the node cannot be reached. */
export interface KmsClient {
  /** Calls an RPC of `kms_service.v1.CoreServiceEndpoint`. */
  call<N extends KmsRpcName>(rpc: N, request: KmsRequest<N>, options?: CallOptions): Promise<KmsResponse<N>>;
  /** Calls an RPC of `metastore_status.v1.MetaStoreStatusService`. */
  metaStore<N extends MetaStoreRpcName>(
    rpc: N,
    request: MetaStoreRequest<N>,
    options?: CallOptions,
  ): Promise<MetaStoreResponse<N>>;
  /** Asks the standard health service; the whole server if no service is named. */
  health(service?: string, options?: CallOptions): Promise<HealthCheckResponse['status']>;
  /** Calls an RPC of `arca.v1.AdminService`: needs the admin socket or an allow-listed certificate. */
  admin<N extends AdminRpcName>(rpc: N, request: AdminRequest<N>, options?: CallOptions): Promise<AdminResponse<N>>;
  /** Calls any unary method with encoded messages, by path. */
  callRaw(path: string, body: Uint8Array, options?: CallOptions): Promise<Uint8Array>;
  /** Closes the connection; calls in flight end as CANCELLED. */
  close(): void;
}

const MAX_MESSAGE_BYTES = 104_857_600;
const STREAM_WINDOW_BYTES = 4 * 1024 * 1024;

/** Certificates of a client; only read for `https:` addresses. */
export interface ClientTls {
  /** PEM of the authorities that may have signed the server's certificate; those of Node if absent. */
  readonly ca?: string | undefined;
  /** PEM of the client's own certificate and key. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/**
 * Opens a client. Connects on the first call, and again when the connection was lost.
 *
 * @param url - `http://host:port`, `https://host:port`, `unix:/path`, or `host:port`.
 */
export function openKmsClient(url: string, tls: ClientTls = {}): KmsClient {
  const connection = openConnection(/^[a-z]+:\/\/|^unix:/.test(url) ? url : `http://${url}`, tls);

  async function callMethod(
    method: DescMethod,
    request: Record<string, unknown>,
    options: CallOptions = {},
  ): Promise<unknown> {
    const path = `/${method.parent.typeName}/${method.name}`;
    const answer = await connection.call(path, toBinary(method.input, create(method.input, request)), options);
    return fromBinary(method.output, answer);
  }

  return {
    // The casts join an RPC's name to its messages, which TypeScript cannot follow through a look-up by name.
    call: async <N extends KmsRpcName>(rpc: N, request: KmsRequest<N>, options?: CallOptions) =>
      (await callMethod(methodOf(CoreServiceEndpoint, rpc), request, options)) as KmsResponse<N>,
    metaStore: async <N extends MetaStoreRpcName>(rpc: N, request: MetaStoreRequest<N>, options?: CallOptions) =>
      (await callMethod(methodOf(MetaStoreStatusService, rpc), request, options)) as MetaStoreResponse<N>,
    async health(service = '', options) {
      const answer = (await callMethod(Health.method.check, { service }, options)) as HealthCheckResponse;
      return answer.status;
    },
    admin: async <N extends AdminRpcName>(rpc: N, request: AdminRequest<N>, options?: CallOptions) =>
      (await callMethod(methodOf(AdminService, rpc), request, options)) as AdminResponse<N>,
    callRaw: (path, body, options = {}) => connection.call(path, body, options),
    close: () => connection.close(),
  };
}

function methodOf(service: DescService, rpc: string): DescMethod {
  const method = service.methods.find(({ name }) => name === rpc);
  if (!method) throw new GrpcError(STATUS.UNIMPLEMENTED, `${service.name} has no RPC ${rpc}`);
  return method;
}

interface Connection {
  call(path: string, body: Uint8Array, options: CallOptions): Promise<Uint8Array>;
  close(): void;
}

function openConnection(url: string, tls: ClientTls): Connection {
  let session: ClientHttp2Session | undefined;

  const current = (): ClientHttp2Session => {
    if (session && !session.closed && !session.destroyed) return session;
    const path = url.startsWith('unix:') ? url.slice('unix:'.length) : undefined;
    const fresh = connect(path === undefined ? url : 'http://localhost', {
      ...(path === undefined ? {} : { createConnection: () => connectSocket({ path }) }),
      ...(url.startsWith('https:') ? { ...definedTls(tls), minVersion: 'TLSv1.3' } : {}),
      settings: { initialWindowSize: STREAM_WINDOW_BYTES, enablePush: false, maxFrameSize: 1024 * 1024 },
      maxSessionMemory: 512,
    });
    fresh.on('error', () => undefined); // each call's stream hears of it too
    fresh.once('connect', () => fresh.setLocalWindowSize(STREAM_WINDOW_BYTES * 4));
    session = fresh;
    return fresh;
  };

  return {
    call: async (path, body, options) => {
      if (options.signal?.aborted) throw new GrpcError(STATUS.CANCELLED, 'the call was cancelled');
      return await unaryCall(current(), path, body, options);
    },
    close: () => session?.destroy(),
  };
}

function definedTls({ ca, cert, key }: ClientTls): { ca?: string; cert?: string; key?: string } {
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
}

/** Runs one call on a session. */
function unaryCall(
  session: ClientHttp2Session,
  path: string,
  body: Uint8Array,
  { signal, timeoutMs }: CallOptions,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...(timeoutMs === undefined ? {} : { 'grpc-timeout': formatTimeout(timeoutMs) }),
    });
    const collector = new MessageCollector(MAX_MESSAGE_BYTES, openByteBudget(Number.POSITIVE_INFINITY));
    let headers: Readonly<Record<string, unknown>> = {};
    let fault: unknown;

    const giveUp = (error: GrpcError): void => {
      fault ??= error;
      stream.close(constants.NGHTTP2_CANCEL);
    };
    const onAbort = (): void => giveUp(new GrpcError(STATUS.CANCELLED, 'the call was cancelled'));
    signal?.addEventListener('abort', onAbort, { once: true });
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => giveUp(new GrpcError(STATUS.DEADLINE_EXCEEDED, 'no answer in time')), timeoutMs);

    stream.on('response', (received) => {
      headers = received;
    });
    stream.on('trailers', (received) => {
      headers = { ...headers, ...received };
    });
    stream.on('data', (chunk: Buffer) => {
      try {
        collector.push(chunk);
      } catch (error) {
        fault ??= error;
        stream.close(constants.NGHTTP2_CANCEL);
      }
    });
    stream.on('error', (error) => {
      fault ??= new GrpcError(STATUS.UNAVAILABLE, 'the node cannot be reached', undefined, error);
    });
    stream.on('close', () => {
      signal?.removeEventListener('abort', onAbort);
      clearTimeout(timer);
      const error = fault ?? answerError(headers, stream);
      if (error === undefined) resolve(collector.finish().bytes);
      else reject(error);
    });
    stream.end(frameMessage(body));
  });
}

/** The error that the headers of an ended call carry; undefined for OK. */
function answerError(headers: Readonly<Record<string, unknown>>, stream: ClientHttp2Stream): GrpcError | undefined {
  const status = headers['grpc-status'];
  if (typeof status !== 'string' || !/^[0-9]{1,3}$/.test(status)) {
    const http = headers[':status'];
    const why =
      typeof http === 'number' && http !== 200
        ? `the server answered HTTP ${http}, so it is no gRPC server`
        : `the connection ended before the answer (${stream.rstCode})`;
    return new GrpcError(STATUS.UNAVAILABLE, why);
  }
  if (status === '0') return undefined;
  const message = headers['grpc-message'];
  const details = headers['grpc-status-details-bin'];
  return new GrpcError(
    Number(status),
    decodeMessage(typeof message === 'string' ? message : ''),
    typeof details === 'string' ? decodeDetails(details) : undefined,
  );
}
