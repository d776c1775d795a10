/**
 * Fingerprints as words: what people read to each other and compare with paper. Public values only.
 */
import { createHash } from 'node:crypto';
import { wordlist } from '@scure/bip39/wordlists/english.js';

/** 88 bits: more than anybody searches while a recovery is under way, few enough to be read out. */
const WORDS = 8;
const BITS_PER_WORD = 11;

/** Returns eight words that stand for SHA-256 of the bytes. */
export function fingerprintWords(bytes: Uint8Array): string {
  const digest = createHash('sha256').update(bytes).digest();
  return Array.from({ length: WORDS }, (_, position) => {
    let index = 0;
    for (let bit = position * BITS_PER_WORD; bit < (position + 1) * BITS_PER_WORD; bit++) {
      index = (index << 1) | (((digest[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1);
    }
    return wordlist[index] ?? '';
  }).join(' ');
}
