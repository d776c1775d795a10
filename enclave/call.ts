/**
 * One call as the operations see it, whatever carried it.
 */
import type { ProgressSink } from './fhe/progress.ts';

/** Bytes that can be read piece by piece, such as an object that lives in native memory. */
export interface ObjectSource {
  /** Length in bytes. */
  readonly size: number;
  /** Returns a fresh copy of `size` bytes from `offset`. */
  chunk(offset: number, size: number): Uint8Array;
}

/** A public object on its way to the Core. */
export interface PublicObject {
  /** Public data type, as in `PublicKey`. */
  readonly type: string;
  readonly id: string;
  /** Takes the place of another object of that name. */
  readonly replace: boolean;
  /** SHAKE256 of its bytes under the tag of its type. */
  readonly digest: Uint8Array;
  readonly source: ObjectSource;
}

/** Takes public objects. */
export interface PublicObjectSink {
  /**
   * Streams one object and resolves once the Core holds it durably.
   *
   * @throws KmsError with the Core's reason if it does not, `ABORTED` if the call was cancelled meanwhile.
   */
  store(object: PublicObject): Promise<void>;
}

/** A call that arrived and was not answered yet. */
export interface EngineCall {
  /** The request's own bytes, a view into the frame that brought them. */
  readonly body: Uint8Array;
  /** What the caller offers to justify the request; untrusted. */
  readonly evidence: Uint8Array;
  /** Aborts when the caller cancels or goes away. */
  readonly signal: AbortSignal;
  readonly report: ProgressSink;
  readonly objects: PublicObjectSink;
  /**
   * Frees the body's memory at once; the collector does it in time where this is absent or not called. Every view of it is
   * empty afterwards: for an operation that has read all, at the end of its work.
   */
  readonly freeBody?: () => void;
}

/** Answers a call with the body of its result. */
export type CallHandler = (call: EngineCall) => Promise<Uint8Array> | Uint8Array;
