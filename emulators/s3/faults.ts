/**
 * Faults that a test, or a proxy in front of a real program, may have the server commit: everything that goes wrong
 * with S3 and the network before it.
 */
import type { S3ErrorCode } from './errors.ts';

/** What a fault hook sees of a request, before anything of it is done. */
export interface FaultPoint {
  /** `PutObject`, `GetObject`, `UploadPart`, … */
  readonly operation: string;
  readonly bucket: string;
  readonly key: string;
  /** Counts all requests, from 1. */
  readonly request: number;
}

/** What goes wrong. */
export type Fault =
  /** Answers with an error and does nothing. */
  | { readonly kind: 'error'; readonly code: S3ErrorCode; readonly message?: string }
  /** Closes the connection and does nothing. */
  | { readonly kind: 'reset' }
  /** Does what was asked, then closes the connection without an answer. */
  | { readonly kind: 'lost-answer' }
  /** Never answers; the request stays open until the client gives up. */
  | { readonly kind: 'hang' }
  /** Sends so many bytes of the answer's body, then closes the connection. */
  | { readonly kind: 'cut'; readonly afterBytes: number }
  /** Sends so many bytes of the answer's body, then nothing more, connection open. */
  | { readonly kind: 'stall'; readonly afterBytes: number }
  /** Flips one bit of the answer's body. */
  | { readonly kind: 'corrupt'; readonly offset: number }
  /** Reads the version before the newest: a store that is not consistent, or one that was rolled back. */
  | { readonly kind: 'stale' }
  /** Ignores `If-Match` and `If-None-Match` of a write, as servers do that do not know them. */
  | { readonly kind: 'unconditional' }
  /** Answers 200 and stores nothing. */
  | { readonly kind: 'forget' };

/** Decides about each request; undefined: no fault. */
export type FaultHook = (point: FaultPoint) => Fault | undefined;
