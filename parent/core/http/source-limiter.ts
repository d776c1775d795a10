/**
 * Limits how often strangers may ask for something that costs work: per source, and all together.
 *
 * Token buckets that fill by the clock. Memory is bounded: a source that is forgotten early only gets a full bucket.
 */
import { isIPv6 } from 'node:net';
import type { Clock } from '../../../common/clock.ts';

/** A bucket: how many at once, and how many more each second. */
export interface Bucket {
  readonly burst: number;
  readonly perSecond: number;
}

/** Settings of a limiter. */
export interface SourceLimits {
  readonly perSource: Bucket;
  readonly global: Bucket;
  /** Sources remembered at most. */
  readonly maxSources: number;
}

/** See the file comment. */
export interface SourceLimiter {
  /** Takes one token of both buckets. @returns 0 if it was there, else the seconds until it makes sense to ask again. */
  take(source: string): number;
}

interface Level {
  tokens: number;
  atMs: number;
}

/** Opens a limiter whose buckets are full. */
export function openSourceLimiter(limits: SourceLimits, clock: Clock): SourceLimiter {
  const { perSource, global, maxSources } = limits;
  const all: Level = { tokens: global.burst, atMs: clock.monotonicMs() };
  /** The source seen last stands at the end. */
  const sources = new Map<string, Level>();

  return {
    take(source) {
      const nowMs = clock.monotonicMs();
      const key = networkOf(source);
      const level = sources.get(key) ?? { tokens: perSource.burst, atMs: nowMs };
      sources.delete(key);
      sources.set(key, level);
      if (sources.size > maxSources) sources.delete(sources.keys().next().value ?? key);
      fill(level, perSource, nowMs);
      fill(all, global, nowMs);
      if (level.tokens < 1) return waitFor(level, perSource);
      if (all.tokens < 1) return waitFor(all, global);
      level.tokens--;
      all.tokens--;
      return 0;
    },
  };
}

function fill(level: Level, { burst, perSecond }: Bucket, nowMs: number): void {
  level.tokens = Math.min(burst, level.tokens + ((nowMs - level.atMs) / 1000) * perSecond);
  level.atMs = nowMs;
}

function waitFor({ tokens }: Level, { perSecond }: Bucket): number {
  return Math.max(1, Math.ceil((1 - tokens) / perSecond));
}

/** One subscriber of IPv6 has at least a /64: all of it counts as one. */
function networkOf(source: string): string {
  const address = source.split('%')[0] ?? source;
  if (!isIPv6(address)) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped) return mapped[1] ?? address;
  const [head = '', tail] = address.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length;
  const groups = [...before, ...Array.from({ length: Math.max(0, zeros) }, () => '0'), ...after];
  return groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':');
}
