/** Bounds of a frame channel: every one of them holds against a peer that is attested and wrong. */
import { KmsError } from '../../common/errors.ts';
import { FRAME_COST_BYTES } from './frame-codec.ts';

/** What one connection may hold for its peer. Frames cost their payload and {@link FRAME_COST_BYTES}. */
export interface FrameLimits {
  /** Largest payload taken, at most 1 GiB. */
  readonly maxPayloadBytes: number;
  /** What a session that is being read may have unread; at least two of the largest frames. */
  readonly windowBytes: number;
  /** What the peer may send of a session before anyone reads it here. */
  readonly firstCreditBytes: number;
  /** Sessions that one side may have open. */
  readonly maxFlows: number;
  /** What all sessions together may have unread before the connection is no longer read. */
  readonly bufferedBytes: number;
}

const DEFAULTS: FrameLimits = {
  maxPayloadBytes: 4 * 1024 * 1024,
  windowBytes: 8 * 1024 * 1024 + 2 * FRAME_COST_BYTES,
  firstCreditBytes: 64 * 1024,
  maxFlows: 1024,
  bufferedBytes: 64 * 1024 * 1024,
};
const MOST_BYTES = 1024 * 1024 * 1024;

/**
 * Fills in what is not set; a window that is not set follows the largest payload.
 *
 * @throws KmsError `CONFIG_INVALID` naming every limit that is out of range.
 */
export function withDefaults(limits: Partial<FrameLimits> = {}): FrameLimits {
  const maxPayloadBytes = limits.maxPayloadBytes ?? DEFAULTS.maxPayloadBytes;
  const leastWindow = 2 * (maxPayloadBytes + FRAME_COST_BYTES);
  const windowBytes = limits.windowBytes ?? Math.max(leastWindow, 128 * 1024);
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
