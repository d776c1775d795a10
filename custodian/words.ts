/**
 * Seed phrases of custodians: BIP39, English. SECRET: entropy and phrases, which are bytes here and never strings,
 * so that they can be wiped. Spec: kms-service 7.4.
 */
import { createHash } from 'node:crypto';
import { wordlist } from '@scure/bip39/wordlists/english.js';
import { equalBytes } from '../common/bytes.ts';
import { KmsError } from '../common/errors.ts';
import { nearest } from '../common/nearest.ts';
import type { RandomSource } from '../common/random.ts';

/** Bytes of entropy behind the twelve words that are generated. */
export const ENTROPY_BYTES = 16;
/** Numbers of words that are read: 128 to 256 bits of entropy. */
const WORD_COUNTS = [12, 15, 18, 21, 24];
const BITS_PER_WORD = 11;
const MAX_PHRASE_BYTES = 512;
/** How many words are named beside a wrong one. */
const SUGGESTIONS = 3;
const SPACE = 0x20;

const LAST_ASCII = 0x7e;
const UPPER_A = 0x41;
const UPPER_Z = 0x5a;
const CASE_BIT = 0x20;
/** Beyond the last index of the list. */
const NO_WORD = 0xffff;
/** Words as they are looked up: no string is made of what somebody typed. */
const WORDS: readonly Uint8Array[] = wordlist.map((word) => new TextEncoder().encode(word));

/** Draws the entropy of a new phrase. The caller wipes it. */
export function generateEntropy(random: RandomSource): Uint8Array<ArrayBuffer> {
  return random(ENTROPY_BYTES);
}

/** Returns the words of an entropy, one space between them, in an ArrayBuffer of their own. The caller wipes them. */
export function encodePhrase(entropy: Uint8Array): Uint8Array<ArrayBuffer> {
  const indices = indicesOf(entropy);
  const phrase = new Uint8Array(MAX_PHRASE_BYTES);
  let at = 0;
  for (const index of indices) {
    if (at > 0) phrase[at++] = SPACE;
    at += new TextEncoder().encodeInto(wordlist[index] ?? '', phrase.subarray(at)).written;
  }
  const exact = Uint8Array.from(phrase.subarray(0, at));
  phrase.fill(0);
  indices.fill(0);
  return exact;
}

/**
 * Reads a phrase as somebody typed it: any white space between words, any case.
 *
 * @returns The entropy in an ArrayBuffer of its own, which the caller wipes (and the phrase).
 * @throws {@link KmsError} `KEY_INVALID` naming the word that is none, with what is near it; or, when all words are
 *   words but do not fit together, which of them may be another one.
 */
export function decodePhrase(phrase: Uint8Array): Uint8Array<ArrayBuffer> {
  const indices = readIndices(phrase);
  try {
    const entropy = entropyOf(indices);
    if (entropy !== undefined) return entropy;
    throw new KmsError(
      'KEY_INVALID',
      `the words do not fit together: one of them is another word of the list, or two changed places${guesses(indices)}`,
      { words: indices.length },
    );
  } finally {
    indices.fill(0);
  }
}

/** Splits a phrase and looks its words up; says everything that is wrong with them at once. */
function readIndices(phrase: Uint8Array): Uint16Array {
  if (phrase.byteLength > MAX_PHRASE_BYTES || phrase.some((byte) => byte > LAST_ASCII)) {
    throw new KmsError('KEY_INVALID', 'a phrase is at most 24 English words, in letters a to z');
  }
  const lower = phrase.map((byte) => (byte >= UPPER_A && byte <= UPPER_Z ? byte | CASE_BIT : byte));
  try {
    const words = splitWords(lower);
    const indices = Uint16Array.from(words, indexOf);
    const faults: string[] = [];
    for (const [position, index] of indices.entries()) {
      if (index === NO_WORD) faults.push(describeTypo(position + 1, words[position] ?? new Uint8Array()));
    }
    if (!WORD_COUNTS.includes(words.length)) {
      faults.push(`a phrase has 12 words (or 15, 18, 21, 24); these are ${words.length}`);
    }
    if (faults.length === 0) return indices;
    indices.fill(0);
    throw new KmsError('KEY_INVALID', faults.join('\n'), { faults: faults.length });
  } finally {
    lower.fill(0);
  }
}

/** Views of the words between white space. */
function splitWords(phrase: Uint8Array): Uint8Array[] {
  const words: Uint8Array[] = [];
  let start = 0;
  for (let at = 0; at <= phrase.byteLength; at++) {
    if ((phrase[at] ?? SPACE) > SPACE) continue;
    if (at > start) words.push(phrase.subarray(start, at));
    start = at + 1;
  }
  return words;
}

function indexOf(word: Uint8Array): number {
  const index = WORDS.findIndex((known) => equalBytes(known, word));
  return index < 0 ? NO_WORD : index;
}

/** Only a word that is none becomes a string: it is a typing error and is told back to whoever made it. */
function describeTypo(position: number, typed: Uint8Array): string {
  const word = Buffer.from(typed).toString('latin1');
  const near = nearWords(word);
  const hint = near.length === 0 ? 'nothing in the list is near it' : `near it: ${near.join(', ')}`;
  return `word ${position}, '${word}', is not in the list of words; ${hint}`;
}

/** The nearest words of the list to one that is none, or to another one of the list. */
function nearWords(word: string): string[] {
  const found: string[] = [];
  for (let candidates = wordlist.filter((other) => other !== word); found.length < SUGGESTIONS; ) {
    const next = nearest(word.slice(0, 16), candidates);
    if (next === undefined) break;
    found.push(next);
    candidates = candidates.filter((other) => other !== next);
  }
  return found;
}

/** Says which single word, put in the place of one that resembles it, would make the checksum right. */
function guesses(indices: Uint16Array): string {
  const lines: string[] = [];
  for (const [position, index] of indices.entries()) {
    const word = wordlist[index] ?? '';
    for (const candidate of nearWords(word)) {
      const changed = Uint16Array.from(indices);
      changed[position] = wordlist.indexOf(candidate);
      const entropy = entropyOf(changed);
      changed.fill(0);
      if (entropy === undefined) continue;
      entropy.fill(0);
      lines.push(`word ${position + 1} may be '${candidate}'`);
    }
  }
  return lines.length === 0 ? '' : `\n${lines.join('\n')}`;
}

/** Words' indices of entropy and its checksum, 11 bits each. */
function indicesOf(entropy: Uint8Array): Uint16Array {
  const checksum = createHash('sha256').update(entropy).digest();
  const bytes = new Uint8Array(entropy.byteLength + 1);
  bytes.set(entropy);
  bytes[entropy.byteLength] = checksum[0] ?? 0;
  const words = Math.floor((entropy.byteLength * 8 + entropy.byteLength / 4) / BITS_PER_WORD);
  const indices = Uint16Array.from({ length: words }, (_, word) => {
    let index = 0;
    for (let bit = word * BITS_PER_WORD; bit < (word + 1) * BITS_PER_WORD; bit++) {
      index = (index << 1) | (((bytes[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1);
    }
    return index;
  });
  bytes.fill(0);
  checksum.fill(0);
  return indices;
}

/** Entropy behind indices, or undefined if the checksum does not fit. */
function entropyOf(indices: Uint16Array): Uint8Array<ArrayBuffer> | undefined {
  const entropy = new Uint8Array((indices.length * BITS_PER_WORD * 32) / 33 / 8);
  for (let bit = 0; bit < entropy.byteLength * 8; bit++) {
    const index = indices[Math.floor(bit / BITS_PER_WORD)] ?? 0;
    const value = (index >> (BITS_PER_WORD - 1 - (bit % BITS_PER_WORD))) & 1;
    entropy[bit >> 3] = (entropy[bit >> 3] ?? 0) | (value << (7 - (bit & 7)));
  }
  const again = indicesOf(entropy);
  const fits = again.every((index, position) => index === indices[position]);
  again.fill(0);
  if (fits) return entropy;
  entropy.fill(0);
  return undefined;
}
