/**
 * Composes the confirmation of an engine's start out of its vault, its governance and its network. Nothing here is secret
 * but what the node's key closes over.
 */
import { charterDigest, charterFor } from '../../attestation/governance/index.ts';
import { certifyIdentity } from '../../attestation/mesh/identity.ts';
import type { Clock } from '../../common/clock.ts';
import { KmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type { RandomSource } from '../../common/random.ts';
import type { NodeKey } from '../../native/engine/index.ts';
import { idBytes, type RequestId } from '../../wire/ids.ts';
import { thresholdOf } from '../contexts/governed-context.ts';
import type { GovernanceMemory } from '../governance/governance-memory.ts';
import type { EngineMesh } from '../mesh/engine-mesh.ts';
import type { PeerNetwork } from '../peers/peer-network.ts';
import type { ManifestHead } from '../seal/manifest-head.ts';
import { systemQuorumTimers } from '../threshold/quorum-links.ts';
import { applyRestart } from './apply-restart.ts';
import { ConfirmStart, type StartReport } from './confirm-start.ts';
import { OwnStart } from './own-start.ts';
import { type PartyLookup, PeerMemory } from './peer-memory.ts';
import type { StartGate } from './start-gate.ts';

/** What it is made of. */
export interface OpenStartOptions {
  /** The vault's manifest, moved by this start. */
  readonly head: ManifestHead;
  readonly key: NodeKey;
  readonly governance: GovernanceMemory;
  readonly mesh: EngineMesh;
  readonly network: Pick<PeerNetwork, 'channel'>;
  readonly incarnation: number;
  /** The newest epoch that the engine holds. */
  readonly epoch: () => RequestId | undefined;
  readonly random: RandomSource;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A start on its way to being confirmed. */
export interface OpenedStart {
  readonly gate: StartGate;
  /** Begins to tell the other parties, and to acknowledge theirs. */
  begin(): void;
  report(): StartReport;
  /** The own record as the others get it; undefined before it was made. */
  readonly record: Uint8Array | undefined;
  /** Records of the others that the vault remembers. */
  remembered(): readonly Uint8Array[];
  /** Number of the last restart of the quorum; 0 before the first. */
  readonly restartNumber: number;
  /** Takes governance's word that the quorum goes on. @throws KmsError as {@link applyRestart}. */
  restart(encoded: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

const CHANNEL = 'start';
const NONCE_BYTES = 32;

/**
 * See the file comment. From now on the vault's objects stay as they are, until the start is confirmed.
 *
 * @throws KmsError `STATE_INVALID` if what the vault remembers of other parties cannot be read.
 */
export async function openStart(options: OpenStartOptions): Promise<OpenedStart> {
  const { head, key, governance, mesh, network, incarnation, epoch, random, clock, log } = options;
  const { book } = governance;
  const { charter } = book;
  const { party: me } = charter;
  const parties: PartyLookup = (party) => {
    const address = book.record?.body.parties.find((entry) => entry.party === party)?.address;
    return address && { address, charterDigest: charterDigest(charterFor(charter, party)) };
  };
  const memory = PeerMemory.read(head.memory, parties);
  const nonce = random(NONCE_BYTES);
  memory.begin(nonce);
  const manifest = head.point;
  if (manifest === undefined) throw new KmsError('INTERNAL', 'a start moves the manifest before it is confirmed');
  const claim = {
    network: charter.network,
    party: me,
    purpose: 'record',
    key: key.purposePublicKey('record'),
  } as const;
  const certificate = await certifyIdentity(claim, (digest) => key.signDigest(digest));
  const own = new OwnStart({
    charterDigest: charterDigest(charter),
    party: me,
    incarnation,
    nonce,
    manifest,
    base: memory.base,
    signer: { certificate, sign: (digest) => key.signPurpose('record', digest) },
    facts: () => {
      const newest = epoch();
      return {
        releases: book.versions.releases,
        record: book.versions.record,
        context: mesh.endpoint.self.context,
        epoch: newest && idBytes(newest),
        source: head.source,
      };
    },
    leaf: async () => (await mesh.endpoint.leaf()).sha256,
  });
  const numbers = (): readonly number[] => book.record?.body.parties.map(({ party }) => party) ?? [];
  const channel = network.channel(CHANNEL);
  const confirm = new ConfirmStart({
    me,
    others: () => numbers().filter((party) => party !== me),
    t: () => thresholdOf(numbers().length) ?? Number.POSITIVE_INFINITY,
    own,
    memory,
    head,
    channel,
    shown: (party) =>
      mesh.endpoint
        .connections()
        .filter(({ peer }) => peer.role === 'engine' && peer.party === party)
        .map(({ peer }) => ({ leaf: peer.leafSha256, incarnation: peer.incarnation })),
    noteIncarnation: (party, least) => mesh.endpoint.view.noteIncarnation(party, least),
    onReleased: () => {
      governance.mayWrite().catch(() => undefined); // it has told the log
    },
    timers: systemQuorumTimers(() => clock.monotonicMs()),
    log,
  });
  return {
    gate: confirm.state,
    begin: () => confirm.begin(),
    report: () => confirm.report(),
    get record() {
      return own.current?.bytes;
    },
    remembered: () => memory.all().map(({ bytes }) => bytes),
    get restartNumber() {
      return memory.reshareDue?.number ?? 0;
    },
    restart: (encoded) => applyRestart(encoded, { governance, memory, own, confirm }),
    close: async () => {
      await confirm.close();
      channel.close();
    },
  };
}
