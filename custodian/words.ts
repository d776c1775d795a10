/**
 * Seed phrases of custodians: BIP39, English. SECRET: entropy and phrases, which are bytes here and never strings,
 * so that they can be wiped. Spec: kms-service 7.4.
 */
import { createHash } from 'node:crypto';
import { wordlist } from '@scure/bip39/wordlists/english.js';
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

const INDEX_OF: ReadonlyMap<string, number> = new Map(wordlist.map((word, index) => [word, index]));

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
  const words = splitWords(phrase);
  const indices = new Uint16Array(words.length);
  const faults: string[] = [];
  for (const [position, word] of words.entries()) {
    const index = INDEX_OF.get(word);
    if (index === undefined) faults.push(describeTypo(position + 1, word));
    else indices[position] = index;
  }
  if (!WORD_COUNTS.includes(words.length)) {
    faults.push(`a phrase has 12 words (or 15, 18, 21, 24); these are ${words.length}`);
  }
  if (faults.length === 0) return indices;
  indices.fill(0);
  throw new KmsError('KEY_INVALID', faults.join('\n'), { faults: faults.length });
}

/**
 * The words themselves are constants of the list: looking one up leaves no more in memory than the list does. A word
 * that is none is a typing error and is told back to whoever typed it.
 */
function splitWords(phrase: Uint8Array): string[] {
  if (phrase.byteLength > MAX_PHRASE_BYTES || phrase.some((byte) => byte > 0x7e)) {
    throw new KmsError('KEY_INVALID', 'a phrase is at most 24 English words, in letters a to z');
  }
  const words: string[] = [];
  let word = '';
  for (const byte of [...phrase, SPACE]) {
    const isSpace = byte <= SPACE;
    if (!isSpace) word += String.fromCharCode(byte).toLowerCase();
    else if (word !== '') {
      words.push(word);
      word = '';
    }
  }
  return words;
}

function describeTypo(position: number, word: string): string {
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
      changed[position] = INDEX_OF.get(candidate) ?? 0;
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
