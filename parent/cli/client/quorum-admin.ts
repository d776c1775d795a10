/**
 * The operator's service of every party of a quorum on `--dir`, or of the one node that a command line names.
 */
import { absoluteDir } from '../framework/command.ts';
import { failure } from '../framework/failure.ts';
import { readQuorumFile } from '../quorum/quorum-file.ts';
import { partyFolder } from '../supervise/state-folder.ts';
import { type AdminClient, openAdminClient } from './admin-client.ts';
import { type MissingParty, selectsQuorum, withQuorum } from './quorum-session.ts';
import { type NodeSelection, openSession, type Session } from './session.ts';

/** The operator's service of one party. */
export interface PartyAdmin extends Pick<Session, 'call' | 'poll'> {
  readonly party: number;
  readonly admin: AdminClient;
}

/** All that can be asked, and who cannot. */
export interface QuorumAdmin {
  /** Ascending by number. */
  readonly parties: readonly PartyAdmin[];
  readonly missing: readonly MissingParty[];
}

/**
 * Runs `body` with admin connections to the parties that run, and closes them.
 *
 * @throws {@link KmsError} `UNAVAILABLE` if none runs.
 */
export async function withPartyAdmins<T>(
  selection: NodeSelection,
  body: (quorum: QuorumAdmin) => Promise<T>,
): Promise<T> {
  if (await selectsQuorum(selection)) {
    return await withQuorum(selection, async ({ dir, running, missing }) => {
      const places = running.map(({ party }) => ({ party, dir: partyFolder(dir, party) }));
      return await withOpen(places, (parties) => body({ parties, missing }));
    });
  }
  return await withOpen([{ ...selection, party: undefined }], (parties) => body({ parties, missing: [] }));
}

/**
 * Requires that every party of the quorum on `--dir` runs: what changes its topology must happen at all of them.
 *
 * @throws {@link KmsError} `UNAVAILABLE` naming those that do not.
 */
export async function requireAll(
  selection: NodeSelection,
  { parties, missing }: QuorumAdmin,
  what: string,
): Promise<void> {
  const wanted = (await readQuorumFile(absoluteDir(selection.dir)))?.parties ?? parties.length;
  if (missing.length === 0) return;
  const names = missing.map(({ party, reason }) => `party ${party}: ${reason}`).join('; ');
  throw failure('UNAVAILABLE', `${what} needs all ${wanted} parties (${names})`, "see 'arca status'");
}

async function withOpen<T>(
  places: readonly (NodeSelection & { readonly party: number | undefined })[],
  body: (parties: readonly PartyAdmin[]) => Promise<T>,
): Promise<T> {
  const open: PartyAdmin[] = [];
  try {
    for (const place of places) {
      const admin = await openAdminClient(place);
      const { call, poll } = openSession({ dir: place.dir, clientUrl: admin.address, publicUrl: '' }, admin.client);
      // A single node says its own number.
      open.push({ party: place.party ?? 0, admin, call, poll });
    }
    return await body(open);
  } finally {
    for (const { admin } of open) admin.close();
  }
}
