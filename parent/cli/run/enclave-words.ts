/**
 * What comes out of an enclave on the log port: lines of the engine, of Node and of init, in one stream. It is untrusted text
 * of unknown length: lines are cut, control characters never reach a terminal, and there is room for a few streams only.
 */
import type { Socket } from 'node:net';
import { StringDecoder } from 'node:string_decoder';
import { parseLogLine } from '../supervise/child.ts';

/** Why an enclave ended, in its own words. */
export interface LastWords {
  readonly reason: string;
  readonly status: number;
}

/** The log port of one start. */
export interface EnclaveWords {
  /** Takes a stream of the log port; closes it and returns false if there are too many. */
  take(socket: Socket): boolean;
  /** Resolves with the engine's line that says it is ready; never rejects. */
  readonly ready: Promise<Readonly<Record<string, unknown>>>;
  /** What init said last; undefined as long as it has not. */
  lastWords(): LastWords | undefined;
  /** Resolves when no stream is open, after `waitMs` at the latest: what was said last may still be on its way. */
  drained(waitMs: number): Promise<void>;
  /** Closes all streams. */
  close(): void;
}

const READY_EVENT = 'engine.ready';
const EXIT_EVENT = 'init.exit';
/** Longest line that is kept; the rest of it is not. */
const MAX_LINE_CHARS = 16 * 1024;
const MAX_STREAMS = 4;
const MAX_REASON_CHARS = 2_000;

/** Collects what an enclave says; `onLine` gets every line. */
export function collectWords(onLine: (line: string) => void): EnclaveWords {
  const streams = new Set<Socket>();
  const ready = Promise.withResolvers<Readonly<Record<string, unknown>>>();
  let last: LastWords | undefined;
  let onEmpty = (): void => {};

  const read = (line: string): void => {
    const clean = line.replaceAll(/[\p{Cc}\p{Cf}]/gu, '�');
    onLine(clean);
    const facts = parseLogLine(clean);
    if (facts?.event === READY_EVENT) ready.resolve(facts);
    if (facts?.event === EXIT_EVENT) last = readLastWords(facts);
  };

  return {
    take: (socket) => {
      socket.on('error', () => socket.destroy());
      if (streams.size >= MAX_STREAMS) {
        socket.destroy();
        return false;
      }
      streams.add(socket);
      const lines = lineCutter(read);
      socket.on('data', (chunk: Buffer) => lines.push(chunk));
      socket.once('close', () => {
        lines.end();
        streams.delete(socket);
        if (streams.size === 0) onEmpty();
      });
      return true;
    },
    ready: ready.promise,
    lastWords: () => last,
    drained: (waitMs) =>
      new Promise((resolve) => {
        if (streams.size === 0) return resolve();
        const timer = setTimeout(resolve, waitMs);
        onEmpty = () => {
          clearTimeout(timer);
          resolve();
        };
      }),
    close: () => {
      for (const socket of streams) socket.destroy();
    },
  };
}

function readLastWords({ reason, status }: Readonly<Record<string, unknown>>): LastWords {
  return {
    reason: typeof reason === 'string' ? reason.slice(0, MAX_REASON_CHARS) : 'no reason was given',
    status: typeof status === 'number' && Number.isInteger(status) ? status : 1,
  };
}

/** Cuts a stream into lines of bounded length; empty lines are left out. */
function lineCutter(onLine: (line: string) => void): { push(chunk: Buffer): void; end(): void } {
  const decoder = new StringDecoder('utf8');
  let line = '';
  let isCut = false;
  const flush = (): void => {
    if (line.trim() !== '') onLine(isCut ? `${line}… (cut)` : line);
    line = '';
    isCut = false;
  };
  const add = (text: string): void => {
    const room = MAX_LINE_CHARS - line.length;
    if (text.length > room) isCut = true;
    line += text.slice(0, room);
  };
  return {
    push: (chunk) => {
      const [first = '', ...rest] = decoder.write(chunk).split('\n');
      add(first);
      for (const text of rest) {
        flush();
        add(text);
      }
    },
    end: () => {
      add(decoder.end());
      flush();
    },
  };
}
