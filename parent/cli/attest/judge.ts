/**
 * The whole check of a node's attestation: the document by all its rules, the facts beside it recomputed and compared.
 * One tree of numbered checks; group 8 is about the facts, the others are those of the document (docs/attestation.md).
 */
import { type AttestFacts, attestCommitment } from '../../../attestation/attest-facts.ts';
import { type ClientLeaf, clientLeafDigest } from '../../../attestation/client-leaf.ts';
import { extendedPcr, zeroPcr } from '../../../attestation/developer/registers.ts';
import {
  type Check,
  type Explanation,
  explainDocument,
  type JudgedAt,
  type Measurement,
} from '../../../attestation/document/index.ts';
import { isDeveloperNetwork } from '../../../attestation/governance/index.ts';
import { equalBytes, toHex } from '../../../common/bytes.ts';
import { formatAddress } from '../../../wire/addresses.ts';
import type { Attestation } from './attestation-file.ts';
import type { Trust } from './trust.ts';

/** What is asked of an attestation beside what the trust says. */
export interface Demands {
  /** A live session's document is judged at our time, a file at its own. */
  readonly time: JudgedAt;
  /** The nonce that we chose; undefined takes the one beside the document, which proves no freshness. */
  readonly nonce?: Uint8Array | undefined;
  /** The address that the node must have, 20 bytes. */
  readonly address?: Uint8Array | undefined;
}

/** What came of it. */
export interface Judgement {
  /** Everything that was to be checked holds. */
  readonly ok: boolean;
  /** Document and group 8 in one tree; its `ok` is the one above. */
  readonly explanation: Explanation;
  /** The facts, if there were any; they hold only if `ok`. */
  readonly facts: AttestFacts | undefined;
  /** Every check that failed or could not be made, for a line of text. */
  readonly faults: readonly string[];
}

/** Documents of certificates are as old as these, which live for hours. */
const LEAF_MAX_AGE_MS = 86_400_000;
const CHARTER_PCR = '16';
const TITLES = {
  '8.1': 'the document is of an enclave',
  '8.2': 'PCR16 is the extension of the charter in the facts',
  '8.3': 'the facts do not name another release than was measured',
  '8.4': 'networks of developer mode have developer roots, others have not',
  '8.5': 'the charter is the one expected',
  '8.6': 'the address is the one expected',
  '8.7': 'the certificate is valid now',
} as const;

/** Checks an attestation against what is trusted. Never throws on bad input. */
export async function judgeAttestation(attestation: Attestation, trust: Trust, demands: Demands): Promise<Judgement> {
  const { facts } = attestation;
  const nonce = demands.nonce ?? attestation.nonce;
  const expect = {
    ...(nonce === undefined ? {} : { nonce }),
    ...(facts === undefined ? {} : { userData: attestCommitment(facts) }),
  };
  const explain = (measurements?: readonly Measurement[]): Promise<Explanation> =>
    explainDocument(attestation.document, {
      anchor: trust.anchor,
      time: demands.time,
      ...(measurements === undefined ? {} : { measurements }),
      ...(nonce === undefined && facts === undefined ? {} : { expect }),
    });
  let document = await explain();
  const signedAt = Date.parse(document.facts?.signedAt ?? '');
  const atMs = demands.time.kind === 'live' ? demands.time.nowMs : signedAt;
  const known = Number.isNaN(atMs) ? undefined : trust.measurements?.(atMs).filter(({ role }) => role === 'engine');
  if (known !== undefined) document = await explain(known);
  return conclude(document, checkFacts(attestation, document, trust, { ...demands, known: known ?? [] }), trust, facts);
}

/**
 * Checks the certificate of an attested client port: its document binds the very key that the server has just used, and
 * the Core that runs there is of a trusted release. Never throws on bad input.
 */
export async function judgeClientLeaf(leaf: ClientLeaf, trust: Trust, nowMs: number): Promise<Judgement> {
  const { document, spki, network, notBeforeMs, notAfterMs } = leaf;
  const measurements = trust.measurements?.(nowMs).filter(({ role }) => role === 'core');
  const found = await explainDocument(document, {
    anchor: trust.anchor,
    time: { kind: 'live', nowMs, maxAgeMs: LEAF_MAX_AGE_MS },
    ...(measurements === undefined ? {} : { measurements }),
    expect: { publicKey: spki, userData: clientLeafDigest(leaf) },
  });
  const valid = notBeforeMs <= nowMs && nowMs < notAfterMs;
  const until = `${new Date(notBeforeMs).toISOString()} to ${new Date(notAfterMs).toISOString()}`;
  const group: Check = {
    number: '8',
    title: 'Facts',
    status: valid && isDeveloperNetwork(network) === trust.developer ? 'passed' : 'failed',
    checks: [
      verdict('8.4', isDeveloperNetwork(network) === trust.developer, printable(network)),
      verdict('8.7', valid, until),
    ],
  };
  return conclude(found, group, trust, undefined);
}

function conclude(document: Explanation, group: Check, trust: Trust, facts: AttestFacts | undefined): Judgement {
  const missing = trust.measurements === undefined ? ['6.2 no trusted release was named'] : [];
  const faults = [...document.checks, group].flatMap(failuresOf);
  const ok = document.ok && document.release !== undefined && faults.length === 0;
  const explanation = { ...document, ok, checks: [...document.checks, group] };
  return { ok, explanation, facts, faults: [...faults, ...missing] };
}

function checkFacts(
  { facts }: Attestation,
  document: Explanation,
  trust: Trust,
  { address, known }: Demands & { readonly known: readonly Measurement[] },
): Check {
  const none = 'no facts stand beside the document';
  const pcr16 = document.facts?.pcrs.find(({ index }) => String(index) === CHARTER_PCR)?.value;
  const extended = facts && toHex(extendedPcr(zeroPcr(), facts.charterDigest));
  const { platform } = document.facts ?? {};
  const checks: Check[] = [
    facts && platform ? verdict('8.1', platform === 'enclave', platform) : notReached('8.1', none),
    extended && document.facts
      ? verdict('8.2', pcr16 === extended, `expected ${extended}, actual ${pcr16 ?? 'not set'}`)
      : notReached('8.2', none),
    facts ? checkRelease(facts.release, document.release, known) : notReached('8.3', none),
    facts
      ? verdict('8.4', isDeveloperNetwork(facts.network) === trust.developer, printable(facts.network))
      : notReached('8.4', none),
    checkCharter(facts, pcr16, trust),
    facts && address
      ? verdict('8.6', equalBytes(facts.address, address), `the node's is ${formatAddress(facts.address)}`)
      : notReached('8.6', facts ? 'none was named' : none),
  ];
  // Asked for, and nothing to compare it with: that is no pass.
  const failed = checks.some(({ status }) => status === 'failed') || (facts === undefined && address !== undefined);
  const reached = checks.some(({ status }) => status !== 'not-reached');
  const status = failed ? 'failed' : reached ? 'passed' : 'not-reached';
  return { number: '8', title: 'Facts', status, checks };
}

/** The charter that was named: against the facts, or, where none stand beside the document, against PCR16 itself. */
function checkCharter(facts: AttestFacts | undefined, pcr16: string | undefined, { charterDigest }: Trust): Check {
  if (charterDigest === undefined) return notReached('8.5', 'none was named');
  if (facts !== undefined) {
    return verdict('8.5', equalBytes(facts.charterDigest, charterDigest), toHex(facts.charterDigest));
  }
  const expected = toHex(extendedPcr(zeroPcr(), charterDigest));
  return verdict('8.5', pcr16 === expected, `PCR16 expected ${expected}, actual ${pcr16 ?? 'not set'}`);
}

/** A name is the engine's own word: it is a lie only if a release of that name is known, and is another one. */
function checkRelease(claimed: string, measured: string | undefined, known: readonly Measurement[]): Check {
  if (measured === undefined) return notReached('8.3', 'no release was measured');
  if (claimed === measured) return verdict('8.3', true, measured);
  const detail = `the facts say ${printable(claimed)}, measured was ${measured}`;
  return known.some(({ release }) => release === claimed) ? verdict('8.3', false, detail) : notReached('8.3', detail);
}

function verdict(number: keyof typeof TITLES, passed: boolean, detail: string): Check {
  return { number, title: TITLES[number], status: passed ? 'passed' : 'failed', detail };
}

function notReached(number: keyof typeof TITLES, detail: string): Check {
  return { number, title: TITLES[number], status: 'not-reached', detail };
}

function failuresOf({ number, title, status, detail, checks }: Check): string[] {
  if (status !== 'failed') return [];
  if (checks?.some((inner) => inner.status === 'failed')) return checks.flatMap(failuresOf);
  return [`${number} ${title}${detail === undefined ? '' : ` (${detail})`}`];
}

/** Facts are a stranger's text until they hold: nothing in them may paint on a terminal. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?');
}
