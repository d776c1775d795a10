/**
 * Numbers and times as people write them on the command line.
 */
import { usageFailure } from '../framework/failure.ts';

/**
 * Reads a whole number; whether it is in range is checked where its meaning is known.
 *
 * @throws {@link KmsError} wrong usage for anything but up to nine digits.
 */
export function parseNumber(text: string, option: string): number {
  if (!/^\d{1,9}$/.test(text)) throw usageFailure(`'${text}' is no number`, `give ${option} a whole number`);
  return Number(text);
}

/**
 * Reads a time: ISO 8601 in UTC, a date alone being its first instant.
 *
 * @throws {@link KmsError} wrong usage.
 */
export function parseTime(text: string, option: string): number {
  const isTime = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{3})?)?Z)?$/.test(text);
  const ms = isTime ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(ms)) return ms;
  throw usageFailure(`'${text}' is no time`, `give ${option} a time such as 2026-01-31 or 2026-01-31T12:00:00Z`);
}
