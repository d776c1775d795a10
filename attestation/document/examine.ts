/**
 * One examination of a document: every check in order, each ticked off on a sheet. Verifying and explaining are
 * this one function, so what is explained is what was judged.
 */
import { type Chain, readChain, verifyChain, verifyEs384 } from './chain.ts';
import type { ChainCache } from './chain-cache.ts';
import { CheckSheet } from './checks.ts';
import { type Claims, type Envelope, readClaims, readEnvelope } from './payload.ts';
import type { DocumentInput, TrustAnchor } from './types.ts';

/** When a document is judged: a live session's at the verifier's time, archived evidence at its own. */
export type JudgedAt =
  | { readonly kind: 'live'; readonly nowMs: number; readonly maxAgeMs?: number; readonly skewMs?: number }
  | { readonly kind: 'archived' };

/** What came of an examination; `claims` are facts only when `verified`. */
export interface Examination {
  readonly sheet: CheckSheet;
  readonly claims: Claims | undefined;
  readonly chain: Chain | undefined;
  /** Groups 1 to 5 have passed, all of them. */
  readonly verified: boolean;
}

/** Oldest document of a live session, unless the caller says otherwise. */
const DEFAULT_MAX_AGE_MS = 300_000;
/** How far the clocks of signer and verifier may differ, unless the caller says otherwise. */
const DEFAULT_SKEW_MS = 60_000;

/**
 * Examines a document by groups 1 to 5.
 *
 * @param o.thorough - Goes on after a failed group as far as can be read, for explanations. Otherwise the
 *   expensive signatures are checked only when everything before them has passed.
 */
export async function examine(
  input: DocumentInput,
  o: { anchor: TrustAnchor; judgedAt: JudgedAt; cache?: ChainCache | undefined; thorough?: boolean },
): Promise<Examination> {
  const sheet = new CheckSheet();
  const envelope = readEnvelope(input, sheet);
  const claims = envelope && readClaims(envelope.payload, sheet);
  if (envelope === undefined || claims === undefined) {
    return { sheet, claims: undefined, chain: undefined, verified: false };
  }
  const { judgedAt } = o;
  const atMs = judgedAt.kind === 'live' ? judgedAt.nowMs : claims.timestampMs;
  const skewMs = judgedAt.kind === 'live' ? (judgedAt.skewMs ?? DEFAULT_SKEW_MS) : 0;
  const { cabundle, certificate: leaf, timestampMs } = claims;
  const chain = readChain({ anchor: o.anchor, cabundle, leaf, atMs, skewMs }, sheet);
  checkTime(timestampMs, judgedAt, skewMs, sheet);
  if (chain !== undefined && (o.thorough === true || sheet.passed('3', '4'))) {
    const remember = await verifyChain(chain, atMs, o.cache, sheet);
    if (o.thorough === true || sheet.failures().length === 0) await checkSignature(envelope, chain, sheet);
    if (sheet.passed('1', '2', '3', '4', '5')) remember();
  }
  return { sheet, claims, chain, verified: sheet.passed('1', '2', '3', '4', '5') };
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
