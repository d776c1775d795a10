/**
 * The table of a quorum: a line for each party. Text that came from a node is printed without anything that could paint on
 * a terminal.
 */
import type { PartyStatus, SilentParty } from './party-status.ts';

/** One line of the table. */
export interface QuorumRow {
  readonly party: number;
  readonly status: PartyStatus | SilentParty;
  /** Over the time since the last look; undefined at the first. */
  readonly decryptionsPerSec?: number | undefined;
}

const COLUMNS = ['PARTY', 'STATE', 'ATTESTED', 'EPOCH', 'KEYS', 'CRS', 'DECRYPTIONS', 'PER SECOND', 'FAULTS'];
const MAX_FAULTS_SHOWN = 3;

/** Returns the lines of the table, its titles first. */
export function quorumTable(rows: readonly QuorumRow[]): readonly string[] {
  const cells = [COLUMNS, ...rows.map((row) => cellsOf(row, rows.length))];
  const widths = COLUMNS.map((_, at) => Math.max(...cells.map((line) => line[at]?.length ?? 0)));
  return cells.map((line) =>
    line
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

function cellsOf({ party, status, decryptionsPerSec }: QuorumRow, parties: number): string[] {
  if (status.state === 'down') return [String(party), 'DOWN', '-', '-', '-', '-', '-', '-', printable(status.reason)];
  const { state, attested, epochs, keyIds, crsIds, publicDecryptions, userDecryptions } = status;
  return [
    String(party),
    state,
    `${attested}/${parties}`,
    epochs.length === 1 ? shortId(epochs[0]?.epochId ?? '') : String(epochs.length),
    String(keyIds.length),
    String(crsIds.length),
    String(publicDecryptions + userDecryptions),
    decryptionsPerSec === undefined ? '-' : decryptionsPerSec.toFixed(decryptionsPerSec < 10 ? 1 : 0),
    faultsText(status),
  ];
}

function faultsText({ faults }: PartyStatus): string {
  const seen = faults.filter(({ count }) => count > 0).sort((a, b) => b.count - a.count || a.party - b.party);
  const shown = seen.slice(0, MAX_FAULTS_SHOWN).map(({ party, kind, count }) => `party ${party}: ${count} × ${kind}`);
  return printable([...shown, ...(seen.length > MAX_FAULTS_SHOWN ? ['…'] : [])].join(', ')) || '-';
}

/**
 * Returns an id that people can tell from others: its first and last digits.
 *
 * @example
 * shortId('0800…0001'); // '0800…0001'
 */
export function shortId(id: string): string {
  return id.length <= 12 ? printable(id) : printable(`${id.slice(0, 4)}…${id.slice(-4)}`);
}

/** Kinds and reasons may repeat what a peer said. */
export function printable(text: string): string {
  return text.replace(/[^\x20-\x7e…×]/g, '?').slice(0, 200);
}
