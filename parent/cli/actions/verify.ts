/**
 * What `arca verify` does.
 */
import { readFile } from 'node:fs/promises';
import { toHex } from '../../../common/bytes.ts';
import { parseAddress } from '../../../wire/addresses.ts';
import {
  type AttestedAddress,
  type AttestedOptions,
  attestedAddress,
  describeAttested,
} from '../attest/attested-address.ts';
import { type Answer, AnswerFile, verifyAnswer } from '../client/answer.ts';
import { readStdin } from '../client/ciphertext-file.ts';
import { readDomain, readHex } from '../client/domain.ts';
import type { DomainOptions } from '../client/domain-options.ts';
import { formatBytes } from '../client/encrypt.ts';
import { getCrs, getKey, verifyCrsSignature, verifyKeySignature } from '../client/keys.ts';
import { checkObject, type SignedObject } from '../client/public-material.ts';
import { selectsQuorum } from '../client/quorum-session.ts';
import { locateNode, type Session, withNode } from '../client/session.ts';
import { fetchNodeAddress } from '../client/signer.ts';
import { failure, usageFailure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { verifyQuorumFile, verifyQuorumMaterial } from './verify-quorum.ts';

/** What `arca verify` is told. */
export interface VerifyOptions extends AttestedOptions, DomainOptions {
  readonly key?: string | undefined;
  readonly crs?: string | undefined;
  readonly signer?: string | undefined;
  readonly extraData: string;
}

/** `arca verify`. */
export async function runVerify(file: string | undefined, options: VerifyOptions, output: Output): Promise<void> {
  const asked = [file, options.key, options.crs].filter((what) => what !== undefined);
  if (asked.length !== 1) {
    throw usageFailure('needs one thing to verify', 'name an answer file, or --key ID, or --crs ID');
  }
  // The parties of a quorum stand in one option, with commas.
  for (const signer of options.signer?.split(',') ?? []) requireAddress(signer.trim());
  const answer = file === undefined ? undefined : await readAnswer(file);
  if (answer?.kind === 'quorum-public-decryption' || answer?.kind === 'quorum-user-decryption') {
    await verifyQuorumFile(answer, options, output);
    return;
  }
  if (options.signer !== undefined) requireAddress(options.signer);
  if (answer !== undefined) await verifyFile(answer, options, output);
  else if (await selectsQuorum(options)) await verifyQuorumMaterial(options, output);
  else await withNode(options, (session) => verifyMaterial(session, options, output));
}

function requireAddress(text: string): void {
  try {
    parseAddress(text, '--signer');
  } catch {
    throw usageFailure(
      `'${text}' is no address`,
      'give --signer 0x and 40 hexadecimal digits with their EIP-55 checksum',
    );
  }
}

async function verifyFile(answer: Answer, options: VerifyOptions, output: Output): Promise<void> {
  const { signer, attestation } = await chooseSigner(options, output);
  verifyAnswer(answer, signer);
  const { kind, requestId, keyId, plaintexts } = answer;
  const values = plaintexts.map(({ type, value }) => `${type} ${value}`).join(', ');
  const note = kind === 'user-decryption' ? ' (the value itself can only be checked with the user key)' : '';
  output.result(
    { verified: true, kind, requestId, keyId, signer, attestation },
    `ok: ${kind} of ${values}${note}, signed by ${signer}\n${describeAttested(attestation)}`,
  );
}

async function verifyMaterial(session: Session, options: VerifyOptions, output: Output): Promise<void> {
  const context = { domain: readDomain(options), extraData: readHex(options.extraData, '--extra-data') };
  const { signer, attestation } = await chooseSigner(options, output);
  let objects: readonly SignedObject[];
  if (options.key !== undefined) {
    const key = await getKey(session, options.key);
    verifyKeySignature(key, signer, context);
    objects = key.objects;
  } else {
    const crs = await getCrs(session, options.crs ?? '');
    verifyCrsSignature(crs, signer, context);
    objects = [crs.object];
  }
  const checked: { type: string; id: string; digest: string; sizeBytes: number }[] = [];
  for (const object of objects) {
    const progress = output.progress(`check ${object.type}`);
    const sizeBytes = await checkObject(session.publicUrl, object);
    progress.done(formatBytes(sizeBytes));
    checked.push({ type: object.type, id: object.id, digest: toHex(object.digest), sizeBytes });
  }
  const lines = checked.map(({ type, digest }) => `ok: ${type} ${digest}`);
  const text = [...lines, `ok: signed by ${signer}`, describeAttested(attestation)].join('\n');
  output.result({ verified: true, signer, attestation, objects: checked }, text);
}

/**
 * Returns who must have signed: the address that was named, else the one that the node attests, else, with a word
 * about it, the one that its public material claims.
 */
async function chooseSigner(
  options: VerifyOptions,
  output: Output,
): Promise<{ signer: string; attestation: AttestedAddress }> {
  const attestation = await attestedAddress(options);
  const { signer } = options;
  if (attestation.state === 'fails') {
    if (signer === undefined) {
      const cure = "do not trust this node, or name the signer that you trust with --signer; see 'arca attest verify'";
      throw failure('ATTESTATION_REJECTED', `the node's attestation does not hold: ${attestation.reason}`, cure);
    }
    output.warn(describeAttested(attestation));
  }
  if (attestation.state === 'holds') {
    const { address } = attestation;
    if (signer !== undefined && signer !== address) output.warn(`the node attests ${address}, not ${signer}`);
    return { signer: signer ?? address, attestation };
  }
  if (signer !== undefined) return { signer, attestation };
  const claimed = await fetchNodeAddress((await locateNode(options)).publicUrl);
  output.warn(`${describeAttested(attestation)}: the signer is the one that the node claims to be`);
  return { signer: claimed, attestation };
}

async function readAnswer(file: string): Promise<AnswerFile> {
  const cure = "give a file that 'arca decrypt --out FILE' wrote";
  let value: unknown;
  try {
    value = JSON.parse(file === '-' ? await readStdin() : await readFile(file, 'utf8'));
  } catch (error) {
    throw failure('REQUEST_INVALID', `cannot read the answer ${file}`, cure, {}, error);
  }
  const parsed = AnswerFile.safeParse(value);
  if (parsed.success) return parsed.data;
  throw failure('REQUEST_INVALID', `${file} is no answer of a decryption`, cure, {}, parsed.error);
}
