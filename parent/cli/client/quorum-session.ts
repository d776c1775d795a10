/**
 * A command's connections to a quorum on `--dir`: one to each party that runs, and who those are that do not.
 *
 * Whose signatures count is said by the governed record of the folder, whose own signatures are verified; no party is
 * believed about itself.
 */

import { isKmsError } from '../../../common/errors.ts';
import { formatAddress } from '../../../wire/addresses.ts';
import { openKmsClient } from '../../grpc/client.ts';
import { absoluteDir } from '../framework/command.ts';
import { failure, usageFailure } from '../framework/failure.ts';
import { readQuorumFile } from '../quorum/quorum-file.ts';
import { readQuorumRecord } from '../quorum/quorum-trust.ts';
import { type NodeFile, readNodeFile } from '../supervise/node-file.ts';
import { partyFolder } from '../supervise/state-folder.ts';
import { type NodeSelection, openSession, type Session } from './session.ts';

/** An open connection to one party. */
export interface PartySession extends Session {
  readonly party: number;
  /** Address that the governed record names. */
  readonly address: string;
  readonly local: NodeFile;
}

/** A party that cannot be asked, and why. */
export interface MissingParty {
  readonly party: number;
  readonly reason: string;
}

/** Open connections to a quorum. */
export interface QuorumSession {
  /** Absolute path of the quorum's folder: caches, user keys and the journal stand there. */
  readonly dir: string;
  /** n: 3t + 1. */
  readonly parties: number;
  /** t: how many parties may fail. */
  readonly threshold: number;
  /** Ascending by number. */
  readonly running: readonly PartySession[];
  readonly missing: readonly MissingParty[];
  /** Addresses of all parties, in their order. */
  readonly addresses: readonly string[];
}

/** Returns whether a command line selects a quorum: a folder that holds one, and no node elsewhere. */
export async function selectsQuorum(selection: NodeSelection): Promise<boolean> {
  if (selection.url !== undefined) return false;
  return (await readQuorumFile(absoluteDir(selection.dir))) !== undefined;
}

/**
 * Runs `body` with connections to the parties of the quorum on `--dir`, and closes them.
 *
 * @throws {@link KmsError} `UNAVAILABLE` if no party runs.
 */
export async function withQuorum<T>(selection: NodeSelection, body: (quorum: QuorumSession) => Promise<T>): Promise<T> {
  const dir = absoluteDir(selection.dir);
  const file = await readQuorumFile(dir);
  if (file === undefined)
    throw usageFailure(`${dir} holds no quorum`, 'name one with --dir, or start one: arca dev --parties 4');
  if (selection.publicUrl !== undefined) {
    throw usageFailure('--public-url is for a single node', 'leave it away: each party of a quorum has its own');
  }
  const { parties } = await readQuorumRecord(dir, file.parties);
  const addresses = parties.map(({ address }) => (address === undefined ? '' : formatAddress(address)));
  const running: PartySession[] = [];
  const missing: MissingParty[] = [];
  try {
    for (const [at, { party }] of parties.entries()) {
      const found = await locateParty(dir, party);
      const address = addresses[at] ?? '';
      if (!('publicUrl' in found)) missing.push(found);
      else if (address === '') missing.push({ party, reason: 'the governed record names no address for it' });
      else running.push(openParty({ dir, party, address, node: found }));
    }
    if (running.length === 0) {
      const cure = `start it with 'arca dev --dir ${dir} --parties ${file.parties}'`;
      throw failure('UNAVAILABLE', `the quorum on ${dir} does not run`, cure, { dir });
    }
    const threshold = (file.parties - 1) / 3;
    return await body({ dir, parties: file.parties, threshold, running, missing, addresses });
  } finally {
    for (const { client } of running) client.close();
  }
}

/**
 * Requires that enough parties run for what is asked.
 *
 * @throws {@link KmsError} `UNAVAILABLE` naming those that do not.
 */
export function requireRunning({ dir, running, missing, parties }: QuorumSession, least: number, what: string): void {
  if (running.length >= least) return;
  const names = missing.map(({ party, reason }) => `party ${party}: ${reason}`).join('; ');
  const needed = `${what} needs ${least} of ${parties} parties, ${running.length} run (${names})`;
  const anew = `start the quorum on ${dir} anew with all its parties, without --kill-party: a key once made needs fewer`;
  const cure = least === parties ? anew : "see 'arca status'";
  throw failure('UNAVAILABLE', needed, cure, { needed: least, running: running.length });
}

async function locateParty(dir: string, party: number): Promise<NodeFile | MissingParty> {
  try {
    return await readNodeFile(partyFolder(dir, party));
  } catch (error) {
    if (!isKmsError(error, 'UNAVAILABLE')) throw error;
    return { party, reason: 'it does not run' };
  }
}

interface PartyPlace {
  readonly dir: string;
  readonly party: number;
  readonly address: string;
  readonly node: NodeFile;
}

function openParty({ dir, party, address, node }: PartyPlace): PartySession {
  const client = openKmsClient(node.clientUrl);
  const addresses = { dir, clientUrl: node.clientUrl, publicUrl: node.publicUrl, local: node };
  return { ...openSession(addresses, client), party, address, local: node };
}
