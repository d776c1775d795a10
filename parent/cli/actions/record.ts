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
import { toHex } from '../../../common/bytes.ts';
import { formatAddress } from '../../../wire/addresses.ts';
import type { NodeSelection } from '../client/session.ts';
import { failure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { approvalReport, describeApproval, type StatusReport } from '../governance/approval-report.ts';
import { readPublicKey, readSigningKey } from '../governance/key-files.ts';
import { applyToNode, readNodeGovernance } from '../governance/node-governance.ts';
import { readJson, readObject, writeNewFile } from '../governance/object-files.ts';
import {
  parseParty,
  parseRootKey,
  readKeyPolicy,
  withKeyPolicies,
  withParties,
  withRootKeys,
} from '../governance/record-parties.ts';

interface ProposeOptions {
  readonly charter: string;
  readonly from?: string | undefined;
  readonly previous?: string | undefined;
  readonly releaseKey?: readonly string[] | undefined;
  readonly party?: readonly string[] | undefined;
  readonly rootKey?: readonly string[] | undefined;
  readonly keyPolicy?: readonly string[] | undefined;
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
  if (options.keyPolicy) {
    changed.parties = withKeyPolicies(changed.parties, await Promise.all(options.keyPolicy.map(readKeyPolicy)));
  }
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

function plainObject(value: unknown, path: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  throw failure('REQUEST_INVALID', `${path} holds no JSON object`, 'see docs/formats/governance.md');
}
