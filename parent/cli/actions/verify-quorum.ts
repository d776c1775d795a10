/**
 * What `arca verify` does with the answer of a quorum, and with keys and CRSs of one.
 */
import { toHex } from '../../../common/bytes.ts';
import { formatAddress, parseAddress } from '../../../wire/addresses.ts';
import { attestedAddress, describeAttested } from '../attest/attested-address.ts';
import type { QuorumPublicAnswer, QuorumUserAnswer } from '../client/answer.ts';
import { readDomain, readHex } from '../client/domain.ts';
import { formatBytes } from '../client/encrypt.ts';
import { readId } from '../client/keys.ts';
import { checkObject, type SignedObject } from '../client/public-material.ts';
import { getQuorumCrs, getQuorumKey } from '../client/quorum-keys.ts';
import { type PartySession, selectsQuorum, withQuorum } from '../client/quorum-session.ts';
import { verifyQuorumAnswer } from '../client/verify-quorum-answer.ts';
import { absoluteDir } from '../framework/command.ts';
import { failure, usageFailure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { readQuorumFile } from '../quorum/quorum-file.ts';
import { readQuorumRecord } from '../quorum/quorum-trust.ts';
import { partyFolder } from '../supervise/state-folder.ts';
import type { VerifyOptions } from './verify.ts';

/** `arca verify FILE` for the answer of a quorum. */
export async function verifyQuorumFile(
  answer: QuorumPublicAnswer | QuorumUserAnswer,
  options: VerifyOptions,
  output: Output,
): Promise<void> {
  const trusted = await trustedParties(options);
  const { signers, refused } = verifyQuorumAnswer(answer, trusted);
  for (const why of refused) output.warn(`does not count: ${why}`);
  const { kind, requestId, keyId, plaintexts } = answer;
  const values = plaintexts.map(({ type, value }) => `${type} ${value}`).join(', ');
  const note = kind === 'quorum-user-decryption' ? ' (the value itself can only be checked with the user key)' : '';
  const text = `ok: ${kind} of ${values}${note}, signed by ${signers.length} of ${trusted.length} parties\n${signers.join('\n')}`;
  output.result({ verified: true, kind, requestId, keyId, signers, refused }, text);
}

/** `arca verify --key ID`, `--crs ID` on the folder of a quorum: what the parties signed, and what each of them serves. */
export async function verifyQuorumMaterial(options: VerifyOptions, output: Output): Promise<void> {
  const context = { domain: readDomain(options), extraData: readHex(options.extraData, '--extra-data') };
  if (options.signer !== undefined) {
    throw usageFailure('--signer is not for the keys of a quorum on --dir', 'its governed record names the signers');
  }
  await withQuorum(options, async (quorum) => {
    const { objects, parties } =
      options.key !== undefined
        ? await getQuorumKey(quorum, readId(options.key), context).then(({ facts, parties: agreed }) => ({
            objects: facts.objects,
            parties: agreed,
          }))
        : await getQuorumCrs(quorum, readId(options.crs ?? ''), context).then(({ facts, parties: agreed }) => ({
            objects: [facts.object],
            parties: agreed,
          }));
    const checked: { type: string; id: string; digest: string; sizeBytes: number }[] = [];
    for (const object of objects) {
      let sizeBytes = 0;
      for (const session of quorum.running.filter(({ party }) => parties.includes(party))) {
        sizeBytes = await checkServed(session, object, output);
      }
      checked.push({ type: object.type, id: object.id, digest: toHex(object.digest), sizeBytes });
    }
    const attested = await Promise.all(
      quorum.running.map((session) => attestationOf(session, partyFolder(quorum.dir, session.party), output)),
    );
    const lines = checked.map(({ type, digest }) => `ok: ${type} ${digest}`);
    const who = `ok: signed and served by parties ${parties.join(', ')} of ${quorum.parties}`;
    output.result(
      { verified: true, parties, objects: checked, attestation: attested },
      [...lines, who, ...attested.map(({ party, text }) => `party ${party}: ${text}`)].join('\n'),
    );
  });
}

async function checkServed({ party, publicUrl }: PartySession, object: SignedObject, output: Output): Promise<number> {
  const progress = output.progress(`check ${object.type} of party ${party}`);
  try {
    const sizeBytes = await checkObject(publicUrl, object);
    progress.done(formatBytes(sizeBytes));
    return sizeBytes;
  } catch (error) {
    progress.failed();
    throw error;
  }
}

async function attestationOf({ party, address }: PartySession, dir: string, output: Output) {
  const attested = await attestedAddress({ dir });
  const text = describeAttested(attested);
  if (attested.state === 'holds' && attested.address !== address) {
    const what = `party ${party} attests ${attested.address}, the governed record names ${address}`;
    throw failure('ATTESTATION_REJECTED', what, "do not trust this quorum; see 'arca attest verify'");
  }
  if (attested.state === 'fails') output.warn(`party ${party}: ${text}`);
  return { party, state: attested.state, text };
}

/** The parties that are trusted: those named, else those of the governed record of the folder. */
async function trustedParties(options: VerifyOptions): Promise<readonly string[]> {
  if (options.signer !== undefined) return parseSigners(options.signer);
  if (!(await selectsQuorum(options))) {
    const cure = 'name the folder of the quorum with --dir, or the addresses of all parties with --signer A,B,C,D';
    throw usageFailure('this is the answer of a quorum, whose parties are not known here', cure);
  }
  const dir = absoluteDir(options.dir);
  const { parties } = await readQuorumRecord(dir, (await readQuorumFile(dir))?.parties ?? 0);
  return parties.flatMap(({ address }) => (address === undefined ? [] : [formatAddress(address)]));
}

function parseSigners(text: string): readonly string[] {
  const cure = 'give the addresses of all 4, 7, 10 or 13 parties, with commas between them';
  const signers = text.split(',').map((part) => {
    try {
      return formatAddress(parseAddress(part.trim(), '--signer'));
    } catch {
      throw usageFailure(`'${part}' is no address`, cure);
    }
  });
  const wanted = signers.length >= 4 && signers.length <= 13 && signers.length % 3 === 1;
  if (wanted && new Set(signers).size === signers.length) return signers;
  throw usageFailure(`${signers.length} addresses are no quorum: there must be 3t + 1 different ones`, cure);
}
