/**
 * The root keys of a party in the emulated AWS KMS: made once, with the policy that production keys have, for the engine as it was
 * measured then and for the charter of that party. Nobody can change them afterwards, this process included.
 */
import { CreateKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import { type Charter, charterFor, pcr16Of } from '../../../../attestation/governance/index.ts';
import { equalBytes, toHex } from '../../../../common/bytes.ts';
import { packageVersion } from '../../../../common/package-version.ts';
import { makeKeyPolicy } from '../../../../wire/key-policy/make.ts';
import { keyPolicyHash } from '../../../../wire/key-policy/policy-text.ts';
import { failure } from '../../framework/failure.ts';
import { type AwsFile, EMULATED, type PartyKeys, roleArn } from './aws-file.ts';

/** What root keys are made for. */
export interface RootKeyParts {
  readonly kmsUrl: string;
  readonly file: AwsFile;
  /** Charter of any party of the network. */
  readonly charter: Charter;
  /** Registers of the engine that is about to start; 0, 1 and 2 at least. */
  readonly enginePcrs: ReadonlyMap<number, Uint8Array>;
  /** Registers of the parties whose engine is another one. */
  readonly ofParty?: ReadonlyMap<number, ReadonlyMap<number, Uint8Array>> | undefined;
}

const REGISTERS = [0, 1, 2] as const;

/**
 * Makes the keys that are missing.
 *
 * @returns The file with a pair of keys for every party.
 * @throws {@link KmsError} `PRECONDITION_FAILED` naming the registers in which the engine differs from the one that the keys admit.
 */
export async function ensureRootKeys(parts: RootKeyParts): Promise<AwsFile> {
  const { file } = parts;
  requireAdmitted(parts);
  if (file.parties.every(({ keys }) => keys !== undefined)) return file;
  const { region } = EMULATED;
  const client = new KMSClient({ region, endpoint: parts.kmsUrl, credentials: { ...file.admin }, maxAttempts: 5 });
  try {
    const parties: AwsFile['parties'] = [];
    for (const party of file.parties) {
      parties.push(party.keys ? party : { ...party, keys: await makeKeys(client, party.party, parts) });
    }
    return { ...file, parties };
  } finally {
    client.destroy();
  }
}

async function makeKeys(client: KMSClient, party: number, parts: RootKeyParts): Promise<PartyKeys> {
  const { charter } = parts;
  const enginePcrs = pcrsOfParty(parts, party);
  const release = `${packageVersion()}+dev`;
  const Policy = makeKeyPolicy({
    account: EMULATED.account,
    engineRole: roleArn(party),
    adminRole: roleArn('admin'),
    releases: [{ release, pcrs: enginePcrs }],
    pcr16: pcr16Of(charterFor(charter, party)),
  });
  const make = async (Description: string): Promise<string> => {
    const asked = new CreateKeyCommand({ Policy, Description, BypassPolicyLockoutSafetyCheck: true });
    const arn = (await client.send(asked)).KeyMetadata?.Arn;
    if (arn === undefined)
      throw failure('TASK_FAILED', 'the emulated AWS KMS made a key without a name', 'start again');
    return arn;
  };
  return {
    primary: await make(`private vault of party ${party}`),
    backup: await make(`backup vault of party ${party}`),
    policy: toHex(keyPolicyHash(Policy)),
    pcrs: [pcrOf(enginePcrs, 0), pcrOf(enginePcrs, 1), pcrOf(enginePcrs, 2)],
  };
}

/**
 * The engine would be refused by AWS KMS, and could not say by which of its sources. The way out is that of production: the engine
 * that the keys admit hands its objects over to keys that admit the next.
 */
function requireAdmitted(parts: RootKeyParts): void {
  const differing = REGISTERS.filter((index) =>
    parts.file.parties.some(
      ({ party, keys }) => keys !== undefined && keys.pcrs[index] !== pcrOf(pcrsOfParty(parts, party), index),
    ),
  );
  if (differing.length === 0) return;
  const registers = differing.map((index) => `PCR${index}`).join(', ');
  throw failure(
    'PRECONDITION_FAILED',
    `the engine differs in ${registers} from the one that the root keys of this folder admit: its sources, or Node, were changed`,
    'go back to those sources, or start over with --reset; keys of AWS KMS admit the releases they were made for and no other',
    { registers },
  );
}

const pcrsOfParty = ({ enginePcrs, ofParty }: RootKeyParts, party: number): ReadonlyMap<number, Uint8Array> =>
  ofParty?.get(party) ?? enginePcrs;

function pcrOf(pcrs: ReadonlyMap<number, Uint8Array>, index: number): string {
  const value = pcrs.get(index);
  if (value === undefined || equalBytes(value, new Uint8Array(value.byteLength))) {
    throw failure('INTERNAL', `the engine was measured without PCR${index}`, 'report it');
  }
  return toHex(value);
}
