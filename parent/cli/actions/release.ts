/**
 * What `arca release sign|show|check|apply` do.
 */
import {
  bodyDigest,
  type Charter,
  encodeSigned,
  expiryBanner,
  type GovernedRecord,
  proposalDigest,
  proposalFor,
  type ReleaseSet,
  releaseSetToJson,
  releaseSignatureStatus,
  releaseWarnings,
  type Signed,
  signedToJson,
  signReleaseSet,
} from '../../../attestation/governance/index.ts';
import { toHex } from '../../../common/bytes.ts';
import { systemClock } from '../../../common/clock.ts';
import { withAdmin } from '../client/admin-client.ts';
import type { NodeSelection } from '../client/session.ts';
import { EXIT, failure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { approvalReport, describeApproval, releaseReport, type StatusReport } from '../governance/approval-report.ts';
import { readChecked } from '../governance/checked.ts';
import { readSigningKey } from '../governance/key-files.ts';
import { applyToNode, readNodeGovernance } from '../governance/node-governance.ts';
import { readObject, writeNewFile } from '../governance/object-files.ts';
import { describeSet } from '../governance/release-report.ts';

interface Trust {
  readonly charter?: string | undefined;
  readonly record?: string | undefined;
}

/** `arca release sign`. */
export async function runSign(file: string, options: Trust & { readonly key: string }, output: Output): Promise<void> {
  const set = await readObject(file, 'release-set');
  const { record } = await readTrust(options);
  if (record !== undefined && record.network !== set.body.network) {
    throw failure('REQUEST_INVALID', 'set and record are of two networks', 'give the record of the network of the set');
  }
  const signed = signReleaseSet(set, await readSigningKey(options.key), record?.releaseKeys);
  await writeNewFile(file, encodeSigned(signed), true);
  report(signed, statusesOf(signed, { record, charter: undefined }), output);
}

/** `arca release show`. */
export async function runShow(file: string | undefined, options: NodeSelection & Trust, output: Output): Promise<void> {
  if (file !== undefined) {
    const set = await readObject(file, 'release-set');
    report(set, statusesOf(set, await readTrust(options)), output);
    return;
  }
  const { releases, pending, record, charter } = await readNodeGovernance(options);
  if (releases === undefined) {
    throw failure('NOT_FOUND', 'the node has no release set in force', 'hand it one: arca release apply FILE');
  }
  const trust = { charter, record: record?.body };
  const nowMs = systemClock.nowMs();
  const from = pending && new Date(pending.effectiveFromMs).toISOString();
  const lines = [`in force: ${describeSet(releases, nowMs)}`];
  if (pending !== undefined) lines.push(`pending until ${from}: ${describeSet(pending.set, nowMs)}`);
  output.result(
    {
      ...factsOf(releases, statusesOf(releases, trust)),
      ...(pending && { pending: { ...factsOf(pending.set, statusesOf(pending.set, trust)), effectiveFrom: from } }),
    },
    lines.join('\n'),
  );
}

/** `arca release check`. */
export async function runCheck(
  file: string,
  options: Trust & { readonly previous?: string | undefined },
  output: Output,
): Promise<void> {
  const set = await readChecked(file, 'release-set', output);
  if (set === undefined) return;
  const trust = await readTrust(options);
  const statuses = statusesOf(set, trust);
  const nowMs = systemClock.nowMs();
  const faults = [
    ...networkFaults(set.body, trust),
    ...recordFaults(trust),
    ...(statuses.releaseKeys && !isEnough(statuses.releaseKeys) ? [lacks('release keys', statuses.releaseKeys)] : []),
    ...(statuses.governance && !isEnough(statuses.governance) ? [lacks('governance keys', statuses.governance)] : []),
    ...(options.previous === undefined ? [] : versionFaults(set, await readObject(options.previous, 'release-set'))),
  ];
  const unchecked = [
    ...(trust.record === undefined ? ['release signatures (give --record)'] : []),
    ...(trust.charter === undefined ? ["governance's approval of set and record (give --charter)"] : []),
  ];
  for (const what of unchecked) output.note(`not checked: ${what}`);
  for (const text of expiryBanner(releaseWarnings(set.body, nowMs))) output.warn(text);
  if (set.body.entries.length === 0) output.warn('the set has no entries: under it nobody trusts anybody');
  const verdict =
    faults.length === 0 ? `ok: ${describeSet(set, nowMs)}` : faults.map((fault) => `fault: ${fault}`).join('\n');
  output.result({ ok: faults.length === 0, faults, unchecked, ...factsOf(set, statuses) }, verdict);
  if (faults.length > 0) process.exitCode = EXIT.failed;
}

/** Says which processes of the node run a release that a set does not list: they are refused once it is in force. */
async function cutOffs(options: NodeSelection, { entries }: ReleaseSet): Promise<string[]> {
  const peers = await withAdmin(options, (admin) => admin.listPeers());
  return peers
    .filter(({ release }) => release !== '')
    .filter(({ role, release }) => !entries.some((entry) => entry.role === role && entry.release === release))
    .map(({ role, release }) => `the set does not list release ${release}, which the ${role} runs: it will be cut off`);
}

/** `arca release apply`. */
export async function runApply(file: string, options: NodeSelection, output: Output): Promise<void> {
  const set = await readObject(file, 'release-set');
  for (const text of await cutOffs(options, set.body)) output.warn(text);
  const { releases, pending } = await applyToNode(options, { kind: 'release-set', content: encodeSigned(set) });
  const digest = toHex(bodyDigest(set));
  const { version } = set.body;
  if (pending !== undefined && toHex(bodyDigest(pending.set)) === digest) {
    const effectiveFrom = new Date(pending.effectiveFromMs).toISOString();
    output.result(
      { state: 'pending', version, digest, effectiveFrom },
      `ok: release set ${version} holds from ${effectiveFrom}`,
    );
    return;
  }
  const state = releases !== undefined && toHex(bodyDigest(releases)) === digest ? 'in-force' : 'superseded';
  output.result({ state, version, digest }, `ok: release set ${version} is ${state.replace('-', ' ')}`);
}

interface Statuses {
  readonly releaseKeys: StatusReport | undefined;
  readonly governance: StatusReport | undefined;
}

interface TrustObjects {
  readonly charter: Charter | undefined;
  readonly record: GovernedRecord | undefined;
  /** The record with its signatures, where it came from a file. */
  readonly signedRecord?: Signed<GovernedRecord> | undefined;
}

async function readTrust(options: Trust): Promise<TrustObjects> {
  const charter = options.charter === undefined ? undefined : await readObject(options.charter, 'charter');
  const signedRecord = options.record === undefined ? undefined : await readObject(options.record, 'record');
  return { charter, record: signedRecord?.body, signedRecord };
}

function statusesOf(set: Signed<ReleaseSet>, { charter, record }: TrustObjects): Statuses {
  return {
    releaseKeys: record && releaseReport(releaseSignatureStatus(set, record)),
    governance: charter && approvalReport('release-set', set, charter),
  };
}

function factsOf(set: Signed<ReleaseSet>, { releaseKeys, governance }: Statuses) {
  return {
    releaseSet: signedToJson(set, releaseSetToJson),
    digest: toHex(bodyDigest(set)),
    proposalDigest: toHex(proposalDigest(proposalFor('release-set', set))),
    warnings: releaseWarnings(set.body, systemClock.nowMs()),
    ...(releaseKeys && { releaseKeys }),
    ...(governance && { governance }),
  };
}

function report(set: Signed<ReleaseSet>, statuses: Statuses, output: Output): void {
  const lines = [
    describeSet(set, systemClock.nowMs()),
    ...(statuses.releaseKeys ? describeApproval(statuses.releaseKeys, 'release keys') : []),
    ...(statuses.governance ? describeApproval(statuses.governance) : []),
  ];
  output.result(factsOf(set, statuses), lines.join('\n'));
}

function lacks(who: string, { signatures, needed, unknownKeys, invalidSignatures }: StatusReport): string {
  const ignored = [
    ...unknownKeys.map((key) => `${key} is not one of them`),
    ...invalidSignatures.map((key) => `the signature of ${key} does not verify`),
  ];
  const why = ignored.length === 0 ? '' : ` (${ignored.join('; ')})`;
  return `needs the signatures of ${needed} ${who}, has ${signatures}${why}`;
}

/** Networks are another fault. */
function isEnough({ signatures, needed }: StatusReport): boolean {
  return signatures >= needed;
}

/** The record says whose signatures count, so anybody's record would make anybody's set good. */
function recordFaults({ charter, signedRecord }: TrustObjects): string[] {
  if (charter === undefined || signedRecord === undefined) return [];
  const status = approvalReport('record', signedRecord, charter);
  return [
    ...(signedRecord.body.network === charter.network
      ? []
      : [`the record is of network ${signedRecord.body.network}, the charter of ${charter.network}`]),
    ...(isEnough(status) ? [] : [`the record ${lacks('governance keys', status)}`]),
  ];
}

function networkFaults(set: ReleaseSet, { charter, record }: TrustObjects): string[] {
  return [
    ...(charter && charter.network !== set.network
      ? [`is of network ${set.network}, the charter of ${charter.network}`]
      : []),
    ...(record && record.network !== set.network
      ? [`is of network ${set.network}, the record of ${record.network}`]
      : []),
  ];
}

function versionFaults(set: Signed<ReleaseSet>, previous: Signed<ReleaseSet>): string[] {
  const { version } = set.body;
  if (version > previous.body.version) return [];
  if (version < previous.body.version)
    return [`version ${version} is older than ${previous.body.version}: no node goes back`];
  const isSame = toHex(bodyDigest(set)) === toHex(bodyDigest(previous));
  return isSame ? [] : [`another set has version ${version} already, with digest ${toHex(bodyDigest(previous))}`];
}
