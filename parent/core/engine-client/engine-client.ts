/**
 * What the Core needs of the engine, whatever carries it: one call in, one answer out.
 *
 * No secret passes here: bodies are the requests as clients sent them, answers are signed by the engine, objects are
 * public material. `socket-engine-client.ts` implements it over Unix sockets; the mesh will replace that file only.
 */
import type { EngineInfo } from '../../../proto/gen/engine_pb.js';
import type { EngineMethod } from '../../../wire/frames.ts';

/** How far a generation is; `estimated` when the engine has no hook into the work and counts time instead. */
export interface EngineProgress {
  readonly phase: string;
  /** 0 to 1. */
  readonly fraction: number;
  readonly estimated: boolean;
}

/** A public object that the engine is about to stream. */
export interface ObjectHead {
  readonly type: string;
  readonly id: string;
  readonly sizeBytes: number;
  /** The engine asks to replace an object of that name that has other content. */
  readonly replace: boolean;
}

/** Receives one streamed object. */
export interface ObjectWriter {
  /** Takes the next bytes (borrowed until the promise settles); the sender waits while the promise is pending. */
  write(chunk: Uint8Array): Promise<void>;
  /** Resolves once the object is durable and its digest is `digest`. */
  end(digest: Uint8Array): Promise<void>;
  /** Drops the unfinished object and frees its space. Never rejects. */
  abort(): Promise<void>;
}

/** Receives the objects of one call. The client never rolls back by itself: the owner of the sink decides. */
export interface ObjectSink {
  start(head: ObjectHead): Promise<ObjectWriter>;
}

/** What may accompany a call. */
export interface EngineCallOptions {
  /**
   * Aborting sends CANCEL. An ordinary call then rejects with CANCELLED at once; a `bulk` call waits for the engine's
   * word, since the engine may have committed already: it resolves then, and else rejects with the engine's ABORTED.
   */
  readonly signal?: AbortSignal | undefined;
  /** Longest wait for the answer: DEADLINE_EXCEEDED after it. Coarse (a quarter of a second). No limit when absent. */
  readonly timeoutMs?: number | undefined;
  /** Goes over the connection for generations, whose object streams must not delay decryptions. */
  readonly bulk?: boolean | undefined;
  readonly onProgress?: ((progress: EngineProgress) => void) | undefined;
  /** Needed by calls that stream objects. */
  readonly sink?: ObjectSink | undefined;
}

/** The engine, as the Core sees it. */
export interface EngineClient {
  /** `connected` when both connections are up, HELLO agreed and the engine has described itself. */
  readonly state: 'connected' | 'disconnected';
  /** Why it is not connected, for people; undefined while connected. */
  readonly reason: string | undefined;
  /** The latest description; stays readable while disconnected. Undefined until the first connection. */
  info(): EngineInfo | undefined;
  /** Asks the engine to describe itself again, as after a generation. */
  refreshInfo(signal?: AbortSignal): Promise<EngineInfo>;
  /**
   * Sends `body` (not copied: leave it alone until the promise settles) and resolves with the body of the answer.
   *
   * @param method - A number of `ENGINE_METHOD` in wire/frames.ts.
   * @throws KmsError with the engine's code; UNAVAILABLE when the engine is down or goes away (facts.reason is
   * `engine stopped` when the call was already on its way, so that its outcome is unknown).
   */
  call(method: EngineMethod, body: Uint8Array, options?: EngineCallOptions): Promise<Uint8Array>;
  /** Calls `listener` at each change of state until the returned function is called. */
  onState(listener: (state: 'connected' | 'disconnected') => void): () => void;
  /** Resolves when connected. Rejects when the signal aborts or the client is closed. */
  whenConnected(signal?: AbortSignal): Promise<void>;
  /** Fails the calls in flight and closes both connections for good. */
  close(): Promise<void>;
}
