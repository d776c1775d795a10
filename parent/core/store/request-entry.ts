/**
 * What the Core knows of one request, and its outcome.
 */
import type { ErrorCode } from '../../../common/errors.ts';

/** Kinds of requests; an id is unique within its kind. */
export const REQUEST_KINDS = [
  'preproc',
  'keygen',
  'crsgen',
  'public_decrypt',
  'user_decrypt',
  'context',
  'epoch',
] as const;

/** One of {@link REQUEST_KINDS}. */
export type RequestKind = (typeof REQUEST_KINDS)[number];

/** `deleted` keeps an id from being used again. */
export type RequestState = 'running' | 'done' | 'failed' | 'deleted';

/** How a request ended. */
export type Outcome =
  | { readonly state: 'done'; readonly response: Uint8Array }
  | { readonly state: 'failed'; readonly code: ErrorCode; readonly reason: string };

/** A request to remember. */
export interface NewRequest {
  readonly kind: RequestKind;
  readonly id: string;
  /** Of the request: of decryptions as `rpc/body-digest.ts` has it, else SHA-256 in hex. */
  readonly digest: string;
  readonly contextId: string;
  readonly epochId: string;
  /** Came through an RPC of the insecure set. */
  readonly insecure?: boolean;
}

/** A request that is remembered. Read only for everyone but the store. */
export interface RequestEntry extends NewRequest {
  readonly seq: number;
  readonly insecure: boolean;
  readonly state: RequestState;
  /** Whether its start was promised to a client, so that a restart must not forget it. */
  readonly acknowledged: boolean;
  /** A client asked to abort it. */
  readonly aborting: boolean;
  /** Id of the key generation that used this preprocessing up. */
  readonly consumedBy: string | undefined;
  readonly createdMs: number;
}
