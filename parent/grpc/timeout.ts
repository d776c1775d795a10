/**
 * The `grpc-timeout` header: up to eight digits and a unit.
 */

const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 0.001, n: 0.000001 };

/** Node's timers hold 32 bits; a longer timeout is no timeout for anybody. */
const MAX_TIMER_MS = 2_147_483_647;

/**
 * Reads the header into milliseconds, at most what a timer holds.
 *
 * @returns undefined if it is not a timeout.
 * @example
 * parseTimeout('250m'); // 250
 */
export function parseTimeout(header: string): number | undefined {
  const unit = UNIT_MS[header.slice(-1)];
  const digits = header.slice(0, -1);
  if (unit === undefined || !/^[0-9]{1,8}$/.test(digits)) return undefined;
  return Math.min(Number(digits) * unit, MAX_TIMER_MS);
}

/** Writes milliseconds as a header, rounded up to what eight digits can say. */
export function formatTimeout(timeoutMs: number): string {
  const ms = Math.max(0, Math.ceil(timeoutMs));
  if (ms < 1e8) return `${ms}m`;
  return `${Math.min(Math.ceil(ms / 1000), 99_999_999)}S`;
}
