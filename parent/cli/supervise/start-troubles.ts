/**
 * Why a child is not up yet: the last thing that it complained of. Those of the others that want to know are told, so that a
 * Core can say more than that its engine is away.
 */
import { encodeWord } from '../../../common/supervisor-pipe.ts';
import { parseLogLine, type RunningChild } from './child.ts';

/** See the file comment. */
export class StartTroubles {
  readonly #troubles = new Map<string, string>();
  readonly #hearers = new Map<string, RunningChild>();

  /** A child was started. One that hears is told of the others from now on, and at once of what is known. */
  started(name: string, child: RunningChild): void {
    if (child.hear === undefined) return;
    this.#hearers.set(name, child);
    for (const [about, trouble] of this.#troubles) if (about !== name) child.hear(encodeWord({ about, trouble }));
  }

  /** A child that is not up yet has said something. */
  said(about: string, line: string): void {
    const trouble = complaintOf(line);
    if (trouble === undefined || trouble === this.#troubles.get(about)) return;
    this.#troubles.set(about, trouble);
    this.#tell(about, trouble);
  }

  /** A child is up. */
  ready(about: string): void {
    if (this.#troubles.delete(about)) this.#tell(about, undefined);
  }

  /** A child has ended. */
  ended(name: string): void {
    this.#hearers.delete(name);
  }

  #tell(about: string, trouble: string | undefined): void {
    for (const [name, child] of this.#hearers) if (name !== about) child.hear?.(encodeWord({ about, trouble }));
  }
}

function complaintOf(line: string): string | undefined {
  const { level, event, msg, err } = parseLogLine(line) ?? {};
  if (level !== 'warn' && level !== 'error' && level !== 'fatal') return undefined;
  const cause = err !== null && typeof err === 'object' && 'message' in err ? err.message : undefined;
  return [cause, msg, event].find((text) => typeof text === 'string');
}
