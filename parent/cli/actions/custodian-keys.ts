/**
 * What `arca custodian generate|verify|challenge` do. SECRET on the way: entropy and words.
 */
import { timingSafeEqual } from 'node:crypto';
import { RECOVERY_CHALLENGE_BYTES } from '../../../attestation/recovery/recover-facts.ts';
import { toHex } from '../../../common/bytes.ts';
import { systemClock } from '../../../common/clock.ts';
import { systemRandom } from '../../../common/random.ts';
import { type CustodianKeys, deriveCustodianKeys } from '../../../custodian/custodian-keys.ts';
import { checkOwnShare } from '../../../custodian/own-share.ts';
import { secretSheet, setupLines, setupWords } from '../../../custodian/sheet.ts';
import { decodeTrust } from '../../../custodian/trust.ts';
import { encodePhrase, generateEntropy } from '../../../custodian/words.ts';
import { formatAddress } from '../../../wire/addresses.ts';
import { openRecoveryMaterialOf } from '../../../wire/custodian/recovery-material.ts';
import {
  type CustodianSetup,
  checkCustodianName,
  decodeSetupMessage,
  encodeSetupMessage,
} from '../../../wire/custodian/setup-message.ts';
import { addressOfCompressedKey } from '../../../wire/signatures.ts';
import { parseRole, readBase64 } from '../custodian/custodian-files.ts';
import { askPhrase, showSecret } from '../custodian/phrase-input.ts';
import { failure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { readBytes, writeNewFile } from '../governance/object-files.ts';

const RANDOM_BYTES = 32;
const MS_PER_SECOND = 1000;
const NANOS_PER_MS = 1_000_000;

interface GenerateOptions {
  readonly role: string;
  readonly name: string;
  readonly out: string;
  readonly force?: true | undefined;
  readonly wordsFd?: string | undefined;
  readonly wordsOutFd?: string | undefined;
  readonly sheetFd?: string | undefined;
}

/** `arca custodian generate`. Nothing is written before the words were typed back. */
export async function runGenerate(options: GenerateOptions, output: Output): Promise<void> {
  const role = parseRole(options.role);
  const name = checkCustodianName(options.name);
  const entropy = generateEntropy(systemRandom);
  try {
    using keys = deriveCustodianKeys(entropy);
    const setup = makeSetup(keys, role, name);
    showWords(entropy, setup, options);
    output.note('Write the words down now. They are asked for once, to see that the paper has them.');
    await readBack(entropy, options.wordsFd, output);
    const message = Buffer.from(encodeSetupMessage(setup)).toString('base64');
    await writeNewFile(options.out, `${message}\n`, options.force === true);
    output.result(
      { ...factsOf(setup), message, file: options.out },
      [
        `custodian ${role}, ${name}: the words on paper are right`,
        setupLines(setup),
        `The custodian setup message is: ${message}`,
        `It is in ${options.out}; give it to the operators, and read them the setup words. It is not secret.`,
      ].join('\n'),
    );
  } finally {
    entropy.fill(0);
  }
}

interface VerifyOptions {
  readonly setup: string;
  readonly material?: string | undefined;
  readonly trust?: string | undefined;
  readonly wordsFd?: string | undefined;
}

/** `arca custodian verify`: the words make these keys; with the node's recovery material, the share can be read. */
export async function runVerify(options: VerifyOptions, output: Output): Promise<void> {
  const setup = decodeSetupMessage(await readBase64(options.setup));
  const opened = options.material === undefined ? undefined : await openMaterial(options.material, options.trust);
  const entropy = await askPhrase('The words of your sheet: ', options.wordsFd, output);
  try {
    using keys = deriveCustodianKeys(entropy);
    const faults = keyFaults(keys, setup);
    if (faults.length > 0) {
      const cure = 'check that the sheet and the setup message belong together';
      throw failure('KEY_INVALID', `the words are not those of custodian ${setup.role}: ${faults.join(', ')}`, cure);
    }
    if (opened !== undefined) checkOwnShare(keys, setup.role, opened.material, opened.verificationKey);
  } finally {
    entropy.fill(0);
  }
  const share = opened === undefined ? '' : '\nits share in the recovery material can be read';
  output.result(
    { ...factsOf(setup), words: true, share: opened !== undefined },
    `ok: the words are those of custodian ${setup.role}, ${setup.name}\n${setupLines(setup)}${share}`,
  );
}

/** `arca custodian challenge`. */
export async function runChallenge(output: Output): Promise<void> {
  const challenge = toHex(systemRandom(RECOVERY_CHALLENGE_BYTES));
  output.result({ challenge }, challenge);
}

function makeSetup(keys: CustodianKeys, role: number, name: string): CustodianSetup {
  const nowMs = systemClock.nowMs();
  return {
    role,
    name,
    randomValue: systemRandom(RANDOM_BYTES),
    timestamp: { seconds: Math.floor(nowMs / MS_PER_SECOND), nanos: (nowMs % MS_PER_SECOND) * NANOS_PER_MS },
    ek: keys.ek,
    verificationKey: keys.signer.publicKey,
  };
}

/** The sheet goes to the terminal unless descriptors say otherwise; `--words-out-fd` gets the bare words. */
function showWords(entropy: Uint8Array, setup: CustodianSetup, options: GenerateOptions): void {
  const phrase = encodePhrase(entropy);
  const sheet = secretSheet(setup, phrase);
  try {
    if (options.wordsOutFd === undefined || options.sheetFd !== undefined) {
      showSecret(sheet, options.sheetFd, '--sheet-fd');
    }
    if (options.wordsOutFd !== undefined) showSecret(phrase, options.wordsOutFd, '--words-out-fd');
  } finally {
    sheet.fill(0);
    phrase.fill(0);
  }
}

async function readBack(entropy: Uint8Array, fd: string | undefined, output: Output): Promise<void> {
  const typed = await askPhrase('The words, as they stand on the paper: ', fd, output);
  try {
    if (typed.byteLength === entropy.byteLength && timingSafeEqual(typed, entropy)) return;
  } finally {
    typed.fill(0);
  }
  const cure = 'nothing was written; destroy the paper and begin again';
  throw failure('KEY_INVALID', 'these are the words of another custodian', cure);
}

async function openMaterial(file: string, trustFile: string | undefined) {
  if (trustFile === undefined) {
    throw failure('REQUEST_INVALID', 'needs --trust FILE', 'the trust file says which node signs recovery material');
  }
  const { address } = decodeTrust((await readBytes(trustFile)).toString('utf8'));
  return openRecoveryMaterialOf(Uint8Array.from(await readBytes(file)), address);
}

function keyFaults(keys: CustodianKeys, setup: CustodianSetup): string[] {
  const faults: string[] = [];
  if (Buffer.compare(keys.signer.publicKey, setup.verificationKey) !== 0) faults.push('its signing key is another');
  if (Buffer.compare(keys.ek, setup.ek) !== 0) faults.push('its encryption key is another');
  return faults;
}

function factsOf(setup: CustodianSetup) {
  const address = formatAddress(addressOfCompressedKey(setup.verificationKey));
  return { role: setup.role, name: setup.name, address, setupWords: setupWords(setup) };
}
