/**
 * How a seed phrase comes in and goes out: a terminal without echo, or a file descriptor that the caller opened.
 * Never an argument, never a variable of the environment. SECRET: everything that is read or shown here.
 */
import { closeSync, readSync, writeSync } from 'node:fs';
import { isKmsError } from '../../../common/errors.ts';
import { decodePhrase } from '../../../custodian/words.ts';
import { failure, usageFailure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { parseNumber } from '../governance/numbers.ts';

/** More than 24 words have; the rest of a line that is longer is not read. */
const MAX_BYTES = 512;
const TRIES = 3;
const ENTER = new Set([0x0a, 0x0d]);
const BACKSPACE = new Set([0x08, 0x7f]);
const INTERRUPT = new Set([0x03, 0x04]);

/**
 * Asks for the words, up to three times on a terminal.
 *
 * @param fd - Option `--words-fd`: where they are read from instead, up to the end of the line.
 * @returns The entropy, which the caller wipes.
 * @throws {@link KmsError} `KEY_INVALID` naming the word that is none; wrong usage where there is no terminal.
 */
export async function askPhrase(prompt: string, fd: string | undefined, output: Output): Promise<Uint8Array> {
  if (fd !== undefined) return parsePhrase(readDescriptor(descriptor(fd, '--words-fd')));
  if (process.stdin.isTTY !== true) {
    throw usageFailure('the words are asked for on a terminal', 'run it on one, or give --words-fd N');
  }
  for (let left = TRIES; ; left--) {
    const phrase = await promptHidden(prompt);
    try {
      return parsePhrase(phrase);
    } catch (error) {
      if (left <= 1 || !isKmsError(error)) throw error;
      output.warn(error.message);
    }
  }
}

/**
 * Shows secret bytes: on the terminal, or on a descriptor.
 *
 * @throws wrong usage if standard output is no terminal and no descriptor is given.
 */
export function showSecret(bytes: Uint8Array, fd: string | undefined, option: string): void {
  if (fd === undefined && process.stdout.isTTY !== true) {
    throw usageFailure('the words are shown on a terminal only', `run it on one, or give ${option} N`);
  }
  const target = fd === undefined ? process.stdout.fd : descriptor(fd, option);
  try {
    for (let at = 0; at < bytes.byteLength; ) at += writeSync(target, bytes, at);
    // A reader of the descriptor sees its end; the terminal stays open.
    if (fd !== undefined) closeSync(target);
  } catch (error) {
    throw failure('REQUEST_INVALID', `cannot write to the descriptor of ${option}`, 'open it for writing', {}, error);
  }
}

/** Asks a question on the terminal whose answer is no secret. */
export async function confirm(question: string): Promise<boolean> {
  const answer = await promptHidden(`${question} [yes/no] `);
  const yes = Buffer.from(answer).toString('latin1').trim().toLowerCase() === 'yes';
  answer.fill(0);
  return yes;
}

function parsePhrase(phrase: Uint8Array): Uint8Array {
  try {
    return decodePhrase(phrase);
  } finally {
    phrase.fill(0);
  }
}

function descriptor(text: string, option: string): number {
  const fd = parseNumber(text, option);
  if (fd === 1 || fd === 2)
    throw usageFailure(`${option} must not be standard output or error`, 'open another, e.g. 3');
  return fd;
}

/** Reads a line, byte by byte into memory of its own. */
function readDescriptor(fd: number): Uint8Array {
  const line = new Uint8Array(MAX_BYTES);
  let length = 0;
  const byte = new Uint8Array(1);
  try {
    while (length < MAX_BYTES && readSync(fd, byte, 0, 1, null) === 1 && !ENTER.has(byte[0] ?? 0)) {
      line[length++] = byte[0] ?? 0;
    }
    return Uint8Array.from(line.subarray(0, length));
  } catch (error) {
    throw failure('REQUEST_INVALID', 'cannot read the descriptor of --words-fd', 'open it for reading', {}, error);
  } finally {
    line.fill(0);
    byte.fill(0);
  }
}

/** Reads a line from the terminal without showing it. */
function promptHidden(prompt: string): Promise<Uint8Array> {
  const { stdin } = process;
  process.stderr.write(prompt);
  stdin.setRawMode(true);
  const line = new Uint8Array(MAX_BYTES);
  let length = 0;
  return new Promise<Uint8Array>((resolve, reject) => {
    const finish = (end: () => void): void => {
      stdin.off('data', onData);
      stdin.setRawMode(false);
      stdin.pause();
      process.stderr.write('\n');
      line.fill(0);
      end();
    };
    const onData = (chunk: Buffer): void => {
      for (const byte of chunk) {
        if (INTERRUPT.has(byte)) {
          chunk.fill(0);
          finish(() => reject(failure('CANCELLED', 'nothing was done', 'run it again')));
          return;
        }
        if (ENTER.has(byte)) {
          chunk.fill(0);
          const typed = Uint8Array.from(line.subarray(0, length));
          finish(() => resolve(typed));
          return;
        }
        if (BACKSPACE.has(byte)) length = Math.max(0, length - 1);
        else if (length < MAX_BYTES) line[length++] = byte;
      }
      chunk.fill(0);
    };
    stdin.on('data', onData);
    stdin.resume();
  });
}
