/**
 * The parties of a governed record, as the options of `arca record propose` change them: addresses, root keys and their policies.
 * Nothing is secret.
 */
import type { RecordParty } from '../../../attestation/governance/index.ts';
import { fromHex, toHex } from '../../../common/bytes.ts';
import { formatAddress } from '../../../wire/addresses.ts';
import { keyPolicyHash } from '../../../wire/key-policy/policy-text.ts';
import { usageFailure } from '../framework/failure.ts';
import { readPolicyFile } from '../kms/key-files.ts';
import { parseNumber } from './numbers.ts';

/** `2=0x6370…@host:port`; address and endpoint may both be absent. */
export function parseParty(text: string): Omit<RecordParty, 'address'> & { readonly address?: string } {
  const match = /^(\d{1,4})=(0x[0-9a-fA-F]{40})?(?:@(\S+))?$/.exec(text);
  if (!match)
    throw usageFailure(`'${text}' is no party`, 'write NUMBER=0xADDRESS@HOST:PORT, e.g. 2=@party-2.example.org:50200');
  const [, party = '', address, endpoint] = match;
  return {
    party: parseNumber(party, '--party'),
    ...(address === undefined ? {} : { address: toHex(readAddress(address)) }),
    ...(endpoint === undefined ? {} : { endpoint }),
  };
}

/** All lower case has no checksum; with capitals it must be right, since a typing error enrols a stranger. */
function readAddress(text: string): Uint8Array {
  const bytes = fromHex(text.slice(2));
  if (text === text.toLowerCase() || text === formatAddress(bytes)) return bytes;
  throw usageFailure(`the checksum of ${text} is wrong`, "copy the address from 'arca attest document' of that party");
}

/** `2=arn:aws:kms:…,arn:aws:kms:…`: root key and, behind the comma, that of backups. */
export function parseRootKey(text: string): { readonly party: number; readonly aws: Readonly<Record<string, string>> } {
  const match = /^(\d{1,4})=(arn:[^,]+)(?:,(arn:[^,]+))?$/.exec(text);
  if (!match) throw usageFailure(`'${text}' names no root key`, 'write NUMBER=ARN or NUMBER=ARN,ARN-OF-THE-BACKUP-KEY');
  const [, party = '', primaryKeyId = '', backupKeyId] = match;
  const [, , , region = '', account = ''] = primaryKeyId.split(':');
  const aws = { account, region, primaryKeyId, ...(backupKeyId === undefined ? {} : { backupKeyId }) };
  return { party: parseNumber(party, '--root-key'), aws };
}

/** `2=policy.json`: the hash of that policy. */
export async function readKeyPolicy(text: string): Promise<{ readonly party: number; readonly hash: string }> {
  const [, party, file] = /^(\d{1,4})=(.+)$/.exec(text) ?? [];
  if (party === undefined || file === undefined) {
    throw usageFailure(`'${text}' names no policy`, 'write NUMBER=FILE, with the file of arca kms policy create');
  }
  return { party: parseNumber(party, '--key-policy'), hash: toHex(keyPolicyHash(await readPolicyFile(file))) };
}

/** The address and endpoint of a party change; its keys of AWS KMS stay. */
export function withParties(before: unknown, parties: readonly { readonly party: number }[]): unknown[] {
  const replaced = new Map(parties.map((party) => [party.party, party]));
  const kept: unknown[] = Array.isArray(before) ? before : [];
  const rest = kept.filter((item) => !replaced.has(numberOf(item)));
  const keysOf = (party: number): object => {
    const found = kept.find((item) => numberOf(item) === party);
    return typeof found === 'object' && found !== null && 'aws' in found ? { aws: found.aws } : {};
  };
  return [...rest, ...parties.map((party) => ({ ...keysOf(party.party), ...party }))];
}

/** The root key before stays as the one that opens what is not yet sealed anew. */
export function withRootKeys(before: unknown, keys: readonly ReturnType<typeof parseRootKey>[]): unknown[] {
  const items: unknown[] = Array.isArray(before) ? before : [];
  const missing = keys.find(({ party }) => !items.some((item) => numberOf(item) === party));
  if (missing) throw usageFailure(`the record has no party ${missing.party}`, `name it: --party ${missing.party}=…`);
  return items.map((item) => {
    const given = keys.find(({ party }) => party === numberOf(item));
    if (given === undefined || typeof item !== 'object') return item;
    const known: unknown = Reflect.get(item ?? {}, 'aws');
    const primary: unknown =
      typeof known === 'object' && known !== null ? Reflect.get(known, 'primaryKeyId') : undefined;
    const isNew = typeof primary === 'string' && primary !== given.aws.primaryKeyId;
    return { ...item, aws: { ...given.aws, ...(isNew && { previousKeyId: primary }) } };
  });
}

/** What the root key of each party named is to have as its policy: engines take the key with no other. */
export function withKeyPolicies(
  before: unknown,
  policies: readonly Awaited<ReturnType<typeof readKeyPolicy>>[],
): unknown[] {
  const items: unknown[] = Array.isArray(before) ? before : [];
  const awsOf = (item: unknown): object | undefined => {
    const aws: unknown = typeof item === 'object' && item !== null ? Reflect.get(item, 'aws') : undefined;
    return typeof aws === 'object' && aws !== null ? aws : undefined;
  };
  const missing = policies.find(({ party }) => !items.some((item) => numberOf(item) === party && awsOf(item)));
  if (missing) {
    throw usageFailure(`party ${missing.party} has no root key`, `name it: --root-key ${missing.party}=ARN`);
  }
  return items.map((item) => {
    const given = policies.find(({ party }) => party === numberOf(item));
    if (given === undefined || typeof item !== 'object') return item;
    return { ...item, aws: { ...awsOf(item), keyPolicy: given.hash } };
  });
}

function numberOf(item: unknown): number {
  const party: unknown = typeof item === 'object' && item !== null && 'party' in item ? item.party : undefined;
  return typeof party === 'number' ? party : 0;
}
