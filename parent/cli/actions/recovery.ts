/**
 * What `arca recovery init|request|finish` do: the operator's side of a recovery by custodians. The answers are sealed for the
 * engine; nothing secret passes here.
 */
import { encodeAttestedRequest } from '../../../attestation/recovery/attested-request.ts';
import { fingerprintWords } from '../../../custodian/fingerprint.ts';
import {
  PkeSchemeType,
  type RecoveryRequest as RecoveryMessage,
  SigningSchemeType,
} from '../../../proto/gen/kms_pb.js';
import { formatAddress } from '../../../wire/addresses.ts';
import { decodeRecoveryOutput, encodeRecoveryRequest } from '../../../wire/custodian/recovery-request.ts';
import { parseEncKey } from '../../../wire/enc-key.ts';
import { idBytes } from '../../../wire/ids.ts';
import { parseVerificationKeyField } from '../../../wire/payloads.ts';
import { addressOfCompressedKey } from '../../../wire/signatures.ts';
import { readId } from '../client/keys.ts';
import type { NodeSelection } from '../client/session.ts';
import { withCustodians } from '../custodian/ask.ts';
import { parseChallenge, readBase64 } from '../custodian/custodian-files.ts';
import { failure, usageFailure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { writeNewFile } from '../governance/object-files.ts';

/** `arca recovery init`. */
export async function runRecoveryInit(
  options: NodeSelection & {
    readonly overwrite?: true | undefined;
    readonly out?: string | undefined;
    readonly force?: true | undefined;
  },
  output: Output,
): Promise<void> {
  const overwriteEphemeralKey = options.overwrite === true;
  const message = await withCustodians(options, ({ call }) => call('CustodianRecoveryInit', { overwriteEphemeralKey }));
  const encoded = encodeRequest(message);
  const node = formatAddress(addressOfCompressedKey(parseVerificationKeyField(message.operatorVerfKey)));
  const custodians = Object.keys(message.cts).map(Number);
  const request = Buffer.from(encoded).toString('base64');
  if (options.out !== undefined) await writeNewFile(options.out, `${request}\n`, options.force === true);
  output.result(
    { node, custodians, request, requestWords: fingerprintWords(encoded) },
    [
      `a recovery of ${node} has begun; custodians ${custodians.join(', ')} can help`,
      "have each of them run 'arca custodian challenge', then for each: arca recovery request --challenge HEX --out FILE",
      options.out === undefined
        ? 'for custodians of the published tool, who cannot verify it: the same with --overwrite --out FILE'
        : `for custodians of the published tool: ${options.out}`,
    ].join('\n'),
  );
}

/** `arca recovery request`. */
export async function runRecoveryRequest(
  options: NodeSelection & { readonly challenge: string; readonly out: string; readonly force?: true | undefined },
  output: Output,
): Promise<void> {
  const challenge = parseChallenge(options.challenge);
  const found = await withCustodians(options, (admin) => admin.document(challenge));
  if (found.request === undefined) throw usageFailure('the node gave no request', "run 'arca recovery init' first");
  const text = encodeAttestedRequest({
    request: encodeRequest(found.request),
    facts: {
      charterDigest: found.charterDigest,
      mpcContextId: idBytes(readId(found.mpcContextId)),
      custodianContextId: idBytes(readId(found.custodianContextId)),
      address: found.address,
      challenge,
    },
    document: found.document,
  });
  await writeNewFile(options.out, text, options.force === true);
  const words = fingerprintWords(Uint8Array.from(Buffer.from(text, 'base64')));
  const { custodianContextId } = found;
  output.result(
    { file: options.out, requestWords: words, custodianContextId, node: formatAddress(found.address) },
    `${options.out}: for the custodian of this challenge, good for fifteen minutes\nits words: ${words}`,
  );
}

/** `arca recovery finish`. */
export async function runRecoveryFinish(
  options: NodeSelection & {
    readonly answer?: readonly string[] | undefined;
    readonly custodianContext?: string | undefined;
  },
  output: Output,
): Promise<void> {
  const answers = await Promise.all(
    (options.answer ?? []).map(async (file) => decodeRecoveryOutput(await readBase64(file))),
  );
  if (answers.length === 0) throw usageFailure('needs --answer FILE', 'give the answers of t + 1 custodians');
  const schemes = { pkeType: PkeSchemeType.MLKEM512, signingType: SigningSchemeType.ECDSA256K1 };
  const contextId = await withCustodians(options, async ({ call, contexts }) => {
    const named = options.custodianContext ?? (await contexts()).recovering;
    if (named === '')
      throw failure('PRECONDITION_FAILED', 'no recovery is under way', "run 'arca recovery init' first");
    const id = readId(named);
    await call('CustodianBackupRecovery', {
      custodianContextId: { requestId: id },
      custodianRecoveryOutputs: answers.map(({ custodianRole, signcryption }) => ({
        backupOutput: { signcryption, ...schemes },
        custodianRole: BigInt(custodianRole),
      })),
    });
    return id;
  });
  output.result(
    { contextId, answers: answers.map(({ custodianRole }) => custodianRole), recovered: true },
    [
      'the backup key came together, and what was missing in the private vault is back',
      'start the node again, then make a new custodian context with new words: this one is spent',
    ].join('\n'),
  );
}

/** The published form of what the RPC answered. */
function encodeRequest({ ephemOpEncKey, operatorVerfKey, cts }: RecoveryMessage): Uint8Array {
  return encodeRecoveryRequest({
    ephemeralKey: parseEncKey(ephemOpEncKey),
    operatorKey: parseVerificationKeyField(operatorVerfKey),
    ciphertexts: new Map(Object.entries(cts).map(([role, { signcryption }]) => [Number(role), signcryption])),
  });
}
