/**
 * The sheet of paper that a custodian keeps. SECRET where it has the words: those go to the terminal as bytes and into
 * no file, no string and no log.
 */
import { charterDigest } from '../attestation/governance/index.ts';
import { concatBytes, toHex } from '../common/bytes.ts';
import { formatAddress } from '../wire/addresses.ts';
import type { CustodianSetup } from '../wire/custodian/setup-message.ts';
import { encodeSetupMessage } from '../wire/custodian/setup-message.ts';
import { addressOfCompressedKey } from '../wire/signatures.ts';
import { fingerprintWords } from './fingerprint.ts';
import { type CustodianTrust, trustWords } from './trust.ts';

const RULE = '-'.repeat(72);
const SPACE = 0x20;
const NEWLINE = 0x0a;
const WORDS_PER_LINE = 4;

/** Returns the half with the words. The caller writes it to a terminal or a printer, and wipes it. */
export function secretSheet(setup: CustodianSetup, phrase: Uint8Array): Uint8Array {
  const head = [
    RULE,
    'CUSTODIAN SHEET - KEEP SECRET, KEEP OFFLINE, NEVER PHOTOGRAPH',
    `custodian   ${setup.role}, ${setup.name}`,
    `made        ${new Date(setup.timestamp.seconds * 1000).toISOString().slice(0, 10)}`,
    '',
    'The words. Whoever has them has this share:',
    '',
    '',
  ].join('\n');
  const lines = numberedWords(phrase);
  const tail = ['', '', setupLines(setup), RULE, ''].join('\n');
  const sheet = concatBytes(Buffer.from(head), lines, Buffer.from(tail));
  lines.fill(0);
  return sheet;
}

/** Returns what identifies a custodian: read out to the operators, who compare. */
export function setupLines(setup: CustodianSetup): string {
  return [
    `address     ${formatAddress(addressOfCompressedKey(setup.verificationKey))}`,
    `setup       ${setupWords(setup)}`,
  ].join('\n');
}

/** Returns the words that stand for a setup message. */
export function setupWords(setup: CustodianSetup): string {
  return fingerprintWords(encodeSetupMessage(setup));
}

/** Returns the public half: whom this custodian helps, and the words that stand for the trust file. */
export function trustSheet(trust: CustodianTrust): string {
  const { charter } = trust;
  return [
    RULE,
    'CUSTODIAN SHEET - WHOM I HELP (not secret, but only this paper is believed)',
    `network     ${charter.network}, party ${charter.party}`,
    `charter     ${toHex(charterDigest(charter))}`,
    `root        ${toHex(charter.anchor)}`,
    `node        ${formatAddress(trust.address)}`,
    ...trust.releaseKeys.map((key, index) => `${index === 0 ? 'releases    ' : '            '}${toHex(key)}`),
    `minimum     release set ${trust.minimumReleaseSet}`,
    `context     ${trust.mpcContextId}`,
    `custodians  ${trust.custodianContextId}`,
    '',
    'The file with these values is the right one if its words are:',
    '',
    `  ${trustWords(trust)}`,
    RULE,
    '',
  ].join('\n');
}

/** Numbers the words, four on a line, without a string of them. */
function numberedWords(phrase: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(2 * phrase.byteLength + 256);
  const encoder = new TextEncoder();
  let at = encoder.encodeInto(`  ${' 1'}. `, out).written;
  let word = 1;
  for (const byte of phrase) {
    if (byte !== SPACE) {
      out[at++] = byte;
      continue;
    }
    word += 1;
    if (word % WORDS_PER_LINE === 1) out[at++] = NEWLINE;
    at += encoder.encodeInto(`  ${String(word).padStart(2)}. `, out.subarray(at)).written;
  }
  const exact = Uint8Array.from(out.subarray(0, at));
  out.fill(0);
  return exact;
}
