/**
 * A context that a request names, held against the governed record: governance alone says who a party is.
 *
 * Parties keep the numbers and addresses that the record gives them, so that one number is one party in every context.
 * Where their meshes listen stands in the record, too: what the request says about URLs and certificates is checked
 * for its form and not used. Spec: kms-service.md section 2.7.
 */
import type { GovernedRecord, RecordParty } from '../../attestation/governance/index.ts';
import { equalBytes, toHex } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import { type MpcNode, NewMpcContextRequestSchema, SigningSchemeType } from '../../proto/gen/kms_pb.js';
import { parseNewMpcContext } from '../../wire/validate/context.ts';
import { decodeRequest } from '../decode-request.ts';
import type { Context } from './contexts.ts';
import { thresholdOf } from './governed-context.ts';

/**
 * Reads a kms.v1.NewMpcContextRequest.
 *
 * @param me - This node's number by its charter.
 * @throws KmsError `REQUEST_INVALID` for a malformed request, for a number of nodes that is no quorum's, and naming every
 *   node that is not the party of its number in the record.
 */
export function requestedContext(body: Uint8Array, record: GovernedRecord, me: number): Context {
  const { contextId, nodes, threshold } = parseNewMpcContext(decodeRequest(NewMpcContextRequestSchema, body));
  if (thresholdOf(nodes.length) !== threshold) {
    throw new KmsError('REQUEST_INVALID', 'mpc_nodes needs 4, 7, 10 or 13 nodes', { n: nodes.length, threshold });
  }
  const parties = new Map(record.parties.map((party) => [party.party, party]));
  const judged = [...nodes].sort((a, b) => a.partyId - b.partyId).map((node) => judge(node, parties.get(node.partyId)));
  const faults = judged.flatMap((verdict) => ('fault' in verdict ? [verdict.fault] : []));
  if (faults.length > 0) {
    throw new KmsError('REQUEST_INVALID', `mpc_nodes must be parties of the governed record: ${faults.join('; ')}`);
  }
  const members = judged.flatMap((verdict) => ('address' in verdict ? [verdict] : []));
  return { contextId, t: threshold, nodes: members, party: members.some(({ party }) => party === me) ? me : 0 };
}

type Verdict =
  | { readonly fault: string }
  | { readonly party: number; readonly address: Uint8Array; readonly endpoint: string };

function judge(node: MpcNode, known: RecordParty | undefined): Verdict {
  const address = addressOf(node);
  const party = node.partyId;
  if (!known) return { fault: `party ${party} is not in the record` };
  if (!known.address) return { fault: `party ${party} is not enrolled in the record` };
  if (!address) return { fault: `party ${party} has neither signer_address nor an ECDSA digest` };
  if (!equalBytes(address, known.address)) {
    return { fault: `party ${party} is 0x${toHex(known.address)} in the record, not 0x${toHex(address)}` };
  }
  return { party, address: known.address, endpoint: known.endpoint ?? '' };
}

/** Both, where both are there, were found equal. */
function addressOf({ signerAddress, schemeDigests }: MpcNode): Uint8Array | undefined {
  return signerAddress ?? schemeDigests.find(({ scheme }) => scheme === SigningSchemeType.ECDSA256K1)?.digest;
}
