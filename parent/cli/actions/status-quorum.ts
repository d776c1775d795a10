/**
 * What `arca status` and `arca peers` do on the folder of a quorum.
 */
import { systemClock } from '../../../common/clock.ts';
import { isKmsError } from '../../../common/errors.ts';
import { answersOf, askParties, describeSilence } from '../client/ask-parties.ts';
import { fetchOps } from '../client/ops.ts';
import { withPartyAdmins } from '../client/quorum-admin.ts';
import { listQuorumItems, type QuorumItem } from '../client/quorum-keys.ts';
import { type QuorumSession, withQuorum } from '../client/quorum-session.ts';
import type { NodeSelection } from '../client/session.ts';
import { EXIT } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { type PartyStatus, readPartyStatus, type SilentParty } from '../quorum/party-status.ts';
import { printable, type QuorumRow, quorumTable } from '../quorum/quorum-table.ts';
import { peerJson, peersTable } from './peers.ts';

/** `arca status` at a quorum. Fails as a command when fewer than 2t + 1 parties are ready: nothing is decrypted then. */
export async function runQuorumStatus(selection: NodeSelection, output: Output): Promise<void> {
  await withQuorum(selection, async (quorum) => {
    const rows = await statusRows(quorum);
    const ready = rows.filter(({ status }) => status.state === 'ready').length;
    const healthy = ready >= 2 * quorum.threshold + 1;
    const [keys, crs, reasons] = await Promise.all([
      itemsOf(quorum, 'key'),
      itemsOf(quorum, 'crs'),
      reasonsOf(quorum, rows),
    ]);
    const local = quorum.running[0]?.local;
    const value = {
      healthy,
      dir: quorum.dir,
      threshold: quorum.threshold,
      network: local?.network,
      release: local?.release,
      parties: rows.map(({ party, status }) => ({
        party,
        ...placeOf(quorum, party),
        ...statusJson(status),
        notReady: reasons.get(party) ?? [],
      })),
      keys,
      crs,
    };
    const holders = (parties: readonly number[]): string =>
      parties.length === quorum.parties ? 'all parties' : `parties ${parties.join(', ')}`;
    const lines = [
      `quorum         ${ready} of ${quorum.parties} parties are ready, ${2 * quorum.threshold + 1} are needed`,
      `health         ${healthy ? 'serving' : 'NOT serving'}`,
      `attested       network ${local?.network ?? '-'}, release ${local?.release ?? '-'}`,
      `state          ${quorum.dir}`,
      ...keys.map(({ id, params, parties }) => `key            ${id} ${params} ${holders(parties)}`),
      ...crs.map(({ id, params, parties }) => `CRS            ${id} ${params} ${holders(parties)}`),
      '',
      ...quorumTable(rows),
      ...[...reasons].flatMap(([party, why]) =>
        why.map((reason) => `party ${party} is not ready: ${printable(reason)}`),
      ),
    ];
    output.result(value, lines.join('\n'));
    if (!healthy) process.exitCode = EXIT.failed;
  });
}

/** `arca peers` at a quorum: what each party knows of the others. */
export async function runQuorumPeers(selection: NodeSelection, output: Output): Promise<void> {
  await withPartyAdmins(selection, async ({ parties, missing }) => {
    const outcomes = await askParties({ running: parties, missing }, ({ admin }) => admin.listPeers(), {
      enough: () => false,
    });
    for (const line of describeSilence(outcomes)) output.warn(line);
    const nowMs = systemClock.nowMs();
    const known = answersOf(outcomes);
    output.result(
      { parties: known.map(({ party, answer }) => ({ party, peers: answer.map((peer) => peerJson(peer, nowMs)) })) },
      known.map(({ party, answer }) => `party ${party}\n${peersTable(answer, nowMs)}`).join('\n\n'),
    );
  });
}

async function statusRows({ running, missing }: QuorumSession): Promise<readonly QuorumRow[]> {
  const asked = await Promise.all(
    running.map(async ({ party, local }): Promise<QuorumRow> => ({ party, status: await readPartyStatus(local) })),
  );
  const down = missing.map(({ party, reason }): QuorumRow => ({ party, status: { state: 'down', reason } }));
  return [...asked, ...down].sort((a, b) => a.party - b.party);
}

/** What any party holds; nothing while no port for clients is open, which the table explains. */
async function itemsOf(quorum: QuorumSession, kind: 'key' | 'crs'): Promise<readonly QuorumItem[]> {
  try {
    return await listQuorumItems(quorum, kind);
  } catch (error) {
    if (isKmsError(error, 'UNAVAILABLE')) return [];
    throw error;
  }
}

/** Why parties that answer their operator do not serve yet: what their page /ready says. */
async function reasonsOf(
  { running }: QuorumSession,
  rows: readonly QuorumRow[],
): Promise<ReadonlyMap<number, readonly string[]>> {
  const settling = new Set(rows.flatMap(({ party, status }) => (status.state === 'settling' ? [party] : [])));
  const reasons = running.map(async ({ party, local }): Promise<[number, readonly string[]]> => {
    if (!settling.has(party)) return [party, []];
    const { status, body } = await fetchOps(new URL('/ready', local.opsUrl).href).catch(() => ({
      status: 0,
      body: '',
    }));
    return [party, status === 200 ? [] : body.split('\n').filter((line) => line !== '')];
  });
  return new Map(await Promise.all(reasons));
}

/** Where a party that runs is found. */
function placeOf({ running }: QuorumSession, party: number): object {
  const found = running.find((session) => session.party === party);
  if (found === undefined) return {};
  const { address, clientUrl, publicUrl } = found;
  return { address, clientUrl, publicUrl, opsUrl: found.local.opsUrl, adminSocket: found.local.adminSocket };
}

function statusJson(status: PartyStatus | SilentParty): object {
  if (status.state === 'down') return status;
  const { contexts, epochs, ...rest } = status;
  return {
    ...rest,
    contexts: contexts.map(({ contextId }) => contextId),
    epochs: epochs.map(({ contextId, epochId }) => ({ contextId, epochId })),
  };
}
