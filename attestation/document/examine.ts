/**
 * One examination of a document: every check in order, each ticked off on a sheet. Verifying and explaining are
 * this one function, so what is explained is what was judged.
 */
import { KmsError } from '../../common/errors.ts';
import { type Chain, readChain, verifyChain, verifyEs384 } from './chain.ts';
import type { ChainCache } from './chain-cache.ts';
import { CheckSheet } from './checks.ts';
import { type Claims, type Envelope, type ReadableClaims, readClaims, readEnvelope, wholeClaims } from './payload.ts';
import type { DocumentInput, TrustAnchor } from './types.ts';

/** When a document is judged: a live session's at the verifier's time, archived evidence at its own. */
export type JudgedAt =
  | { readonly kind: 'live'; readonly nowMs: number; readonly maxAgeMs?: number; readonly skewMs?: number }
  | { readonly kind: 'archived' };

/** What came of an examination. */
export interface Examination {
  readonly sheet: CheckSheet;
  /** What the payload says, as far as it could be read; facts only when `accepted`. */
  readonly claims: ReadableClaims | undefined;
  readonly chain: Chain | undefined;
  /** Set when groups 1 to 5 have passed, all of them. */
  readonly accepted: { readonly claims: Claims; readonly chain: Chain } | undefined;
}

/** Oldest document of a live session, unless the caller says otherwise. */
const DEFAULT_MAX_AGE_MS = 300_000;
/** How far the clocks of signer and verifier may differ, unless the caller says otherwise. */
const DEFAULT_SKEW_MS = 60_000;
/** Farthest moment from 1970 that a date can be. */
const MAX_DATE_MS = 8.64e15;

/**
 * Examines a document by groups 1 to 5.
 *
 * @param o.thorough - Goes on after a failure as far as can be read, for explanations. Otherwise nothing is looked at
 *   behind a group that failed, and the expensive signatures only when everything before them has passed.
 * @throws {@link KmsError} `REQUEST_INVALID` for a `judgedAt` that is no time; never for a document.
 */
export async function examine(
  input: DocumentInput,
  o: { anchor: TrustAnchor; judgedAt: JudgedAt; cache?: ChainCache | undefined; thorough?: boolean },
): Promise<Examination> {
  const { judgedAt, thorough = false } = o;
  checkJudgedAt(judgedAt);
  const sheet = new CheckSheet();
  const goesOn = (...groups: readonly string[]): boolean => thorough || sheet.passed(...groups);
  const envelope = readEnvelope(input, sheet);
  const claims = envelope && goesOn('1') ? readClaims(envelope.payload, sheet) : undefined;
  if (envelope === undefined || claims === undefined || !goesOn('1', '2')) {
    return { sheet, claims, chain: undefined, accepted: undefined };
  }
  const { cabundle, certificate: leaf, timestampMs } = claims;
  const atMs = judgedAt.kind === 'live' ? judgedAt.nowMs : timestampMs;
  const skewMs = judgedAt.kind === 'live' ? (judgedAt.skewMs ?? DEFAULT_SKEW_MS) : 0;
  const chain = cabundle && leaf && readChain({ anchor: o.anchor, cabundle, leaf, atMs, skewMs }, sheet);
  if (timestampMs !== undefined) checkTime(timestampMs, judgedAt, skewMs, sheet);
  if (chain === undefined || !goesOn('3', '4')) return { sheet, claims, chain, accepted: undefined };
  const remember = await verifyChain(chain, atMs ?? 0, o.cache, sheet);
  const signable = thorough ? !sheet.failed('1.6') : sheet.failures().length === 0;
  if (signable) await checkSignature(envelope, chain, sheet);
  const whole = wholeClaims(claims, sheet);
  if (whole === undefined || !sheet.passed('1', '2', '3', '4', '5')) {
    return { sheet, claims, chain, accepted: undefined };
  }
  remember();
  return { sheet, claims, chain, accepted: { claims: whole, chain } };
}

/** A limit that is no number would switch a check off, so it is refused and not compared with. */
function checkJudgedAt(judgedAt: JudgedAt): void {
  if (judgedAt.kind === 'archived') return;
  const { nowMs, maxAgeMs = DEFAULT_MAX_AGE_MS, skewMs = DEFAULT_SKEW_MS } = judgedAt;
  if (!isBetween(nowMs, -MAX_DATE_MS, MAX_DATE_MS)) {
    throw new KmsError('REQUEST_INVALID', 'nowMs must be a moment in time');
  }
  if (!isBetween(maxAgeMs, 0, Number.MAX_VALUE) || !isBetween(skewMs, 0, Number.MAX_VALUE)) {
    throw new KmsError('REQUEST_INVALID', 'maxAgeMs and skewMs must be finite numbers, not negative');
  }
}

/** Callers without types may give anything. */
function isBetween(value: unknown, least: number, most: number): boolean {
  return typeof value === 'number' && value >= least && value <= most;
}

function checkTime(timestampMs: number, judgedAt: JudgedAt, skewMs: number, sheet: CheckSheet): void {
  const signedAt = new Date(timestampMs).toISOString();
  if (judgedAt.kind === 'archived') {
    const detail = `signed ${signedAt}; archived evidence is judged at its own time`;
    sheet.pass('4.1', detail);
    sheet.pass('4.2', detail);
    return;
  }
  const { nowMs, maxAgeMs = DEFAULT_MAX_AGE_MS } = judgedAt;
  const detail = `signed ${signedAt}, now ${new Date(nowMs).toISOString()}`;
  sheet.judge('4.1', timestampMs <= nowMs + skewMs ? [] : [detail], detail);
  const young = nowMs - timestampMs <= maxAgeMs;
  sheet.judge('4.2', young ? [] : [`${detail}, at most ${maxAgeMs} ms old`], detail);
}

async function checkSignature({ signature, signed }: Envelope, chain: Chain, sheet: CheckSheet): Promise<void> {
  const leaf = chain.at(-1);
  const good = leaf !== undefined && (await verifyEs384(leaf, new Uint8Array(signature), signed));
  sheet.judge('5.2', good ? [] : ['another key signed, or the bytes were changed']);
}
