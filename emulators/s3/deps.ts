/**
 * What the operations of the server share.
 */

/** Deps of one request. */
export interface Deps {
  nowMs(): number;
  /** A fresh name for an upload, a request or the like. */
  nextId(): string;
  /** Id and time of a version that is made now. */
  nextVersion(): { id: string; nowMs: number };
  /** Smallest size of all parts of an upload but the last. */
  readonly minPartBytes: number;
  /** Faults of this request. */
  readonly ignoreConditions: boolean;
  readonly stale: boolean;
}
