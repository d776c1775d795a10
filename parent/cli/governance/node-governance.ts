/**
 * What a node's engine holds of governance, read back from its bytes: the CLI believes signatures, not the node's words.
 */
import {
  type Charter,
  decodeCharter,
  decodeSignedRecord,
  decodeSignedReleaseSet,
  type GovernanceOffer,
  type GovernedRecord,
  isProposalKind,
  type Proposal,
  proposalDigest,
  type ReleaseSet,
  type Signed,
} from '../../../attestation/governance/index.ts';
import { toHex } from '../../../common/bytes.ts';
import type { GovernanceState } from '../../../proto/gen/engine_pb.js';
import { withAdmin } from '../client/admin-client.ts';
import type { NodeSelection } from '../client/session.ts';
import { failure } from '../framework/failure.ts';

/** A proposal as the node's engine counts it. */
export interface NodeProposal {
  readonly proposal: Proposal;
  /** Hexadecimal digest that governance signs. */
  readonly digest: string;
  readonly signatures: number;
  readonly needed: number;
  readonly approved: boolean;
}

/** What a node holds. */
export interface NodeGovernance {
  readonly charter: Charter;
  readonly record: Signed<GovernedRecord> | undefined;
  readonly releases: Signed<ReleaseSet> | undefined;
  readonly pending: { readonly set: Signed<ReleaseSet>; readonly effectiveFromMs: number } | undefined;
  readonly proposals: readonly NodeProposal[];
  readonly incarnation: number;
}

/** Asks the selected node. */
export async function readNodeGovernance(selection: NodeSelection): Promise<NodeGovernance> {
  return await withAdmin(selection, async (admin) => fromState(await admin.getGovernance()));
}

/** Hands an object to the selected node, whose engine checks it; returns what then holds. */
export async function applyToNode(selection: NodeSelection, offer: GovernanceOffer): Promise<NodeGovernance> {
  return await withAdmin(selection, async (admin) => fromState(await admin.putGovernance(offer)));
}

/**
 * Finds a proposal of the node by its digest, by that of its subject, or by the first eight or more digits of either.
 *
 * @throws {@link KmsError} `NOT_FOUND` if there is none or more than one.
 */
export function findProposal({ proposals }: Pick<NodeGovernance, 'proposals'>, text: string): NodeProposal {
  const wanted = text.toLowerCase();
  const isDigits = /^[0-9a-f]{8,96}$/.test(wanted);
  const found = proposals.filter(
    ({ digest, proposal }) => isDigits && (digest.startsWith(wanted) || toHex(proposal.digest).startsWith(wanted)),
  );
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  const what =
    found.length === 0 ? 'no file and no proposal of the node has' : 'more than one proposal of the node has';
  throw failure('NOT_FOUND', `${what} the name ${text}`, "'arca proposal status' lists what the node knows of");
}

function fromState(state: GovernanceState): NodeGovernance {
  const charter = decodeCharter(state.charter);
  const set = (bytes: Uint8Array) => (bytes.byteLength === 0 ? undefined : decodeSignedReleaseSet(bytes));
  const pending = set(state.pendingReleases);
  return {
    charter,
    record: state.record.byteLength === 0 ? undefined : decodeSignedRecord(state.record),
    releases: set(state.releases),
    pending: pending && { set: pending, effectiveFromMs: Number(state.pendingFromMs) },
    proposals: state.proposals.flatMap(({ kind, digest, signatures, needed, inForce }) => {
      if (!isProposalKind(kind)) return [];
      const proposal: Proposal = { network: charter.network, kind, digest };
      return [{ proposal, digest: toHex(proposalDigest(proposal)), signatures, needed, approved: inForce }];
    }),
    incarnation: Number(state.incarnation),
  };
}
