/**
 * The pipe between a process and its supervisor. Its end is the message that the supervisor is gone; before that it may carry
 * words about the other processes of the node, each a line of JSON.
 */
import { fstatSync } from 'node:fs';
import { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { z } from 'zod';

/** What a supervisor tells of one process to another. */
export interface SupervisorWord {
  /** Name of the process. */
  readonly about: string;
  /** What it complained of last while it starts, for people; absent: it is up. */
  readonly trouble?: string | undefined;
}

/** Descriptor of the pipe whose other end the supervisor holds. */
const SUPERVISOR_FD = 3;
const MAX_TROUBLE = 1_000;

const Word = z.strictObject({ about: z.string(), trouble: z.string().max(MAX_TROUBLE).optional() });

/** Returns a word as a line; what is too long of it is cut off. */
export function encodeWord({ about, trouble }: SupervisorWord): string {
  return `${JSON.stringify({ about, trouble: trouble?.slice(0, MAX_TROUBLE) })}\n`;
}

/**
 * Calls `onGone` when the other end of the supervisor's pipe closes. Without such a pipe nobody is watched.
 *
 * @param onWord - Told what the supervisor says; a line that is no word is passed over.
 */
export function watchSupervisor(onGone: () => void, onWord: (word: SupervisorWord) => void = () => {}): void {
  const inherited = fstatSync(SUPERVISOR_FD);
  // Started by hand, descriptor 3 is the event loop's own and neither a pipe nor a socket.
  if (!inherited.isFIFO() && !inherited.isSocket()) return;
  const pipe = new Socket({ fd: SUPERVISOR_FD, readable: true, writable: false });
  pipe.on('close', onGone);
  pipe.on('error', () => pipe.destroy());
  createInterface({ input: pipe }).on('line', (line) => {
    const word = readWord(line);
    if (word) onWord(word);
  });
}

function readWord(line: string): SupervisorWord | undefined {
  try {
    return Word.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}
