/**
 * The checks of `arca doctor` on the folder of a quorum, after those of each party: what must be the same everywhere, who is
 * connected to whom, and what was seen of whom. Each finds one thing out, changes nothing, and throws with the cure.
 */
import { z } from 'zod';
import { fetchOps } from '../client/ops.ts';
import type { QuorumSession } from '../client/quorum-session.ts';
import { failure } from '../framework/failure.ts';
import type { PartyStatus, SilentParty } from '../quorum/party-status.ts';
import { printable } from '../quorum/quorum-table.ts';

/** A party that runs, as the checks see it. */
export interface CheckedParty {
  readonly party: number;
  /** What it says of itself. */
  readonly node: QuorumSession['running'][number]['local'];
  /** Address that the governed record names. */
  readonly address: string;
  readonly status: PartyStatus | SilentParty;
}

/** What the checks look at. */
export interface QuorumFindings {
  readonly dir: string;
  /** n: 3t + 1. */
  readonly parties: number;
  readonly running: readonly CheckedParty[];
  readonly missing: QuorumSession['missing'];
}

/** One check: returns what it found. */
export interface QuorumCheck {
  readonly name: string;
  run(findings: QuorumFindings): Promise<string> | string;
}

/** All checks, each after those it builds upon. */
export const QUORUM_CHECKS: readonly QuorumCheck[] = [
  { name: 'parties', run: checkParties },
  { name: 'same program', run: checkProgram },
  { name: 'same parameters', run: checkParams },
  { name: 'same processor', run: checkProcessor },
  { name: 'addresses', run: checkAddresses },
  { name: 'mesh', run: checkMesh },
  { name: 'epochs', run: checkEpochs },
  { name: 'keys', run: checkKeys },
  { name: 'behaviour', run: checkFaults },
];

const SAME_CURE = 'make it the same at all parties: results of squashing and decompression must be bit for bit equal';
const EPOCH_CURE =
  "see 'arca epoch list'; destroy what not all parties have: arca epoch destroy ID --yes, or make it: arca epoch new --id ID";
const ZERO_CURE =
  'do not use the key: its parties hold shares of different keys or masks; destroy its epoch, and make or import the key anew';
const KEY_CURE =
  "see 'arca key list': a key decrypts as long as 2t + 1 parties hold it; those without it answer NOT_FOUND";
/** Not wrong of the party: its clients may have been told something else. */
const NO_FAULT = 'another ciphertext';

function checkParties({ missing, parties, dir }: QuorumFindings): string {
  if (missing.length === 0) return `all ${parties} run`;
  const names = missing.map(({ party, reason }) => `party ${party}: ${reason}`).join('; ');
  throw failure('UNAVAILABLE', names, `see node.log in the folder of that party, below ${dir}`);
}

function checkProgram({ running }: QuorumFindings): string {
  return requireSame(running, 'release', ({ node }) => `${node.version}, release ${node.release}`);
}

function checkParams({ running }: QuorumFindings): string {
  return requireSame(running, 'parameters', ({ node }) => node.params);
}

const NodeFacts = z.object({ node: z.object({ processor: z.string(), arch: z.string().optional() }) });

/** Floating point of another processor may round elsewhere; the parties' squashed ciphertexts would differ. */
async function checkProcessor({ running }: QuorumFindings): Promise<string> {
  const told = await Promise.all(
    running.map(async ({ party, node }) => {
      const { body } = await fetchOps(`${node.opsUrl}/config`);
      const facts = NodeFacts.safeParse(parseJson(body));
      const text = facts.success ? [facts.data.node.arch, facts.data.node.processor].join(' ').trim() : 'not told';
      return { party, processor: printable(text) };
    }),
  );
  return requireSame(told, 'processor', ({ processor }) => processor);
}

function checkAddresses({ running }: QuorumFindings): string {
  const wrong = running.filter(({ node, address }) => node.address !== address);
  if (wrong.length === 0) return 'as the governed record has them';
  const names = wrong.map(({ party, node, address }) => `party ${party} is ${node.address}, not ${address}`).join('; ');
  throw failure(
    'STATE_INVALID',
    `not as the governed record has them: ${names}`,
    'restore the vault that belongs to it',
  );
}

function checkMesh({ running, parties }: QuorumFindings): string {
  const faults = running.flatMap(({ party, status }) => {
    if (status.state === 'down') return [`party ${party} does not answer: ${printable(status.reason)}`];
    return status.attested < parties
      ? [`party ${party} has accepted ${status.attested - 1} of ${parties - 1} others`]
      : [];
  });
  if (faults.length === 0) return 'every party has accepted every other';
  throw failure('ATTESTATION_REJECTED', faults.join('; '), "'arca peers' says why");
}

function checkEpochs(findings: QuorumFindings): string {
  return requireSame(
    answering(findings),
    'epochs',
    ({ epochs }) => listed(epochs.map(({ epochId }) => epochId)),
    EPOCH_CURE,
  );
}

function checkKeys(findings: QuorumFindings): string {
  const held = answering(findings);
  const failed = held.flatMap(({ party, failedChecks }) =>
    failedChecks.map(({ keyId, epochId }) => ({
      party,
      what: `key ${printable(keyId)} of epoch ${printable(epochId)}`,
    })),
  );
  if (failed.length > 0) {
    const names = [...Map.groupBy(failed, ({ what }) => what)].map(
      ([what, by]) => `${what} (seen by ${by.map(({ party }) => party).join(', ')})`,
    );
    throw failure('STATE_INVALID', `an encryption of zero did not open to zero: ${names.join('; ')}`, ZERO_CURE);
  }
  return requireSame(held, 'keys', ({ keyIds, crsIds }) => `keys ${listed(keyIds)}, CRSs ${listed(crsIds)}`, KEY_CURE);
}

/** Local knowledge of each party, put side by side: who is complained of by more than one is the likely cause. */
function checkFaults(findings: QuorumFindings): string {
  const seen = new Map<string, number[]>();
  for (const { party, faults } of answering(findings)) {
    for (const fault of faults) {
      if (fault.count === 0 || fault.kind === NO_FAULT) continue;
      const what = `party ${fault.party}: ${printable(fault.kind)}`;
      seen.set(what, [...(seen.get(what) ?? []), party]);
    }
  }
  if (seen.size === 0) return 'no party has seen another do wrong';
  const names = [...seen].map(([what, by]) => `${what} (seen by ${by.join(', ')})`).join('; ');
  throw failure('ABORTED', names, 'look at that party; the others go on without it as long as no more than t do wrong');
}

interface AnsweringParty extends PartyStatus {
  readonly party: number;
}

function answering({ running }: QuorumFindings): readonly AnsweringParty[] {
  return running.flatMap(({ party, status }) => (status.state === 'down' ? [] : [{ party, ...status }]));
}

function requireSame<P extends { readonly party: number }>(
  parties: readonly P[],
  what: string,
  of: (party: P) => string,
  cure = SAME_CURE,
): string {
  const groups = Map.groupBy(parties, of);
  const [first] = groups.keys();
  if (groups.size <= 1) return first ?? 'nobody told';
  const names = [...groups].map(([value, who]) => `parties ${who.map(({ party }) => party).join(', ')}: ${value}`);
  throw failure('STATE_INVALID', `the ${what} of the parties differ: ${names.join('; ')}`, cure);
}

function listed(ids: readonly string[]): string {
  return ids.length === 0 ? 'none' : [...ids].sort().map(printable).join(', ');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
