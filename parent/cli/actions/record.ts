/**
 * What `arca record propose|sign|show|apply` do.
 */
import {
  bodyDigest,
  encodeSigned,
  type GovernedRecord,
  makeRecord,
  proposalDigest,
  proposalFor,
  type RecordParty,
  recordFromJson,
  recordToJson,
  type Signed,
  signedToJson,
  withApproval,
} from '../../../attestation/governance/index.ts';
import { fromHex, toHex } from '../../../common/bytes.ts';
import { formatAddress } from '../../../wire/addresses.ts';
import type { NodeSelection } from '../client/session.ts';
import { failure, usageFailure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { approvalReport, describeApproval, type StatusReport } from '../governance/approval-report.ts';
import { readPublicKey, readSigningKey } from '../governance/key-files.ts';
import { applyToNode, readNodeGovernance } from '../governance/node-governance.ts';
import { parseNumber } from '../governance/numbers.ts';
import { readJson, readObject, writeNewFile } from '../governance/object-files.ts';

interface ProposeOptions {
  readonly charter: string;
  readonly from?: string | undefined;
  readonly previous?: string | undefined;
  readonly releaseKey?: readonly string[] | undefined;
  readonly party?: readonly string[] | undefined;
  readonly rootKey?: readonly string[] | undefined;
  readonly context?: string | undefined;
  readonly policy?: string | undefined;
  readonly out: string;
  readonly force?: true | undefined;
}

/** `arca record propose`. */
export async function runPropose(options: ProposeOptions, output: Output): Promise<void> {
  const charter = await readObject(options.charter, 'charter');
  const previous = options.previous === undefined ? undefined : (await readObject(options.previous, 'record')).body;
  const version = (previous?.version ?? 0) + 1;
  const given = options.from === undefined ? {} : plainObject(await readJson(options.from), options.from);
  const base = previous === undefined ? {} : recordToJson(previous);
  const changed: Record<string, unknown> = {
    authorizationPolicy: 'published',
    ...base,
    version,
    network: charter.network,
    ...given,
  };
  if (options.releaseKey) changed.releaseKeys = (await Promise.all(options.releaseKey.map(readPublicKey))).map(toHex);
  if (options.context !== undefined) changed.context = options.context;
  if (options.policy !== undefined) changed.authorizationPolicy = options.policy;
  if (options.party) changed.parties = withParties(changed.parties, options.party.map(parseParty));
  if (options.rootKey) changed.parties = withRootKeys(changed.parties, options.rootKey.map(parseRootKey));
  const record = makeRecord(recordFromJson(changed));
  checkFollows(record.body, previous, charter.network);
  await writeNewFile(options.out, encodeSigned(record), options.force === true);
  report(record, output, approvalReport('record', record, charter));
}

/** `arca record sign`. */
export async function runSign(
  file: string,
  options: { readonly key: string; readonly charter: string },
  output: Output,
): Promise<void> {
  const charter = await readObject(options.charter, 'charter');
  const record = await readObject(file, 'record');
  if (record.body.network !== charter.network) throw otherNetwork(record.body.network, charter.network);
  const signed = withApproval('record', record, await readSigningKey(options.key), charter.governance.keys);
  await writeNewFile(file, encodeSigned(signed), true);
  report(signed, output, approvalReport('record', signed, charter));
}

/** `arca record show`. */
export async function runShow(
  file: string | undefined,
  options: NodeSelection & { readonly charter?: string | undefined },
  output: Output,
): Promise<void> {
  const node = file === undefined ? await readNodeGovernance(options) : undefined;
  const record = file === undefined ? node?.record : await readObject(file, 'record');
  if (record === undefined)
    throw failure('NOT_FOUND', 'the node holds no governed record', 'hand it one: arca record apply FILE');
  const charter = options.charter === undefined ? node?.charter : await readObject(options.charter, 'charter');
  report(record, output, charter && approvalReport('record', record, charter));
}

/** `arca record apply`. */
export async function runApply(file: string, options: NodeSelection, output: Output): Promise<void> {
  const record = await readObject(file, 'record');
  const node = await applyToNode(options, { kind: 'record', content: encodeSigned(record) });
  const version = node.record?.body.version ?? 0;
  output.result({ applied: true, version, digest: toHex(bodyDigest(record)) }, `ok: the node holds record ${version}`);
}

function report(record: Signed<GovernedRecord>, output: Output, status: StatusReport | undefined): void {
  const digest = toHex(bodyDigest(record));
  const proposal = toHex(proposalDigest(proposalFor('record', record)));
  const { body } = record;
  const lines = [
    `governed record ${body.version} of network ${body.network}`,
    `  release keys  ${body.releaseKeys.map(toHex).join('\n                ')}`,
    ...body.parties.flatMap(describeParty),
    `  context       ${toHex(body.context)}`,
    `  policy        ${body.authorizationPolicy}`,
    `  domains       ${describeDomains(body)}`,
    `  digest        ${digest}`,
    `  proposal      ${proposal}`,
    ...(status === undefined ? [] : describeApproval(status)),
  ];
  output.result(
    { record: signedToJson(record, recordToJson), digest, proposalDigest: proposal, ...(status && { status }) },
    lines.join('\n'),
  );
}

function describeParty({ party, address, endpoint, aws }: RecordParty): string[] {
  const name = address === undefined ? 'not enrolled' : formatAddress(address);
  const key = (what: string, arn: string | undefined): string[] => (arn === undefined ? [] : [`    ${what} ${arn}`]);
  return [
    `  party ${String(party).padEnd(8)}${name} ${endpoint ?? ''}`,
    ...key('primary key ', aws?.primaryKeyId),
    ...key('backup key  ', aws?.backupKeyId),
    ...key('previous key', aws?.previousKeyId),
    ...key('key policy  ', aws?.keyPolicy && toHex(aws.keyPolicy)),
  ];
}

function describeDomains({ eip712Domains }: GovernedRecord): string {
  if (eip712Domains === undefined) return 'any';
  if (eip712Domains.length === 0) return 'none';
  return eip712Domains.map(({ name, chainId }) => `${name} on chain ${chainId}`).join(', ');
}

function checkFollows(record: GovernedRecord, previous: GovernedRecord | undefined, network: string): void {
  if (record.network !== network) throw otherNetwork(record.network, network);
  if (previous === undefined || record.version > previous.version) return;
  throw failure(
    'REQUEST_INVALID',
    `version ${record.version} does not come after ${previous.version}`,
    'leave the version out of --from: it is counted up',
  );
}

function otherNetwork(found: string, wanted: string) {
  return failure(
    'REQUEST_INVALID',
    `the record is of network ${found}, the charter of ${wanted}`,
    'give the charter of its network',
  );
}

/** `2=0x6370…@host:port`; address and endpoint may both be absent. */
function parseParty(text: string): Omit<RecordParty, 'address'> & { readonly address?: string } {
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
function parseRootKey(text: string): { readonly party: number; readonly aws: Readonly<Record<string, string>> } {
  const match = /^(\d{1,4})=(arn:[^,]+)(?:,(arn:[^,]+))?$/.exec(text);
  if (!match) throw usageFailure(`'${text}' names no root key`, 'write NUMBER=ARN or NUMBER=ARN,ARN-OF-THE-BACKUP-KEY');
  const [, party = '', primaryKeyId = '', backupKeyId] = match;
  const [, , , region = '', account = ''] = primaryKeyId.split(':');
  const aws = { account, region, primaryKeyId, ...(backupKeyId === undefined ? {} : { backupKeyId }) };
  return { party: parseNumber(party, '--root-key'), aws };
}

/** The address and endpoint of a party change; its keys of AWS KMS stay. */
function withParties(before: unknown, parties: readonly { readonly party: number }[]): unknown[] {
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
function withRootKeys(before: unknown, keys: readonly ReturnType<typeof parseRootKey>[]): unknown[] {
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

function numberOf(item: unknown): number {
  const party: unknown = typeof item === 'object' && item !== null && 'party' in item ? item.party : undefined;
  return typeof party === 'number' ? party : 0;
}

function plainObject(value: unknown, path: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  throw failure('REQUEST_INVALID', `${path} holds no JSON object`, 'see docs/formats/governance.md');
}
