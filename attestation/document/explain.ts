/**
 * Explains a document to people: every numbered check with its result, everything that is wrong at once, what the
 * document says and which release it belongs to. Never throws on bad input; what did not verify is marked a claim.
 */
import { bytesToHex } from '@noble/hashes/utils.js';
import { sameBytes } from '../x509/certificate.ts';
import type { Chain } from './chain.ts';
import type { Check, CheckSheet } from './checks.ts';
import { examine, type JudgedAt } from './examine.ts';
import {
  comparePcrs,
  compareReleases,
  type Measurement,
  type PcrMismatch,
  pcrFaults,
  type ReleaseComparison,
  type UnusableMeasurement,
} from './measurements.ts';
import type { ReadableClaims } from './payload.ts';
import type { DocumentInput, Platform, TrustAnchor } from './types.ts';

/** What a document should bind; a field that is not given is not asked for. */
export interface ExpectedBinding {
  readonly nonce?: Uint8Array;
  readonly publicKey?: Uint8Array;
  readonly userData?: Uint8Array;
}

/** What a document says; byte strings in hex, times as ISO 8601. What could not be read is absent. */
export interface DocumentFacts {
  readonly platform?: Platform;
  readonly moduleId?: string;
  readonly signedAt?: string;
  readonly pcrs: readonly { readonly index: number; readonly value: string }[];
  readonly publicKey?: string;
  readonly userData?: string;
  readonly nonce?: string;
  readonly certificates: readonly { readonly notBefore: string; readonly notAfter: string; readonly bytes: number }[];
}

/** An explanation: plain JSON. */
export interface Explanation {
  /** Everything that was asked for has passed. */
  readonly ok: boolean;
  /** It is COSE_Sign1 over a map, so there are facts; the checks say what of these is wrong or missing. */
  readonly parsed: boolean;
  /** Groups 1 to 5 have passed: the facts are what the device signed; otherwise they are somebody's claims. */
  readonly verified: boolean;
  readonly anchor: string;
  readonly checks: readonly Check[];
  readonly facts?: DocumentFacts;
  /** The release whose PCRs are all equal. */
  readonly release?: string;
  readonly mismatches: readonly PcrMismatch[];
  /** Every PCR of every release that could be compared, equal or not. */
  readonly comparisons: readonly ReleaseComparison[];
  readonly unusableReleases: readonly UnusableMeasurement[];
}

/** What {@link explainDocument} judges by. */
export interface ExplainOptions {
  readonly anchor: TrustAnchor;
  readonly time: JudgedAt;
  /** Trusted releases; without them group 6 is not reached. */
  readonly measurements?: readonly Measurement[];
  /** Without it group 7 is not reached; with it, a nonce that was not asked for is a failure. */
  readonly expect?: ExpectedBinding;
}

/**
 * Examines a document as far as it can be read and tells everything found.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` for a `time` that is none; never for a document.
 */
export async function explainDocument(input: DocumentInput, o: ExplainOptions): Promise<Explanation> {
  const { sheet, claims, chain, accepted } = await examine(input, {
    anchor: o.anchor,
    judgedAt: o.time,
    thorough: true,
  });
  const verdict = checkMeasurements(claims, o.measurements, sheet);
  checkBinding(claims, o.expect, sheet);
  const asked = ['1', '2', '3', '4', '5', ...(o.measurements ? ['6'] : [])];
  return {
    ok: sheet.passed(...asked) && sheet.failures().length === 0,
    parsed: claims !== undefined,
    verified: accepted !== undefined,
    anchor: o.anchor.name,
    checks: sheet.tree(),
    ...(claims === undefined ? {} : { facts: factsOf(claims, chain) }),
    ...(verdict?.matched === undefined ? {} : { release: verdict.matched.release }),
    mismatches: verdict?.mismatches ?? [],
    comparisons: comparisonsOf(claims, o.measurements),
    unusableReleases: verdict?.unusable ?? [],
  };
}

function comparisonsOf(claims: ReadableClaims | undefined, allowed: readonly Measurement[] = []): ReleaseComparison[] {
  const { platform, pcrs } = claims ?? {};
  return platform && pcrs ? compareReleases(platform, pcrs, allowed) : [];
}

function checkMeasurements(
  claims: ReadableClaims | undefined,
  allowed: readonly Measurement[] | undefined,
  sheet: CheckSheet,
): ReturnType<typeof comparePcrs> | undefined {
  if (allowed === undefined) {
    sheet.note('6.1', 'no releases were given');
    sheet.note('6.2', 'no releases were given');
    return undefined;
  }
  const { platform, pcrs } = claims ?? {};
  if (platform === undefined || pcrs === undefined) return undefined;
  sheet.judge('6.1', pcrFaults(platform, pcrs));
  const verdict = comparePcrs(platform, pcrs, allowed);
  if (verdict.matched !== undefined) {
    sheet.pass('6.2', `release ${verdict.matched.release}, role ${verdict.matched.role}`);
    return verdict;
  }
  const wrong = [
    ...verdict.mismatches.map(({ release, pcr, expected, actual }) => {
      return `${release}: PCR${pcr} expected ${expected}, actual ${actual ?? 'missing'}`;
    }),
    ...verdict.unusable.map(({ release, reason }) => `${release}: ${reason}`),
  ];
  sheet.fail('6.2', wrong.length > 0 ? wrong.join('; ') : 'no release is trusted');
  return verdict;
}

function checkBinding(
  claims: ReadableClaims | undefined,
  expect: ExpectedBinding | undefined,
  sheet: CheckSheet,
): void {
  if (claims === undefined || sheet.failed('2.9')) return;
  const fields = [
    ['7.1', claims.nonce, expect?.nonce],
    ['7.2', claims.publicKey, expect?.publicKey],
    ['7.3', claims.userData, expect?.userData],
  ] as const;
  for (const [number, actual, expected] of fields) {
    if (expect === undefined || (expected === undefined && (number !== '7.1' || actual === undefined))) {
      sheet.note(number, 'not asked for');
    } else if (expected === undefined) {
      sheet.fail(number, 'the document carries a nonce though none was asked for');
    } else if (actual !== undefined && sameBytes(actual, expected)) {
      sheet.pass(number, bytesToHex(actual));
    } else {
      sheet.fail(
        number,
        `expected ${bytesToHex(expected)}, actual ${actual === undefined ? 'not set' : bytesToHex(actual)}`,
      );
    }
  }
}

function factsOf(claims: ReadableClaims, chain: Chain | undefined): DocumentFacts {
  const { platform, moduleId, timestampMs, pcrs = [], publicKey, userData, nonce } = claims;
  return {
    ...(platform === undefined ? {} : { platform }),
    ...(moduleId === undefined ? {} : { moduleId }),
    ...(timestampMs === undefined ? {} : { signedAt: new Date(timestampMs).toISOString() }),
    pcrs: [...pcrs].sort(([a], [b]) => a - b).map(([index, value]) => ({ index, value: bytesToHex(value) })),
    ...(publicKey === undefined ? {} : { publicKey: bytesToHex(publicKey) }),
    ...(userData === undefined ? {} : { userData: bytesToHex(userData) }),
    ...(nonce === undefined ? {} : { nonce: bytesToHex(nonce) }),
    certificates: (chain ?? []).map(({ notBeforeMs, notAfterMs, der }) => ({
      notBefore: new Date(notBeforeMs).toISOString(),
      notAfter: new Date(notAfterMs).toISOString(),
      bytes: der.length,
    })),
  };
}
