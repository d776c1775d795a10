/**
 * What `arca peers` does.
 */
import { systemClock } from '../../../common/clock.ts';
import type { PeerState } from '../../../proto/gen/engine_pb.js';
import { withAdmin } from '../client/admin-client.ts';
import { selectsQuorum } from '../client/quorum-session.ts';
import type { NodeSelection } from '../client/session.ts';
import type { Output } from '../framework/output.ts';

const COLUMNS = ['ROLE', 'PARTY', 'REACHABLE', 'ATTESTED', 'RELEASE', 'EXPIRES IN', 'SKEW', 'LAST SEEN', 'FAULTS', ''];
const FAULTS_AT = COLUMNS.indexOf('FAULTS');

/** `arca peers`. */
export async function runPeers(selection: NodeSelection, output: Output): Promise<void> {
  if (await selectsQuorum(selection)) {
    await (await import('./status-quorum.ts')).runQuorumPeers(selection, output);
    return;
  }
  await withAdmin(selection, async (admin) => {
    const peers = await admin.listPeers();
    const nowMs = systemClock.nowMs();
    output.result({ peers: peers.map((peer) => peerJson(peer, nowMs)) }, peersTable(peers, nowMs));
  });
}

/** Returns the table for people: a line for each peer under a line of titles. */
export function peersTable(peers: readonly PeerState[], nowMs: number): string {
  if (peers.length === 0) return 'no peers';
  const rows = [COLUMNS, ...peers.map((peer) => rowOf(peer, nowMs))];
  // Faults are for quorums that have seen some.
  const shown = peers.some((peer) => faultsOf(peer) !== '') ? rows : rows.map((row) => row.toSpliced(FAULTS_AT, 1));
  const widths = COLUMNS.map((_title, at) => Math.max(...shown.map((row) => row[at]?.length ?? 0)));
  return shown
    .map((row) =>
      row
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function rowOf(peer: PeerState, nowMs: number): string[] {
  const { role, party, reachable, attested, release, expiresMs, skewMs, lastSeenMs, reason } = peer;
  const known = attested && expiresMs > 0n;
  return [
    printable(role),
    party === 0 ? '-' : String(party),
    reachable ? 'yes' : 'NO',
    attested ? 'yes' : 'NO',
    release === '' ? '-' : printable(release),
    known ? duration(Number(expiresMs) - nowMs) : '-',
    attested ? `${skewMs} ms` : '-',
    lastSeenMs === 0n ? 'never' : `${duration(nowMs - Number(lastSeenMs))} ago`,
    faultsOf(peer) || '-',
    printable(reason),
  ];
}

/** What this node has seen the peer do wrong; nobody else is told. */
function faultsOf({ faults }: PeerState): string {
  const seen = faults.filter(({ count }) => count > 0n);
  return printable(seen.map(({ kind, count }) => `${kind}: ${count}`).join(', '));
}

/** Returns a peer as `--json` gives it. */
export function peerJson(peer: PeerState, nowMs: number): object {
  const { role, party, reachable, attested, release, expiresMs, skewMs, lastSeenMs, reason } = peer;
  return {
    role,
    party,
    reachable,
    attested,
    release,
    ...(expiresMs === 0n
      ? {}
      : { expires: isoTime(expiresMs), expiresInSecs: Math.floor((Number(expiresMs) - nowMs) / 1000) }),
    skewMs: Number(skewMs),
    ...(lastSeenMs === 0n ? {} : { lastSeen: isoTime(lastSeenMs) }),
    ...(peer.endpoint === '' ? {} : { endpoint: peer.endpoint }),
    faults: Object.fromEntries(peer.faults.map(({ kind, count }) => [kind, Number(count)])),
    reason,
  };
}

/** A peer's own clock may say anything that fits 64 bits. */
function isoTime(ms: bigint): string {
  const date = new Date(Number(ms));
  return Number.isNaN(date.getTime()) ? String(ms) : date.toISOString();
}

/**
 * Returns a span of time in its two largest units.
 *
 * @example
 * duration(3_725_000); // '1 h 2 min'
 */
export function duration(ms: number): string {
  if (ms < 0) return `-${duration(-ms)}`;
  const secs = Math.floor(ms / 1000);
  if (secs < 60) return `${secs} s`;
  const minutes = Math.floor(secs / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** A reason may repeat what a peer said. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?');
}
