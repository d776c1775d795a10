/**
 * The table of a running quorum on a terminal: looked up every two seconds and drawn in place, below whatever else is said.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type Clock, systemClock } from '../../../common/clock.ts';
import type { Output } from '../framework/output.ts';
import type { TextSink } from '../framework/progress.ts';
import { type PartyStatus, readPartyStatus, type SilentParty } from './party-status.ts';
import { type QuorumRow, quorumTable } from './quorum-table.ts';
import type { RunningParty } from './running-quorum.ts';

/** Looks at all parties; the second look and those after it know how much was done in between. */
export class QuorumWatch {
  readonly #parties: readonly Pick<RunningParty, 'party' | 'node'>[];
  readonly #clock: Clock;
  readonly #read: (node: RunningParty['node']) => Promise<PartyStatus | SilentParty>;
  #last: { readonly atMs: number; readonly done: ReadonlyMap<number, number> } | undefined;

  constructor(
    parties: readonly Pick<RunningParty, 'party' | 'node'>[],
    clock: Clock = systemClock,
    read: (node: RunningParty['node']) => Promise<PartyStatus | SilentParty> = readPartyStatus,
  ) {
    this.#parties = parties;
    this.#clock = clock;
    this.#read = read;
  }

  /** Returns one row for each party. */
  async look(): Promise<readonly QuorumRow[]> {
    const statuses = await Promise.all(this.#parties.map(({ node }) => this.#read(node)));
    const atMs = this.#clock.monotonicMs();
    const last = this.#last;
    const done = new Map<number, number>();
    const rows = this.#parties.map(({ party }, at): QuorumRow => {
      const status = statuses[at] ?? { state: 'down', reason: 'it was not asked' };
      if (status.state === 'down') return { party, status };
      const now = status.publicDecryptions + status.userDecryptions;
      done.set(party, now);
      const before = last?.done.get(party);
      if (last === undefined || before === undefined) return { party, status };
      // An engine that was started again counts from zero.
      const count = now >= before ? now - before : now;
      return { party, status, decryptionsPerSec: (1000 * count) / Math.max(1, atMs - last.atMs) };
    });
    this.#last = { atMs, done };
    return rows;
  }
}

const REDRAW_MS = 2000;
const DEFAULT_COLUMNS = 120;

/** A table that is kept up to date. */
export interface LiveTable {
  /** Writes above the table. */
  readonly output: Output;
  /** Draws until the signal ends it; what was drawn last stays. */
  run(watch: QuorumWatch, signal: AbortSignal): Promise<void>;
}

/** Makes a table at the end of `sink`, which `output` writes to as well. */
export function liveTable(output: Output, sink: TextSink & { readonly columns?: number | undefined }): LiveTable {
  let drawn = 0;
  const erase = (): void => {
    if (drawn > 0) sink.write(`\u001b[${drawn}A\r\u001b[0J`);
    drawn = 0;
  };
  let lines: readonly string[] = [];
  const draw = (): void => {
    // A line that wraps would be two to erase. Some terminals, of containers for one, say 0: they do not know.
    const width = (sink.columns || DEFAULT_COLUMNS) - 1;
    sink.write(lines.map((line) => `${`  ${line}`.slice(0, width)}\n`).join(''));
    drawn = lines.length;
  };
  const above =
    <A>(write: (text: A) => void) =>
    (text: A): void => {
      erase();
      write(text);
      draw();
    };
  return {
    output: { ...output, note: above(output.note), warn: above(output.warn) },
    async run(watch, signal) {
      while (!signal.aborted) {
        const rows = await watch.look();
        if (signal.aborted) return;
        erase();
        lines = ['', ...quorumTable(rows)];
        draw();
        await delay(REDRAW_MS, undefined, { signal }).catch(() => {});
      }
    },
  };
}
