/**
 * The node's rate limiter: one bucket of tokens that all operations share, each taking its weight until its work ends.
 *
 * Not a window in time: a decryption holds its token while it runs, a preprocessing half of the bucket. Spec 1.5.
 */
import { KmsError } from '../../../common/errors.ts';

/** Operations that take tokens. */
export type LimitedOperation = 'pub_decrypt' | 'user_decrypt' | 'crsgen' | 'preproc' | 'keygen' | 'new_epoch';

/** Section `[rate_limiter_conf]`: the size of the bucket, and how many tokens each operation takes. */
export type RateLimits = Readonly<Record<LimitedOperation | 'bucket_size', number>>;

/** Tokens in hand. */
export interface Permit {
  /** Gives the tokens back. Further calls do nothing. */
  release(): void;
}

/** The bucket. */
export interface RateLimiter {
  /**
   * Takes the operation's tokens, at once or not at all.
   *
   * @throws {@link KmsError} `RESOURCE_EXHAUSTED` if too few are left.
   */
  acquire(operation: LimitedOperation): Permit;
  /** Tokens taken. */
  readonly used: number;
}

/** What clients are told to wait: most operations end within it. */
const RETRY_AFTER_MS = 500;

/** Opens a full bucket. */
export function openRateLimiter(limits: RateLimits): RateLimiter {
  let used = 0;
  return {
    acquire(operation) {
      const tokens = limits[operation];
      if (used + tokens > limits.bucket_size) {
        throw new KmsError('RESOURCE_EXHAUSTED', 'too much work is in progress on this node', {
          operation,
          retryAfterMs: RETRY_AFTER_MS,
        });
      }
      used += tokens;
      let held = true;
      return {
        release() {
          if (held) used -= tokens;
          held = false;
        },
      };
    },
    get used() {
      return used;
    },
  };
}
