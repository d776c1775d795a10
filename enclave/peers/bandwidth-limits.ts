/** What a bandwidth test may cost: the published limits of `BandwidthBenchmark` (kms-service.md, section 1.6). */
import { KmsError } from '../../common/errors.ts';
import type { BandwidthTest } from './peer-network.ts';

/** Sessions to one party. */
export const MOST_SESSIONS = 256;
const MOST_PAYLOAD_BYTES = 268_435_456;
const MOST_TOTAL_BYTES = 1_073_741_824;
const MOST_DURATION_MS = 60_000;

/** @throws KmsError `REQUEST_INVALID` naming everything that is out of its range. */
export function checkBandwidthTest({ kind, durationMs, sessions, payloadBytes }: BandwidthTest): void {
  const within = (value: number, least: number, most: number): boolean =>
    Number.isSafeInteger(value) && value >= least && value <= most;
  const wrong = [
    ...(within(sessions, 1, MOST_SESSIONS) ? [] : [`number_sessions needs 1 to ${MOST_SESSIONS}`]),
    ...(within(payloadBytes, 0, MOST_PAYLOAD_BYTES)
      ? []
      : [`payload_size_per_session needs at most ${MOST_PAYLOAD_BYTES} bytes`]),
    ...(payloadBytes * sessions > MOST_TOTAL_BYTES
      ? [`all sessions together need at most ${MOST_TOTAL_BYTES} bytes`]
      : []),
    ...(kind === 'once' || within(durationMs, 0, MOST_DURATION_MS)
      ? []
      : [`duration needs at most ${MOST_DURATION_MS / 1000} s`]),
  ];
  if (wrong.length > 0) throw new KmsError('REQUEST_INVALID', `a bandwidth test: ${wrong.join('; ')}`);
}
