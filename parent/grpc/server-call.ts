/**
 * One call on the server, from its headers to its trailers. Input is a stranger's: every limit is enforced here.
 */
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { BufferPool } from './buffer-pool.ts';
import type { Caller } from './caller.ts';
import { type ByteBudget, frameMessage, MessageCollector } from './framing.ts';
import { ACCEPTED_ENCODINGS, type Inflate } from './inflate.ts';
import { encodeDetails, encodeMessage, GrpcError, STATUS } from './status.ts';
import { parseTimeout } from './timeout.ts';

/** What a handler sees of its call. */
export interface GrpcCall {
  /** Aborts when the client cancels or leaves, when the deadline passes, and when the server stops. */
  readonly signal: AbortSignal;
  /** Who calls, as far as the transport has verified it. */
  readonly caller: Caller;
  /**
   * Keeps the request's bytes valid after the handler has settled; else they are used for another call then.
   *
   * @returns To be called when nobody will read them any more. Not calling it costs memory, never correctness.
   */
  keepBody(): () => void;
}

/** Answers a unary call: message in, message out, both encoded. */
export interface UnaryMethod {
  readonly kind: 'unary';
  readonly handle: (body: Uint8Array, call: GrpcCall) => Promise<Uint8Array>;
}

/** Answers one message with many. */
export interface ServerStreamMethod {
  readonly kind: 'server-stream';
  readonly handle: (body: Uint8Array, call: GrpcCall) => AsyncIterable<Uint8Array>;
}

/** A method of a gRPC service. */
export type GrpcMethod = UnaryMethod | ServerStreamMethod;

/** What all calls of a server share. */
export interface CallEnvironment {
  readonly maxMessageBytes: number;
  readonly budget: ByteBudget;
  readonly pool: BufferPool;
  readonly inflate: Inflate;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Told of errors that no handler should throw. */
  readonly onFault: (error: unknown, path: string) => void;
}

const RESPONSE_HEADERS = {
  ':status': 200,
  'content-type': 'application/grpc',
  'grpc-accept-encoding': ACCEPTED_ENCODINGS,
};
/** A list is passed on as it is: it costs a third of an object. */
const OK_HEADERS = [':status', '200', 'content-type', 'application/grpc'];
const OK_TRAILERS = { 'grpc-status': '0' };
const WAIT_FOR_TRAILERS = { waitForTrailers: true };
const END_STREAM = { endStream: true };

/** A call under way. */
export class ServerCall implements GrpcCall {
  readonly path: string;
  readonly caller: Caller;
  readonly startedMs: number;
  /** When bytes last came in, or the phase last changed. */
  lastMs: number;
  phase: 'receiving' | 'running' | 'responding' = 'receiving';

  readonly #stream: ServerHttp2Stream;
  readonly #method: GrpcMethod;
  readonly #environment: CallEnvironment;
  readonly #encoding: string;
  readonly #collector: MessageCollector;
  #abort: AbortController | undefined;
  #deadline: NodeJS.Timeout | undefined;
  #trailers: Record<string, string> = OK_TRAILERS;
  #over = false;
  #bodyKept = false;

  constructor(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders & { ':path'?: string },
    caller: Caller,
    method: GrpcMethod,
    environment: CallEnvironment,
  ) {
    this.path = headers[':path'] ?? '';
    this.caller = caller;
    this.startedMs = environment.now();
    this.lastMs = this.startedMs;
    this.#stream = stream;
    this.#method = method;
    this.#environment = environment;
    const encoding = headers['grpc-encoding'];
    this.#encoding = typeof encoding === 'string' ? encoding : 'identity';
    this.#collector = new MessageCollector(environment.maxMessageBytes, environment.budget, environment.pool);
    const timeout = headers['grpc-timeout'];
    if (typeof timeout === 'string') this.#startDeadline(timeout);
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    // A handler may ask for the signal only after the client has left.
    if (this.#over && !this.#abort.signal.aborted) this.#abort.abort();
    return this.#abort.signal;
  }

  /** Whether the answer is a stream, which may last for as long as both sides like. */
  get streams(): boolean {
    return this.#method.kind === 'server-stream';
  }

  /** Reads the request and answers it. */
  start(): void {
    const { now } = this.#environment;
    this.#stream.on('data', (chunk: Buffer) => {
      if (this.#over) return;
      this.lastMs = now();
      try {
        this.#collector.push(chunk);
      } catch (error) {
        this.fail(error);
      }
    });
    this.#stream.on('end', () => {
      if (this.#over || this.phase !== 'receiving') return;
      this.phase = 'running';
      this.lastMs = now();
      this.#run()
        .catch((error: unknown) => this.fail(error))
        .finally(() => {
          if (!this.#bodyKept) this.#collector.recycle();
        });
    });
  }

  keepBody(): () => void {
    this.#bodyKept = true;
    return () => this.#collector.recycle();
  }

  /** The stream is gone: whatever still runs for it may stop. */
  closed(): void {
    if (this.#over) return;
    this.#finish();
    this.#abort?.abort();
  }

  /** Ends the call with an error, if it has not ended yet. */
  fail(error: unknown): void {
    if (this.#over) return;
    const receiving = this.phase === 'receiving';
    this.#respondError(this.#asStatus(error));
    this.#finish();
    this.#abort?.abort();
    // The client may still be sending: tell it to stop, without calling its stream an error.
    if (receiving && !this.#stream.closed) this.#stream.close(constants.NGHTTP2_NO_ERROR);
  }

  /** Drops the stream of a client that does not read its answer. */
  drop(): void {
    this.#stream.close(constants.NGHTTP2_CANCEL);
  }

  async #run(): Promise<void> {
    const message = this.#collector.finish();
    let body = message.bytes;
    if (message.compressed) {
      if (this.#encoding !== 'gzip') {
        throw new GrpcError(STATUS.INTERNAL, 'a compressed message needs grpc-encoding: gzip');
      }
      body = await this.#environment.inflate(body, this.signal);
    }
    if (this.#method.kind === 'unary') {
      const answer = await this.#method.handle(body, this);
      if (this.#gone) return;
      this.#begin();
      this.#stream.end(frameMessage(answer));
      this.#finish();
    } else {
      await this.#runStream(this.#method, body);
    }
  }

  async #runStream(method: ServerStreamMethod, body: Uint8Array): Promise<void> {
    for await (const answer of method.handle(body, this)) {
      if (this.#gone) return;
      if (!this.#stream.headersSent) this.#begin();
      if (!this.#stream.write(frameMessage(answer))) await drained(this.#stream);
    }
    if (this.#gone) return;
    if (!this.#stream.headersSent) this.#begin();
    this.#stream.end();
    this.#finish();
  }

  /** Whether nobody can be answered any more; the event that says so may still be on its way. */
  get #gone(): boolean {
    return this.#over || this.#stream.closed || this.#stream.destroyed;
  }

  /** Sends the headers; the trailers follow once the body is out. */
  #begin(): void {
    this.#stream.respond(OK_HEADERS, WAIT_FOR_TRAILERS);
    this.#stream.on('wantTrailers', () => this.#stream.sendTrailers(this.#trailers));
  }

  #respondError(error: GrpcError): void {
    if (this.#stream.closed || this.#stream.destroyed) return;
    const trailers = statusHeaders(error);
    if (this.#stream.headersSent) {
      this.#trailers = trailers;
      this.#stream.end();
    } else {
      this.#stream.respond({ ...RESPONSE_HEADERS, ...trailers }, END_STREAM);
    }
  }

  #finish(): void {
    this.#over = true;
    if (this.phase !== 'responding') this.lastMs = this.#environment.now();
    this.phase = 'responding';
    clearTimeout(this.#deadline);
    this.#collector.release();
  }

  #asStatus(error: unknown): GrpcError {
    if (error instanceof GrpcError) return error;
    this.#environment.onFault(error, this.path);
    return new GrpcError(STATUS.INTERNAL, 'internal error');
  }

  #startDeadline(header: string): void {
    const timeoutMs = parseTimeout(header);
    if (timeoutMs === undefined) return;
    this.#deadline = setTimeout(
      () => this.fail(new GrpcError(STATUS.DEADLINE_EXCEEDED, 'the deadline of the call has passed')),
      timeoutMs,
    );
  }
}

/** The headers that carry a status: trailers, or the only headers of a call without messages. */
export function statusHeaders(error: GrpcError): Record<string, string> {
  const headers: Record<string, string> = {
    'grpc-status': String(error.status),
    'grpc-message': encodeMessage(error.message),
  };
  if (error.details) headers['grpc-status-details-bin'] = encodeDetails(error.status, error.message, error.details);
  return headers;
}

function drained(stream: ServerHttp2Stream): Promise<void> {
  return new Promise((resolve) => {
    stream.once('drain', resolve);
    stream.once('close', resolve);
  });
}
