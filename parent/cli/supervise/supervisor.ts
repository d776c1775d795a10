/**
 * Keeps the processes of a node running: starts them at once, starts a crashed one again with back-off, stops them
 * in order. A child that dies before the node was ever ready fails the start instead, unless it says that a service is not
 * available at present: that passes by itself, and is waited for until the start's limit.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type Clock, systemClock } from '../../../common/clock.ts';
import { failure } from '../framework/failure.ts';
import {
  type ChildExit,
  type ChildProgram,
  parseLogLine,
  type RunningChild,
  type Startable,
  startChild,
} from './child.ts';
import { StartTroubles } from './start-troubles.ts';

/** What happens to the children. */
export type SupervisorEvent =
  | { readonly kind: 'line'; readonly name: string; readonly line: string }
  | {
      readonly kind: 'ready';
      readonly name: string;
      readonly ms: number;
      /** The ready line of the child's log. */
      readonly facts: Readonly<Record<string, unknown>>;
    }
  | {
      readonly kind: 'crashed';
      readonly name: string;
      readonly exit: ChildExit;
      readonly retryInMs: number;
      /** What was not available, if it ended for that before it was ever ready. */
      readonly why?: string;
    };

/** Settings of {@link supervise}. */
export interface SupervisorOptions {
  readonly onEvent?: (event: SupervisorEvent) => void;
  readonly clock?: Clock;
  readonly backOff?: BackOff;
  /** How long a child may take to end after SIGTERM before it is killed. */
  readonly stopGraceMs?: number;
  /** How long all children together may take until they are ready. */
  readonly startLimitMs?: number;
  /** Asked at the end of that limit whether it begins again: somebody has to do something first. */
  readonly mayStartLate?: () => boolean;
}

/** Waits between a crash and the next start: doubled each time, back to the first after a good run. */
export interface BackOff {
  readonly firstMs: number;
  readonly maxMs: number;
  readonly goodRunMs: number;
}

/** Running children. */
export interface Supervisor {
  /** Resolves when every child was ready once; rejects, with all children stopped, if one ended before. */
  readonly ready: Promise<void>;
  /** Process ids by name, of those running now. */
  pids(): Readonly<Record<string, number>>;
  /** Stops all, last started first; resolves when none is left. May be called twice. */
  stop(): Promise<void>;
  /** Kills all at once. */
  kill(): void;
}

const DEFAULT_BACK_OFF: BackOff = { firstMs: 250, maxMs: 10_000, goodRunMs: 30_000 };

/** Starts the programs, all at once. */
export function supervise(
  programs: readonly (ChildProgram | Startable)[],
  options: SupervisorOptions = {},
): Supervisor {
  const { onEvent = () => {}, clock = systemClock, backOff = DEFAULT_BACK_OFF, stopGraceMs = 5000 } = options;
  const stopping = new AbortController();
  const running = new Map<string, RunningChild>();
  const troubles = new StartTroubles();
  /** Of children that wait for their next start. */
  const lastWords = new Map<string, readonly string[]>();

  async function run(program: ChildProgram | Startable, onFirstReady: () => void): Promise<void> {
    let waitMs = backOff.firstMs;
    let everReady = false;
    while (!stopping.signal.aborted) {
      const startedAt = clock.monotonicMs();
      let isReady = false;
      const onLine = (line: string): void => {
        onEvent({ kind: 'line', name: program.name, line });
        if (!isReady) troubles.said(program.name, line);
      };
      const child = 'start' in program ? program.start(onLine) : startChild(program, onLine);
      running.set(program.name, child);
      lastWords.delete(program.name);
      troubles.started(program.name, child);
      void child.ready.then((facts) => {
        everReady = true;
        isReady = true;
        troubles.ready(program.name);
        onEvent({ kind: 'ready', name: program.name, ms: clock.monotonicMs() - startedAt, facts });
        onFirstReady();
      });
      const exit = await child.exited;
      running.delete(program.name);
      troubles.ended(program.name);
      if (stopping.signal.aborted) return;
      const lines = child.lastLines();
      const why = everReady ? undefined : notAvailable(lines);
      if (!everReady && why === undefined) throw startFailure(program, exit, lines);
      lastWords.set(program.name, lines);
      const ranMs = clock.monotonicMs() - startedAt;
      if (ranMs >= backOff.goodRunMs) waitMs = backOff.firstMs;
      onEvent({ kind: 'crashed', name: program.name, exit, retryInMs: waitMs, ...(why !== undefined && { why }) });
      await delay(waitMs, undefined, { signal: stopping.signal }).catch(() => {});
      waitMs = Math.min(waitMs * 2, backOff.maxMs);
    }
  }

  const runs: Promise<void>[] = [];
  const firstReadies = programs.map(
    (program) =>
      new Promise<void>((resolve, reject) => {
        runs.push(run(program, resolve).catch(reject));
      }),
  );

  async function stop(): Promise<void> {
    stopping.abort();
    for (const { name } of [...programs].reverse()) {
      const child = running.get(name);
      if (!child) continue;
      child.signal('SIGTERM');
      const killer = setTimeout(() => child.signal('SIGKILL'), stopGraceMs);
      await child.exited;
      clearTimeout(killer);
    }
    await Promise.all(runs);
  }

  const kill = () => {
    stopping.abort();
    for (const child of running.values()) child.signal('SIGKILL');
  };

  const { startLimitMs = 120_000, mayStartLate = () => false } = options;
  const late = (): Error | undefined =>
    mayStartLate()
      ? undefined
      : startTooLong(
          programs.flatMap(({ name }) =>
            lastComplaint(name, lastWords.get(name) ?? running.get(name)?.lastLines() ?? []),
          ),
        );
  const ready = withLimit(Promise.all(firstReadies), startLimitMs, late).catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  ready.catch(() => {}); // the caller awaits it; a stop before that must not end the process

  return {
    ready,
    pids: () => Object.fromEntries([...running].flatMap(([name, { pid }]) => (pid > 0 ? [[name, pid]] : []))),
    stop,
    kill,
  };
}

/** Waits no longer than the limit, which begins again as often as `late` finds no error. */
async function withLimit(all: Promise<unknown>, limitMs: number, late: () => Error | undefined): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setInterval(() => {
      const error = late();
      if (error !== undefined) reject(error);
    }, limitMs);
  });
  try {
    await Promise.race([all, limit]);
  } finally {
    clearInterval(timer);
  }
}

/** Returns `exit code 1` or `SIGSEGV`. */
export function describeExit({ code, signal, reason }: ChildExit): string {
  return reason ?? signal ?? (code === null ? 'it could not be started' : `exit code ${code}`);
}

/** What stands in the way is what each child complained of last: a peer that refuses it, most of all. */
function startTooLong(complaints: readonly string[]): Error {
  const cause = complaints.length === 0 ? undefined : new Error(complaints.join('\n'));
  const cure = "see 'arca doctor' and node.log";
  return failure('DEADLINE_EXCEEDED', 'the node did not become ready in time', cure, {}, cause);
}

function lastComplaint(name: string, lines: readonly string[]): string[] {
  const line = lines.findLast((text) => /^(?:warn|error|fatal)$/.test(String(parseLogLine(text)?.level)));
  return line === undefined ? [] : [`${name}: ${describeLogLine(line)}`];
}

/** What a child ended for, if that may pass by itself. */
function notAvailable(lines: readonly string[]): string | undefined {
  for (const line of lines.toReversed()) {
    const { level, err } = parseLogLine(line) ?? {};
    if (level !== 'fatal') continue;
    if (err === null || typeof err !== 'object' || !('code' in err) || err.code !== 'UNAVAILABLE') return undefined;
    return 'message' in err && typeof err.message === 'string' ? err.message : 'a service is not available';
  }
  return undefined;
}

/** The child's own last words are the cause: its error lines, else all it said. */
function startFailure(program: Pick<Startable, 'name'>, exit: ChildExit, lines: readonly string[]): Error {
  const errors = lines.flatMap((line) => {
    const facts = parseLogLine(line);
    const isError = facts?.level === 'error' || facts?.level === 'fatal';
    return facts === undefined || isError ? [describeLogLine(line)] : [];
  });
  const cause = new Error((errors.length > 0 ? errors : lines).join('\n'));
  return failure(
    'UNAVAILABLE',
    `the ${program.name} did not start: ${describeExit(exit)}`,
    "correct the cause above, or let 'arca doctor' check the parts in order",
    { child: program.name },
    cause.message === '' ? undefined : cause,
  );
}

/** Returns a log line of a child as a person wants to read it: event, message and facts. */
export function describeLogLine(line: string): string {
  const facts = parseLogLine(line);
  if (!facts) return line;
  const { event, msg, err, level: _level, time: _time, name: _name, pid: _pid, ...rest } = facts;
  const shown = { ...rest, ...(err !== null && typeof err === 'object' ? err : {}) };
  const details = Object.entries(shown).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  return [event, msg, ...details].filter((part) => part !== undefined).join(' ');
}
