/**
 * A small gRPC server on node:http2: unary calls and server streams, over TCP, TLS, and streams that others verified.
 *
 * Ours because it halves the CPU that `@grpc/grpc-js` takes for a 99 KB unary call. It knows nothing of protobuf or of
 * any service: bytes in, bytes out. Everything that comes in is a stranger's and is limited in size, number and time.
 */
import {
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type ServerOptions,
} from 'node:http2';
import type { Server, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type Clock, systemClock } from '../../common/clock.ts';
import { openBufferPool } from './buffer-pool.ts';
import type { Caller } from './caller.ts';
import { openByteBudget } from './framing.ts';
import { ACCEPTED_ENCODINGS, createInflate } from './inflate.ts';
import { listen, type OnRefused, plainListener, tlsListener } from './listeners.ts';
import { type CallEnvironment, type GrpcMethod, ServerCall, statusHeaders } from './server-call.ts';
import { GrpcError, STATUS } from './status.ts';
import type { TlsSource } from './tls-source.ts';

export type { GrpcCall, GrpcMethod } from './server-call.ts';

/** Methods by path, such as `/kms_service.v1.CoreServiceEndpoint/KeyGen`. */
export type GrpcMethods = ReadonlyMap<string, GrpcMethod>;

/** Limits of a server; the defaults suit a node that serves a handful of busy clients. */
export interface GrpcLimits {
  /** Largest message in either direction. */
  readonly maxMessageBytes: number;
  /** Bytes of requests that all calls together may hold. */
  readonly maxHeldBytes: number;
  readonly maxConnections: number;
  readonly maxStreamsPerConnection: number;
  /** A request must be complete this long after its headers. */
  readonly bodyTimeoutMs: number;
  /** Longest pause within a request, and longest wait for a client to take its answer. */
  readonly stallTimeoutMs: number;
  /** Longest that a handler may run. Server streams have no limit. */
  readonly callTimeoutMs: number;
  /** A connection that has not said HTTP/2 by then is closed. */
  readonly prefaceTimeoutMs: number;
  /** A connection without calls is closed after this. */
  readonly idleTimeoutMs: number;
}

/** Limits that apply where none are given. */
export const DEFAULT_GRPC_LIMITS: GrpcLimits = {
  maxMessageBytes: 104_857_600,
  maxHeldBytes: 512 * 1024 * 1024,
  maxConnections: 1024,
  maxStreamsPerConnection: 1024,
  bodyTimeoutMs: 120_000,
  stallTimeoutMs: 20_000,
  callTimeoutMs: 660_000,
  prefaceTimeoutMs: 10_000,
  idleTimeoutMs: 30 * 60_000,
};

/** What a server needs. */
export interface GrpcServerOptions {
  readonly methods: GrpcMethods;
  readonly limits?: Partial<GrpcLimits>;
  /** Told of errors that no handler should throw; never of what clients do wrong. */
  readonly onFault: (error: unknown, path: string) => void;
  /** Judges a call of a known method before its message is read; the error that ends it, or undefined to let it pass. */
  readonly authorize?: (path: string, caller: Caller) => GrpcError | undefined;
  /** Told of TLS clients that were turned away. */
  readonly onRefused?: OnRefused;
  readonly clock?: Clock;
}

/** A running server. */
export interface GrpcServer {
  /**
   * Starts to listen, with TLS if it is given certificates. May be called for several addresses.
   *
   * @throws KmsError STATE_INVALID if the port is taken or not ours to take.
   */
  listen(host: string, port: number, tls?: TlsSource): Promise<{ readonly host: string; readonly port: number }>;
  /**
   * Serves a stream whose other end somebody else has verified. The stream is ours from then on; what it has read
   * already, and not given out, is read first.
   */
  inject(stream: Duplex, caller: Caller): void;
  /** Calls that have not ended. */
  readonly callsInFlight: number;
  /** Bytes of requests held. */
  readonly heldBytes: number;
  /** Takes no more calls, lets those under way end for up to `graceMs`, then drops them. */
  close(graceMs?: number): Promise<void>;
}

/** One stream may bring this much before it waits for credit: many messages of 99 KB. */
const STREAM_WINDOW_BYTES = 4 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES = 32 * 1024 * 1024;
/** Larger frames mean fewer of them for a 99 KB message. */
const MAX_FRAME_BYTES = 1024 * 1024;
const SWEEP_MS = 1000;
const CONTENT_TYPE = /^application\/grpc(?:\+proto)?(?:\s*;|$)/;

type CallHeaders = IncomingHttpHeaders & { ':path'?: string };

/** Opens a server that does not listen yet. */
export function openGrpcServer(options: GrpcServerOptions): GrpcServer {
  const limits = { ...DEFAULT_GRPC_LIMITS, ...options.limits };
  const clock = options.clock ?? systemClock;
  const environment: CallEnvironment = {
    maxMessageBytes: limits.maxMessageBytes,
    budget: openByteBudget(limits.maxHeldBytes),
    pool: openBufferPool(),
    inflate: createInflate(limits.maxMessageBytes),
    now: () => clock.monotonicMs(),
    onFault: options.onFault,
  };
  const sessions = new Set<ServerHttp2Session>();
  const calls = new Set<ServerCall>();
  const servers = new Set<Server>();
  /** Also those that have not finished their TLS handshake. */
  const sockets = new Set<Socket>();
  let closed = false;
  const http2 = http2Options(limits);
  const listenerLimits = { maxConnections: limits.maxConnections, handshakeTimeoutMs: limits.prefaceTimeoutMs };

  const onStream = (stream: ServerHttp2Stream, headers: CallHeaders, caller: Caller): void => {
    stream.on('error', ignore); // resets by the client come as errors; 'close' follows and is enough
    const method = accept(stream, headers, caller, options);
    if (!method) return;
    const call = new ServerCall(stream, headers, caller, method, environment);
    calls.add(call);
    stream.once('close', () => {
      calls.delete(call);
      call.closed();
    });
    call.start();
  };
  const inject = (socket: Duplex, caller: Caller): void => {
    socket.on('error', ignore); // the session hears of it, and is closed
    if (closed || socket.destroyed) {
      socket.destroy();
      return;
    }
    const session = performServerHandshake(socket, http2);
    // HTTP/2 takes the bytes below the stream, and does not make one that was paused read again.
    if (socket.readableLength === 0) socket.read(0);
    sessions.add(session);
    guardSession(session, limits);
    session.on('stream', (stream: ServerHttp2Stream, headers: CallHeaders) => onStream(stream, headers, caller));
    session.once('close', () => sessions.delete(session));
  };
  const sweeper = setInterval(() => sweep(calls, limits, environment.now()), SWEEP_MS).unref();

  return {
    async listen(host, port, tls) {
      const server = tls
        ? tlsListener(tls, listenerLimits, inject, options.onRefused ?? ignore)
        : plainListener(listenerLimits, inject);
      server.on('connection', (socket: Socket) => {
        sockets.add(socket);
        socket.once('close', () => sockets.delete(socket));
      });
      const address = await listen(server, host, port);
      servers.add(server);
      return address;
    },
    inject,
    get callsInFlight() {
      return calls.size;
    },
    get heldBytes() {
      return environment.budget.used;
    },
    async close(graceMs = 5000) {
      closed = true;
      const stopped = [...servers].map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
      const ended = [...sessions].map((session) => new Promise<void>((resolve) => session.once('close', resolve)));
      for (const session of sessions) session.close();
      const timer = setTimeout(() => {
        for (const session of sessions) session.destroy();
        for (const socket of sockets) socket.destroy();
      }, graceMs);
      await Promise.all([...ended, ...stopped]);
      clearTimeout(timer);
      clearInterval(sweeper);
    },
  };
}

function http2Options(limits: GrpcLimits): ServerOptions {
  return {
    settings: {
      initialWindowSize: STREAM_WINDOW_BYTES,
      maxFrameSize: MAX_FRAME_BYTES,
      maxConcurrentStreams: limits.maxStreamsPerConnection,
      maxHeaderListSize: 16 * 1024,
      enablePush: false,
    },
    maxHeaderListPairs: 64,
    maxSessionMemory: 64,
    maxSettings: 16,
    maxSessionInvalidFrames: 100,
    // A client that opens and resets streams in bursts costs work and no flow control: nghttp2 counts them.
    streamResetBurst: 1000,
    streamResetRate: 50,
  };
}

/** Closes connections that say nothing, or have had nothing to say for long. */
function guardSession(session: ServerHttp2Session, limits: GrpcLimits): void {
  session.on('error', ignore);
  session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
  const preface = setTimeout(() => session.destroy(), limits.prefaceTimeoutMs);
  session.once('remoteSettings', () => clearTimeout(preface));
  session.once('close', () => clearTimeout(preface));
  let open = 0;
  session.on('stream', (stream) => {
    open++;
    stream.once('close', () => open--);
  });
  session.setTimeout(limits.idleTimeoutMs, () => {
    if (open === 0) session.close();
  });
}

/** Finds the method that this caller may use, or answers why there is none. */
function accept(
  stream: ServerHttp2Stream,
  headers: CallHeaders,
  caller: Caller,
  { methods, authorize }: GrpcServerOptions,
): GrpcMethod | undefined {
  if (headers[':method'] !== 'POST') {
    refuse(stream, { ':status': 405 });
    return undefined;
  }
  if (!CONTENT_TYPE.test(headers['content-type'] ?? '')) {
    refuse(stream, { ':status': 415 });
    return undefined;
  }
  const encoding = headers['grpc-encoding'];
  const path = headers[':path'] ?? '';
  const method = methods.get(path);
  const known = encoding === undefined || encoding === 'identity' || encoding === 'gzip';
  const message = method ? 'this message encoding is not supported' : 'no such method';
  const error = method && known ? authorize?.(path, caller) : new GrpcError(STATUS.UNIMPLEMENTED, message);
  if (error === undefined) return method;
  refuse(stream, {
    ':status': 200,
    'content-type': 'application/grpc',
    'grpc-accept-encoding': ACCEPTED_ENCODINGS,
    ...statusHeaders(error),
  });
  return undefined;
}

function refuse(stream: ServerHttp2Stream, headers: Record<string, string | number>): void {
  stream.respond(headers, { endStream: true });
  stream.close();
}

/** One pass over all calls instead of a timer for each. */
function sweep(calls: ReadonlySet<ServerCall>, limits: GrpcLimits, nowMs: number): void {
  for (const call of calls) {
    const quietMs = nowMs - call.lastMs;
    const ageMs = nowMs - call.startedMs;
    if (call.phase === 'receiving' && (quietMs > limits.stallTimeoutMs || ageMs > limits.bodyTimeoutMs)) {
      call.fail(new GrpcError(STATUS.DEADLINE_EXCEEDED, 'the request did not arrive in time'));
    } else if (call.phase === 'running' && !call.streams && ageMs > limits.callTimeoutMs) {
      call.fail(new GrpcError(STATUS.DEADLINE_EXCEEDED, 'the call ran too long'));
    } else if (call.phase === 'responding' && quietMs > limits.stallTimeoutMs) {
      call.drop();
    }
  }
}

function ignore(): void {}
