/**
 * What `arca custodian trust|decrypt` do: whom a custodian helps, and helping. SECRET on the way: words and share.
 */
import { createHash, X509Certificate } from 'node:crypto';
import type { TrustAnchor } from '../../../attestation/document/index.ts';
import { encodeCharter, encodeSigned, verifyRecord } from '../../../attestation/governance/index.ts';
import { decodeAttestedRequest } from '../../../attestation/recovery/attested-request.ts';
import { systemClock } from '../../../common/clock.ts';
import { systemRandom } from '../../../common/random.ts';
import { answerRequest, type ExpectedContexts } from '../../../custodian/answer.ts';
import { deriveCustodianKeys } from '../../../custodian/custodian-keys.ts';
import { fingerprintWords } from '../../../custodian/fingerprint.ts';
import { trustSheet } from '../../../custodian/sheet.ts';
import { type CustodianTrust, decodeTrust, encodeTrust, trustWords } from '../../../custodian/trust.ts';
import { verifyRecoveryRequest } from '../../../custodian/verify-request.ts';
import { formatAddress, parseAddress } from '../../../wire/addresses.ts';
import {
  decodeRecoveryRequest,
  encodeRecoveryOutput,
  type RecoveryRequest,
} from '../../../wire/custodian/recovery-request.ts';
import { idFromBytes, parseRequestId } from '../../../wire/ids.ts';
import { addressOfCompressedKey } from '../../../wire/signatures.ts';
import { parseChallenge, parseRole, readBase64 } from '../custodian/custodian-files.ts';
import { askPhrase, confirm } from '../custodian/phrase-input.ts';
import { failure, usageFailure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { parseNumber } from '../governance/numbers.ts';
import { readBytes, readObject, writeNewFile } from '../governance/object-files.ts';

interface TrustOptions {
  readonly charter: string;
  readonly record: string;
  readonly custodianContext: string;
  readonly minimumReleaseSet: string;
  readonly address?: string | undefined;
  readonly mpcContext?: string | undefined;
  readonly out: string;
  readonly force?: true | undefined;
}

/** `arca custodian trust`. */
export async function runTrust(options: TrustOptions, output: Output): Promise<void> {
  const charter = await readObject(options.charter, 'charter');
  const { body: record } = verifyRecord(encodeSigned(await readObject(options.record, 'record')), charter);
  const own = record.parties.find(({ party }) => party === charter.party);
  const address = options.address === undefined ? own?.address : parseAddress(options.address, '--address');
  if (address === undefined) {
    const cure = 'give --address 0x…: the node is not enrolled in this record';
    throw failure('REQUEST_INVALID', `the record has no address of party ${charter.party}`, cure);
  }
  const trust: CustodianTrust = {
    charter,
    charterBytes: encodeCharter(charter),
    address,
    releaseKeys: record.releaseKeys,
    minimumReleaseSet: parseNumber(options.minimumReleaseSet, '--minimum-release-set'),
    mpcContextId:
      options.mpcContext === undefined
        ? idFromBytes(record.context, 'context')
        : parseRequestId(options.mpcContext, '--mpc-context'),
    custodianContextId: parseRequestId(options.custodianContext, '--custodian-context'),
  };
  await writeNewFile(options.out, encodeTrust(trust), options.force === true);
  output.result(
    { trustWords: trustWords(trust), address: formatAddress(address), file: options.out },
    trustSheet(trust),
  );
}

interface DecryptOptions {
  readonly role: string;
  readonly request: string;
  readonly trust?: string | undefined;
  readonly trustWords?: string | undefined;
  readonly releases?: string | undefined;
  readonly challenge?: string | undefined;
  readonly root?: string | undefined;
  readonly unverified?: true | undefined;
  readonly out: string;
  readonly force?: true | undefined;
  readonly wordsFd?: string | undefined;
}

/** A request that is about to be answered. */
interface Judged {
  readonly request: RecoveryRequest;
  readonly contexts: ExpectedContexts | undefined;
  readonly verified: boolean;
}

/** `arca custodian decrypt`. */
export async function runDecrypt(options: DecryptOptions, output: Output): Promise<void> {
  const role = parseRole(options.role);
  const bytes = await readBase64(options.request);
  const requestWords = fingerprintWords(bytes);
  output.note(`request     ${requestWords}`);
  const judged = options.unverified === true ? takeUnverified(bytes, output) : await verify(bytes, options, output);
  const node = formatAddress(addressOfCompressedKey(judged.request.operatorKey));
  const entropy = await askPhrase('The words of your sheet: ', options.wordsFd, output);
  try {
    using keys = deriveCustodianKeys(entropy);
    const answer = answerRequest(keys, role, judged.request, judged.contexts, systemRandom);
    const text = Buffer.from(encodeRecoveryOutput(answer)).toString('base64');
    await writeNewFile(options.out, `${text}\n`, options.force === true);
    output.result(
      { role, node, requestWords, verified: judged.verified, answer: text, file: options.out },
      [
        `The custodian recovery output is: ${text}`,
        `It is in ${options.out}, for the node ${node}; give it to the operator. It is not secret.`,
        "After this recovery the words are used up: make new ones ('arca custodian generate') for the next context.",
      ].join('\n'),
    );
  } finally {
    entropy.fill(0);
  }
}

/** Verifies a request with everything that the custodian brought, and has the paper compared. */
async function verify(bytes: Uint8Array, options: DecryptOptions, output: Output): Promise<Judged> {
  const { trust: trustFile, releases, challenge } = options;
  if (trustFile === undefined || releases === undefined || challenge === undefined) {
    throw usageFailure(
      'a request is verified before it is answered',
      'give --trust FILE, --releases FILE and --challenge HEX (--unverified says what it gives up)',
    );
  }
  if (isPublishedForm(bytes)) {
    const cure =
      "ask the operator for the attested request made for your challenge, or see 'arca custodian decrypt --help'";
    throw failure('ATTESTATION_REJECTED', 'the request has no attestation: anybody may have made it', cure);
  }
  const trust = decodeTrust((await readBytes(trustFile)).toString('utf8'));
  const verified = await verifyRecoveryRequest(decodeAttestedRequest(bytes), {
    trust,
    challenge: parseChallenge(challenge),
    releases: encodeSigned(await readObject(releases, 'release-set')),
    anchor: options.root === undefined ? undefined : await readAnchor(options.root),
    nowMs: systemClock.nowMs(),
  });
  if (verified.developer) output.warn('the root of attestation is a developer’s: it proves nothing about hardware');
  output.note(
    [
      `node        ${formatAddress(trust.address)}, party ${trust.charter.party} of ${trust.charter.network}`,
      `release     ${verified.release}`,
      `attested    ${new Date(verified.attestedAtMs).toISOString()}`,
      `paper       ${trustWords(trust)}`,
    ].join('\n'),
  );
  await comparePaper(trust, options.trustWords);
  const { mpcContextId, custodianContextId } = trust;
  return { request: verified.request, contexts: { mpcContextId, custodianContextId }, verified: true };
}

/** The trust file is believed only if its words stand on the paper. */
async function comparePaper(trust: CustodianTrust, typed: string | undefined): Promise<void> {
  const same =
    typed === undefined ? await askPaper() : typed.trim().toLowerCase().split(/\s+/).join(' ') === trustWords(trust);
  if (same) return;
  const cure = 'do not answer; take the trust file that you made your paper from';
  throw failure('ATTESTATION_REJECTED', 'the trust file is not the one of your paper', cure);
}

function askPaper(): Promise<boolean> {
  if (process.stdin.isTTY !== true) {
    throw usageFailure(
      'the words of the trust file are compared on a terminal',
      'run it on one, or give --trust-words',
    );
  }
  return confirm('Do these eight words stand on your paper as those of the trust file?');
}

/** The published form, or ours without a look at its document. */
function takeUnverified(bytes: Uint8Array, output: Output): Judged {
  const request = decodeRecoveryRequest(isPublishedForm(bytes) ? bytes : decodeAttestedRequest(bytes).request);
  output.warn(
    [
      '--unverified: nothing shows who asks. Whoever made this request can read your share: there is no proof that the',
      'key in it is that of an enclave, of a release that counts, of this node, or that it was made today.',
      `With the answers of enough custodians he has every key of the node ${formatAddress(addressOfCompressedKey(request.operatorKey))}.`,
      'Compare the words of the request with the operator, by voice, before you go on.',
    ].join('\n'),
  );
  return { request, contexts: undefined, verified: false };
}

/** A safe serialization begins with the length of its version; ours is a CBOR map. */
function isPublishedForm(bytes: Uint8Array): boolean {
  return bytes[0] === 3;
}

async function readAnchor(file: string): Promise<TrustAnchor> {
  const bytes = await readBytes(file);
  try {
    const certificate = new Uint8Array(new X509Certificate(bytes).raw);
    const digest = createHash('sha256').update(certificate).digest('hex').slice(0, 16);
    return { name: `the root in ${file} (${digest}…)`, certificate };
  } catch (error) {
    throw failure('REQUEST_INVALID', `${file} holds no certificate`, 'give a root as PEM or DER', {}, error);
  }
}
