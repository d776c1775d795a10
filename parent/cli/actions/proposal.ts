/**
 * What `arca proposal show|approve|apply|status` do.
 */
import { stat } from 'node:fs/promises';
import {
  approve,
  type Charter,
  encodeSigned,
  type Proposal,
  proposalDigest,
  proposalFor,
  proposalToJson,
  type Signed,
  unsignedProposal,
  withSignature,
} from '../../../attestation/governance/index.ts';
import { toHex } from '../../../common/bytes.ts';
import type { NodeSelection } from '../client/session.ts';
import { EXIT, failure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { describeApproval, proposalReport, type StatusReport } from '../governance/approval-report.ts';
import { readSigningKey } from '../governance/key-files.ts';
import { applyToNode, findProposal, type NodeProposal, readNodeGovernance } from '../governance/node-governance.ts';
import { readGoverned, readObject, writeNewFile } from '../governance/object-files.ts';

interface ProposalOptions extends NodeSelection {
  readonly charter?: string | undefined;
}

interface ShowOptions extends ProposalOptions {
  readonly out?: string | undefined;
  readonly force?: true | undefined;
}

interface ApproveOptions extends ProposalOptions {
  readonly key: string;
}

/** `arca proposal show`. */
export async function runShow(subject: string, options: ShowOptions, output: Output): Promise<void> {
  const { proposal, status } = await lookUp(subject, options);
  if (options.out !== undefined) {
    await writeNewFile(options.out, encodeSigned(unsignedProposal(proposal)), options.force === true);
  }
  report(proposal, status, output);
}

/** `arca proposal approve`. */
export async function runApprove(subject: string, options: ApproveOptions, output: Output): Promise<void> {
  const key = await readSigningKey(options.key);
  const charter = await readCharter(options);
  if (await isFile(subject)) {
    const { proposal, signed } = await readSubject(subject);
    checkNetwork(proposal, charter);
    const approvals = withSignature(signed.approvals, approve(proposal, key, charter?.governance.keys));
    await writeNewFile(subject, encodeSigned({ ...signed, approvals }), true);
    report(proposal, charter && proposalReport(proposal, approvals, charter), output);
    return;
  }
  const node = await readNodeGovernance(options);
  const { proposal } = findProposal(node, subject);
  checkNetwork(proposal, charter);
  const approvals = [approve(proposal, key, (charter ?? node.charter).governance.keys)];
  const content = encodeSigned({ ...unsignedProposal(proposal), approvals });
  report(proposal, statusAt(await applyToNode(options, { kind: 'proposal', content }), proposal), output);
}

/** `arca proposal apply`. */
export async function runApply(file: string, options: NodeSelection, output: Output): Promise<void> {
  const signed = await readObject(file, 'proposal');
  const node = await applyToNode(options, { kind: 'proposal', content: encodeSigned(signed) });
  report(signed.body, statusAt(node, signed.body), output);
}

/** `arca proposal status`. */
export async function runStatus(file: string | undefined, options: ProposalOptions, output: Output): Promise<void> {
  if (file === undefined) {
    listProposals((await readNodeGovernance(options)).proposals, output);
    return;
  }
  const { proposal, signed } = await readSubject(file);
  const charter = (await readCharter(options)) ?? (await readNodeGovernance(options)).charter;
  const status = proposalReport(proposal, signed.approvals, charter);
  report(proposal, status, output);
  if (!status.complete) process.exitCode = EXIT.failed;
}

function listProposals(proposals: readonly NodeProposal[], output: Output): void {
  const rows = proposals.map(({ proposal, digest, signatures, needed, approved }) => ({
    kind: proposal.kind,
    digest,
    subject: toHex(proposal.digest),
    signatures,
    needed,
    approved,
  }));
  const lines = rows.map(
    ({ kind, digest, signatures, needed, approved }) =>
      `${approved ? 'approved' : 'waiting '}  ${signatures}/${needed}  ${kind.padEnd(17)}  ${digest}`,
  );
  output.result({ proposals: rows }, lines.length === 0 ? 'the node knows of no proposal' : lines.join('\n'));
}

function report(proposal: Proposal, status: StatusReport | undefined, output: Output): void {
  const digest = toHex(proposalDigest(proposal));
  const lines = [
    `proposal of a ${proposal.kind} for network ${proposal.network}`,
    `  subject       ${toHex(proposal.digest)}`,
    `  digest        ${digest}`,
    ...(status === undefined ? [] : describeApproval(status)),
  ];
  output.result({ proposal: proposalToJson(proposal), digest, ...(status && { status }) }, lines.join('\n'));
}

/** The proposal that a file is, or is about, and the signed object in it. */
async function readSubject(path: string): Promise<{ proposal: Proposal; signed: Signed<unknown> }> {
  const file = await readGoverned(path);
  switch (file.kind) {
    case 'proposal':
      return { proposal: file.object.body, signed: file.object };
    case 'record':
    case 'release-set':
      return { proposal: proposalFor(file.kind, file.object), signed: file.object };
    case 'charter':
      throw failure(
        'REQUEST_INVALID',
        `${path} holds a charter, which nobody signs`,
        'a charter never changes; peers and key policies name its digest',
      );
  }
}

/** The proposal of a file, or the one of the node with this digest. */
async function lookUp(
  subject: string,
  options: ProposalOptions,
): Promise<{ proposal: Proposal; status: StatusReport | undefined }> {
  if (await isFile(subject)) {
    const { proposal, signed } = await readSubject(subject);
    const charter = await readCharter(options);
    return { proposal, status: charter && proposalReport(proposal, signed.approvals, charter) };
  }
  const node = await readNodeGovernance(options);
  const { proposal } = findProposal(node, subject);
  return { proposal, status: statusAt(node, proposal) };
}

function statusAt(node: { readonly proposals: readonly NodeProposal[] }, proposal: Proposal): StatusReport | undefined {
  const digest = toHex(proposalDigest(proposal));
  const found = node.proposals.find((candidate) => candidate.digest === digest);
  if (found === undefined) return undefined;
  const { signatures, needed, approved } = found;
  return { signatures, needed, complete: approved, signedBy: [], unknownKeys: [], invalidSignatures: [] };
}

/** Whoever names a charter means its network, and signs for no other. */
function checkNetwork(proposal: Proposal, charter: Charter | undefined): void {
  if (charter === undefined || charter.network === proposal.network) return;
  const what = `the proposal is of network ${proposal.network}, the charter of ${charter.network}`;
  throw failure('REQUEST_INVALID', what, 'give the charter of its network');
}

async function readCharter({ charter }: ProposalOptions): Promise<Charter | undefined> {
  return charter === undefined ? undefined : await readObject(charter, 'charter');
}

async function isFile(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}
