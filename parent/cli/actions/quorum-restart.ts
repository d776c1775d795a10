/**
 * What `arca quorum restart collect|make|show|apply` do. All of it is public; engines judge everything again.
 */
import { decodeStrict, encodeCanonical } from '../../../attestation/cbor.ts';
import {
  type Charter,
  charterDigest,
  charterFor,
  encodeSigned,
  proposalDigest,
  unsignedProposal,
} from '../../../attestation/governance/index.ts';
import {
  decodeRestart,
  encodeRestart,
  makeRestart,
  type PartyWord,
  type QuorumRestart,
  restartDigest,
} from '../../../attestation/start/quorum-restart.ts';
import { readStart, type SignedStart } from '../../../attestation/start/start-record.ts';
import { equalBytes, toHex } from '../../../common/bytes.ts';
import { withPartyAdmins } from '../client/quorum-admin.ts';
import type { NodeSelection } from '../client/session.ts';
import { failure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { readBytes, readObject, writeNewFile } from '../governance/object-files.ts';

interface OutOptions {
  readonly out: string;
  readonly force?: true | undefined;
}

/** What one file of `collect` holds. */
interface Collected {
  /** Number of the last restart that the parties know of. */
  readonly restarts: number;
  readonly words: readonly PartyWord[];
}

const VERSION = 1;
const MAX_BYTES = 8 * 1024 * 1024;

/** `arca quorum restart collect`. */
export async function runCollect(options: NodeSelection & OutOptions, output: Output): Promise<void> {
  await withPartyAdmins(options, async ({ parties, missing }) => {
    for (const { party, reason } of missing) output.warn(`party ${party}: ${reason}`);
    const states = await Promise.all(parties.map(async ({ admin }) => await admin.getVault()));
    const starts = states.flatMap(({ start }) => (start && start.record.length > 0 ? [start] : []));
    if (starts.length === 0) {
      const what = 'no node here has a start that other parties confirm';
      throw failure('PRECONDITION_FAILED', what, 'a restart is for quorums whose vaults are sealed');
    }
    const restarts = Math.max(...starts.map(({ restart }) => Number(restart)));
    const words = starts.map(({ record, remembered }) => [record, remembered]);
    await writeNewFile(options.out, encodeCanonical([VERSION, restarts, words]), options.force === true);
    const own = starts.map(({ record }) => readStart(record));
    output.result({ out: options.out, starts: own.map(startJson) }, own.map(startLine).join('\n'));
  });
}

/** `arca quorum restart make`. */
export async function runMake(
  files: readonly string[],
  options: OutOptions & { readonly charter: string },
  output: Output,
): Promise<void> {
  const charter = await readObject(options.charter, 'charter');
  const collected = await Promise.all(files.map(readCollected));
  const words = collected.flatMap((one) => one.words);
  const [first] = words;
  if (!first) throw failure('REQUEST_INVALID', 'the files hold no start', 'collect them from 2t + 1 parties');
  checkNetwork(words, charter);
  const number = Math.max(...collected.map(({ restarts }) => restarts)) + 1;
  const restart = makeRestart({ network: charter.network, context: first.own.start.context, number }, words);
  const encoded = encodeRestart(restart);
  await writeNewFile(options.out, encoded, options.force === true);
  const proposal = proposalOf(restart, encoded);
  await writeNewFile(`${options.out}.proposal`, encodeSigned(unsignedProposal(proposal)), options.force === true);
  report(restart, encoded, output);
}

/** `arca quorum restart show`. */
export async function runShow(file: string, output: Output): Promise<void> {
  const encoded = Uint8Array.from(await readBytes(file));
  report(decodeRestart(encoded), encoded, output);
}

/** `arca quorum restart apply`. */
export async function runApply(
  file: string,
  options: NodeSelection & { readonly proposal?: string | undefined },
  output: Output,
): Promise<void> {
  const encoded = Uint8Array.from(await readBytes(file));
  decodeRestart(encoded);
  const proposal = options.proposal === undefined ? undefined : await readObject(options.proposal, 'proposal');
  await withPartyAdmins(options, async ({ parties, missing }) => {
    for (const { party, reason } of missing) output.warn(`party ${party}: ${reason}`);
    for (const { admin } of parties) {
      if (proposal) await admin.putGovernance({ kind: 'proposal', content: encodeSigned(proposal) });
      await admin.restartQuorum(encoded);
    }
    const applied = parties.map(({ party }) => party);
    output.result({ applied }, 'applied: the quorum now waits for a reshare, and does nothing else before');
  });
}

async function readCollected(path: string): Promise<Collected> {
  const refuse = (): never => {
    throw failure('REQUEST_INVALID', `${path} is no file of starts`, 'make it with `arca quorum restart collect`');
  };
  const value = decodeStrict(await readBytes(path), { maxBytes: MAX_BYTES, maxDepth: 4, canonical: true });
  const [version, restarts, words]: readonly unknown[] = Array.isArray(value) && value.length === 3 ? value : [];
  if (version !== VERSION || typeof restarts !== 'number' || !Array.isArray(words)) return refuse();
  const record = (bytes: unknown): SignedStart => (bytes instanceof Uint8Array ? readStart(bytes) : refuse());
  const read = words.map((word: unknown): PartyWord => {
    const [own, remembered]: readonly unknown[] = Array.isArray(word) && word.length === 2 ? word : [];
    return { own: record(own), remembered: Array.isArray(remembered) ? remembered.map(record) : refuse() };
  });
  return { restarts, words: read };
}

function checkNetwork(words: readonly PartyWord[], charter: Charter): void {
  const foreign = words.flatMap(({ own: { start } }) =>
    equalBytes(start.charterDigest, charterDigest(charterFor(charter, start.party))) ? [] : [start.party],
  );
  if (foreign.length === 0) return;
  const what = `the starts of party ${foreign.join(', ')} are of another network or charter than ${charter.network}`;
  throw failure('REQUEST_INVALID', what, 'give the charter of their network');
}

const proposalOf = ({ network }: QuorumRestart, encoded: Uint8Array) =>
  ({ network, kind: 'quorum-restart', digest: restartDigest(encoded) }) as const;

function report(restart: QuorumRestart, encoded: Uint8Array, output: Output): void {
  const subject = toHex(restartDigest(encoded));
  const digest = toHex(proposalDigest(proposalOf(restart, encoded)));
  const { number, network, starts, remembered } = restart;
  const lines = [
    `restart ${number} of the quorum of ${network}`,
    ...starts.map(startLine),
    ...remembered.map((one) => `${startLine(one)}  REMEMBERED BY OTHERS, and later or another than it starts from`),
    `  subject       ${subject}`,
    `  digest        ${digest}`,
  ];
  const json = { starts: starts.map(startJson), remembered: remembered.map(startJson) };
  output.result({ number, network, ...json, subject, digest }, lines.join('\n'));
}

function startLine({ start, address }: SignedStart): string {
  const { party, incarnation, manifest, source } = start;
  const from = source ? `  from a backup of state ${source.sequence}` : '';
  return `  party ${party}  0x${toHex(address)}  start ${incarnation}, state ${manifest.sequence}${from}`;
}

function startJson({ start, address }: SignedStart): object {
  const { party, incarnation, manifest, releases, record, source } = start;
  const state = { sequence: manifest.sequence, digest: toHex(manifest.digest) };
  return {
    party,
    address: `0x${toHex(address)}`,
    incarnation,
    manifest: state,
    releases,
    record,
    restored: source !== undefined,
  };
}
