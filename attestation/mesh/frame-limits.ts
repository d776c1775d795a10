/** Bounds of a frame channel: every one of them holds against a peer that is attested and wrong. */
import { KmsError } from '../../common/errors.ts';
import { FRAME_COST_BYTES } from './frame-codec.ts';

/** What one connection may hold for its peer. Frames cost their payload and {@link FRAME_COST_BYTES}. */
export interface FrameLimits {
  /** Largest payload taken, at most 1 GiB. */
  readonly maxPayloadBytes: number;
  /** What a session that is being read may have unread; at least one of the largest frames. */
  readonly windowBytes: number;
  /** What the peer may send of a session before anyone reads it here. */
  readonly firstCreditBytes: number;
  /** Sessions that one side may have open. */
  readonly maxFlows: number;
  /**
   * What the windows of all sessions may add up to. A session that comes when that is used up has room for one largest
   * frame, so that it depends on no other: with `maxFlows` of those, this is what a peer may cost in all.
   */
  readonly poolBytes: number;
}

const DEFAULTS: FrameLimits = {
  maxPayloadBytes: 1024 * 1024,
  windowBytes: 8 * 1024 * 1024,
  firstCreditBytes: 64 * 1024,
  maxFlows: 1024,
  poolBytes: 128 * 1024 * 1024,
};
const MOST_BYTES = 1024 * 1024 * 1024;

/**
 * Fills in what is not set; a window that is not set follows the largest payload.
 *
 * @throws KmsError `CONFIG_INVALID` naming every limit that is out of range.
 */
export function withDefaults(limits: Partial<FrameLimits> = {}): FrameLimits {
  const maxPayloadBytes = limits.maxPayloadBytes ?? DEFAULTS.maxPayloadBytes;
  const leastWindow = maxPayloadBytes + FRAME_COST_BYTES;
  const windowBytes = limits.windowBytes ?? Math.max(2 * leastWindow, DEFAULTS.windowBytes);
  const firstCreditBytes = limits.firstCreditBytes ?? Math.min(DEFAULTS.firstCreditBytes, windowBytes);
  const filled = { ...DEFAULTS, ...limits, maxPayloadBytes, windowBytes, firstCreditBytes };
  const faults = [
    ...Object.entries(filled).flatMap(([name, value]) =>
      Number.isSafeInteger(value) && value > 0 && value <= 4 * MOST_BYTES - 1 ? [] : [`${name} is out of range`],
    ),
    ...(maxPayloadBytes > MOST_BYTES ? ['maxPayloadBytes needs at most 1 GiB'] : []),
    ...(windowBytes < leastWindow ? [`windowBytes needs at least ${leastWindow}`] : []),
    ...(firstCreditBytes > windowBytes ? ['firstCreditBytes needs at most windowBytes'] : []),
  ];
  if (faults.length > 0) throw new KmsError('CONFIG_INVALID', `frame limits: ${faults.join('; ')}`);
  return filled;
}
