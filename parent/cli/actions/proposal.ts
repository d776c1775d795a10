/**
 * What `arca proposal show|approve|apply|status` do.
 */
import { stat } from 'node:fs/promises';
import {
  approve,
  type Charter,
  encodeSigned,
  type Proposal,
  type ProposalKind,
  parseDigest,
  proposalDigest,
  proposalFor,
  proposalToJson,
  type Signed,
  unsignedProposal,
  withSignature,
} from '../../../attestation/governance/index.ts';
import { toHex } from '../../../common/bytes.ts';
import type { NodeSelection } from '../client/session.ts';
import { EXIT, failure, usageFailure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { describeApproval, proposalReport, type StatusReport } from '../governance/approval-report.ts';
import { readSigningKey } from '../governance/key-files.ts';
import { applyToNode, findProposal, type NodeProposal, readNodeGovernance } from '../governance/node-governance.ts';
import { readGoverned, readObject, writeNewFile } from '../governance/object-files.ts';

interface ProposalOptions extends NodeSelection {
  readonly charter?: string | undefined;
}

interface ApproveOptions extends ProposalOptions {
  readonly key: string;
  readonly kind?: ProposalKind | undefined;
  readonly out?: string | undefined;
  readonly force?: true | undefined;
}

/** `arca proposal show`. */
export async function runShow(subject: string, options: ProposalOptions, output: Output): Promise<void> {
  if (await isFile(subject)) {
    const { proposal, signed } = await readSubject(subject);
    const charter = await readCharter(options);
    report(proposal, charter && proposalReport(proposal, signed.approvals, charter), output);
    return;
  }
  const { proposal, signatures, needed, approved } = findProposal(await readNodeGovernance(options), subject);
  const status = { signatures, needed, complete: approved, signedBy: [], unknownKeys: [], invalidSignatures: [] };
  report(proposal, status, output);
}

/** `arca proposal approve`. */
export async function runApprove(subject: string, options: ApproveOptions, output: Output): Promise<void> {
  const key = await readSigningKey(options.key);
  if (await isFile(subject)) {
    const charter = await readCharter(options);
    const { proposal, signed } = await readSubject(subject);
    const approvals = withSignature(signed.approvals, approve(proposal, key, charter?.governance.keys));
    await writeNewFile(options.out ?? subject, encodeSigned({ ...signed, approvals }), isReplaced(options));
    report(proposal, charter && proposalReport(proposal, approvals, charter), output);
    return;
  }
  const { charter, proposal } = await namedProposal(subject, options);
  const approvals = [approve(proposal, key, charter.governance.keys)];
  const content = encodeSigned({ ...unsignedProposal(proposal), approvals });
  if (options.out !== undefined) {
    await writeNewFile(options.out, content, options.force === true);
    report(proposal, proposalReport(proposal, approvals, charter), output);
    return;
  }
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

/** A proposal named by its digest: of the node, or put together from kind and digest. */
async function namedProposal(
  subject: string,
  options: ApproveOptions,
): Promise<{ charter: Charter; proposal: Proposal }> {
  const charter = await readCharter(options);
  if (options.kind === undefined) {
    const node = await readNodeGovernance(options);
    return { charter: charter ?? node.charter, proposal: findProposal(node, subject).proposal };
  }
  if (!/^[0-9a-fA-F]{96}$/.test(subject)) {
    throw usageFailure(`'${subject}' is no file and no digest`, 'give a file, or the 96 hex digits of the subject');
  }
  const of = charter ?? (await readNodeGovernance(options)).charter;
  return { charter: of, proposal: { network: of.network, kind: options.kind, digest: parseDigest(subject) } };
}

function statusAt(node: { readonly proposals: readonly NodeProposal[] }, proposal: Proposal): StatusReport | undefined {
  const digest = toHex(proposalDigest(proposal));
  const found = node.proposals.find((candidate) => candidate.digest === digest);
  if (found === undefined) return undefined;
  const { signatures, needed, approved } = found;
  return { signatures, needed, complete: approved, signedBy: [], unknownKeys: [], invalidSignatures: [] };
}

async function readCharter({ charter }: ProposalOptions): Promise<Charter | undefined> {
  return charter === undefined ? undefined : await readObject(charter, 'charter');
}

/** Signing in place replaces the file that was read; another file only with --force. */
function isReplaced({ out, force }: ApproveOptions): boolean {
  return out === undefined || force === true;
}

async function isFile(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}
