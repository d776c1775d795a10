/**
 * What one party is doing right now, asked of its own Core over the admin socket. Faults are what this party has seen of
 * others: local knowledge, shown and never forwarded.
 */
import type { PeerState, ThresholdInfo } from '../../../proto/gen/engine_pb.js';
import { type KmsClient, openKmsClient } from '../../grpc/client.ts';
import { GrpcError } from '../../grpc/status.ts';
import type { NodeFile } from '../supervise/node-file.ts';

/** A party that answered. */
export interface PartyStatus {
  readonly state: 'ready' | 'settling';
  /** Engines of other parties whose attestation this one has accepted, and itself. */
  readonly attested: number;
  readonly contexts: ThresholdInfo['contexts'];
  readonly epochs: ThresholdInfo['epochs'];
  readonly keyIds: readonly string[];
  readonly crsIds: readonly string[];
  /** Since the engine's start. */
  readonly publicDecryptions: number;
  readonly userDecryptions: number;
  /** Key sets that the parties hold no common key of, by this one's opening of zero. */
  readonly failedChecks: readonly { readonly keyId: string; readonly epochId: string }[];
  /** What was seen of others, by kind. */
  readonly faults: readonly { readonly party: number; readonly kind: string; readonly count: number }[];
}

/** A party that did not: it is down, starting or not what it should be. */
export interface SilentParty {
  readonly state: 'down';
  readonly reason: string;
}

const TIMEOUT_MS = 5000;

/** Asks a party; a party that does not answer is a result, not a failure. */
export async function readPartyStatus(node: Pick<NodeFile, 'adminSocket'>): Promise<PartyStatus | SilentParty> {
  if (node.adminSocket === undefined) return { state: 'down', reason: 'it has no admin socket' };
  const client = openKmsClient(`unix:${node.adminSocket}`);
  try {
    return await ask(client);
  } catch (error) {
    if (!(error instanceof GrpcError)) throw error;
    return { state: 'down', reason: `${error.explanation} (${error.statusName})` };
  } finally {
    client.close();
  }
}

async function ask(client: KmsClient): Promise<PartyStatus> {
  const options = { timeoutMs: TIMEOUT_MS };
  const [{ threshold, status }, { peers }, material] = await Promise.all([
    client.admin('GetQuorum', {}, options),
    client.admin('ListPeers', {}, options),
    client.call('GetKeyMaterialAvailability', {}, options),
  ]);
  return {
    state: threshold?.settled === true ? 'ready' : 'settling',
    attested: 1 + peers.filter((peer) => isOtherEngine(peer, threshold?.party ?? 0) && peer.attested).length,
    contexts: threshold?.contexts ?? [],
    epochs: threshold?.epochs ?? [],
    keyIds: material.fheKeyIds,
    crsIds: material.crsIds,
    publicDecryptions: Number(status?.publicDecryptions ?? 0n),
    userDecryptions: Number(status?.userDecryptions ?? 0n),
    failedChecks: status?.failedChecks ?? [],
    faults: peers.flatMap(({ party, faults }) =>
      faults.map(({ kind, count }) => ({ party, kind, count: Number(count) })),
    ),
  };
}

/** The Core lists its own engine too. */
function isOtherEngine({ role, party }: PeerState, own: number): boolean {
  return role === 'engine' && party !== own && party !== 0;
}
