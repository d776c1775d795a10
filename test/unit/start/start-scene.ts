/**
 * Parties of one quorum that confirm each other's starts, in one process: real manifests over memory storage, real keys and
 * signatures, a simulated network, virtual time.
 *
 * @example
 * const quorum = startScene(t, 4);
 * await quorum.startAll();
 * await quorum.run();
 */
import { createHash } from 'node:crypto';
import { charterDigest } from '../../../attestation/governance/index.ts';
import { certifyIdentity } from '../../../attestation/mesh/identity.ts';
import type { StartSigner } from '../../../attestation/start/start-record.ts';
import { systemRandom } from '../../../common/random.ts';
import { type ManifestPoint, manifestSigner, peekManifest } from '../../../enclave/seal/manifest.ts';
import { ManifestHead } from '../../../enclave/seal/manifest-head.ts';
import { ConfirmStart } from '../../../enclave/start/confirm-start.ts';
import { OwnStart } from '../../../enclave/start/own-start.ts';
import { type KnownParty, PeerMemory } from '../../../enclave/start/peer-memory.ts';
import type { QuorumListener } from '../../../enclave/threshold/quorum-links.ts';
import { NodeKey } from '../../../native/engine/index.ts';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import type { Storage } from '../../../storage/storage.ts';
import { present } from '../../helpers/present.ts';
import type { Teardown } from '../../helpers/temp-dir.ts';
import { testCharter } from './start-values.ts';

/** A party that runs. */
export interface RunningParty {
  readonly party: number;
  readonly head: ManifestHead;
  readonly memory: PeerMemory;
  readonly start: ConfirmStart;
  readonly own: OwnStart;
  readonly incarnation: number;
  readonly nonce: Uint8Array;
  /** Gets a new certificate; its connections were made with the one before. */
  newCertificate(): void;
  /** Events of its log. */
  readonly log: readonly string[];
  stop(): Promise<void>;
}

/** Virtual time of all parties. */
class VirtualTime {
  nowMs = 0;
  #queue: { atMs: number; run: () => void }[] = [];
  readonly timers = {
    monotonicMs: (): number => this.nowMs,
    at: (atMs: number, run: () => void): (() => void) => {
      const entry = { atMs, run };
      this.#queue.push(entry);
      return () => {
        this.#queue = this.#queue.filter((other) => other !== entry);
      };
    },
    soon: (run: () => void): void => void setImmediate(run),
  };

  /** Lets everything happen that happens within so long. */
  async pass(ms: number): Promise<void> {
    const endMs = this.nowMs + ms;
    for (;;) {
      await settle();
      const next = this.#queue.sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined || next.atMs > endMs) break;
      this.#queue.shift();
      this.nowMs = Math.max(this.nowMs, next.atMs);
      next.run();
    }
    this.nowMs = endMs;
  }
}

/** Storage and hashes in memory take a few turns of the loop, and no time. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 60; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Makes a quorum of n; nothing runs yet. */
export function startScene(t: Teardown, n: number) {
  const time = new VirtualTime();
  const parties = Array.from({ length: n }, (_, index) => index + 1);
  const keys = new Map(parties.map((party) => [party, NodeKey.generate()]));
  t.teardown(() => {
    for (const key of keys.values()) key.dispose();
  });
  const known = new Map<number, KnownParty>(
    parties.map((party) => {
      const digest = charterDigest(testCharter(party));
      return [party, { address: present(keys.get(party)).address, charterDigest: digest }];
    }),
  );
  const storages = new Map<number, Storage>(parties.map((party) => [party, openMemoryStorage()]));
  const running = new Map<number, RunningParty & { listener: QuorumListener | undefined; leaf: Uint8Array }>();
  /** Sees each frame on its way, and may change or swallow it. */
  let onWay = (_from: number, _to: number, frame: Uint8Array): Uint8Array | undefined => frame;
  const dropped: string[] = [];
  /** Below which starts whose connections are dropped, as each party has said. */
  const noted: string[] = [];

  async function signerOf(party: number): Promise<StartSigner> {
    const key = present(keys.get(party));
    const claim = { network: 'dev:test', party, purpose: 'record', key: key.purposePublicKey('record') } as const;
    const certificate = await certifyIdentity(claim, (digest) => key.signDigest(digest));
    return { certificate, sign: (digest) => key.signPurpose('record', digest) };
  }

  function openHead(party: number, incarnation: number): Promise<ManifestHead> {
    const signer = manifestSigner(present(keys.get(party)));
    const owner = { purpose: 'private-object', charterDigest: present(known.get(party)).charterDigest, party } as const;
    return ManifestHead.open({
      storage: present(storages.get(party)),
      signer,
      asked: { ...owner, signer: signer.publicKey },
      incarnation,
      needsFence: false,
    });
  }

  /** Starts a party as an engine does: its incarnation is one more than that of its manifest. */
  async function start(party: number): Promise<RunningParty> {
    const storage = present(storages.get(party));
    const stored = (await storage.has(['Manifest', 'head'])) ? await storage.get(['Manifest', 'head']) : undefined;
    const incarnation = ((stored && peekManifest(stored))?.incarnation ?? 0) + 1;
    const head = await openHead(party, incarnation);
    // As the engine opens a vault: what its memory is to be goes into the very move that begins the start.
    if (head.point !== undefined) head.remember(PeerMemory.atStart(head.memory, head.point));
    const manifest = await head.advance();
    const nonce = systemRandom(32);
    const memory = PeerMemory.read(head.memory, (other) => known.get(other));
    memory.begin(nonce);
    let leaf = createHash('sha256').update(nonce).digest();
    const log: string[] = [];
    const say = (fields: unknown): void => {
      const event = typeof fields === 'object' && fields !== null && 'event' in fields ? fields.event : '';
      log.push(String(event));
    };
    const own = new OwnStart({
      charterDigest: present(known.get(party)).charterDigest,
      party,
      incarnation,
      nonce,
      manifest,
      base: memory.base,
      signer: await signerOf(party),
      facts: () => ({
        releases: 1,
        record: 2,
        context: new Uint8Array(32).fill(5),
        epoch: undefined,
        source: head.source,
      }),
      leaf: async () => leaf,
    });
    const confirm = new ConfirmStart({
      me: party,
      others: () => parties.filter((other) => other !== party),
      t: () => (n - 1) / 3,
      own,
      memory,
      head,
      channel: {
        send: async (to, frame) => {
          const arrives = onWay(party, to, frame);
          const target = running.get(to);
          if (arrives && running.get(party) === entry) setImmediate(() => target?.listener?.onFrame(party, arrives));
        },
        drop: (other, reason) => void dropped.push(`${party} drops ${other}: ${reason}`),
        listen: (listener) => {
          entry.listener = listener;
          return () => {
            entry.listener = undefined;
          };
        },
      },
      shown: (other) => {
        const peer = running.get(other);
        return peer ? [{ leaf: peer.leaf, incarnation: peer.incarnation }] : [];
      },
      noteIncarnation: (other, least) => void noted.push(`${party} of ${other}: ${least}`),
      onReleased: () => undefined,
      timers: time.timers,
      log: { info: say, warn: say, error: say },
    });
    const stop = async (): Promise<void> => {
      if (running.get(party) === entry) running.delete(party);
      await confirm.close();
    };
    const newCertificate = (): void => {
      leaf = createHash('sha256').update(leaf).digest();
    };
    const face = { party, head, memory, start: confirm, own, incarnation, nonce, log, newCertificate, stop };
    const entry = { ...face, leaf, listener: undefined as QuorumListener | undefined };
    running.set(party, entry);
    confirm.begin();
    t.teardown(stop);
    return face;
  }

  return {
    parties,
    storages,
    known,
    keys,
    dropped,
    noted,
    signerOf,
    openHead,
    start,
    startAll: async (which = parties) => await Promise.all(which.map(start)),
    /** Ends parties as the end of their processes would. */
    kill: async (which = parties) => await Promise.all(which.map((party) => running.get(party)?.stop())),
    run: (ms = 3_000) => time.pass(ms),
    /** Lets somebody stand in the way of every frame. */
    interfere: (change: typeof onWay) => {
      onWay = change;
    },
    deliver: (from: number, to: number, frame: Uint8Array) => running.get(to)?.listener?.onFrame(from, frame),
  };
}

/** Phases of parties. */
export const phases = (parties: readonly RunningParty[]): readonly string[] =>
  parties.map(({ start }) => start.state.phase);

/** A copy of a vault, to be put back later. */
export async function snapshot(storage: Storage): Promise<(into: Storage) => Promise<void>> {
  const content = await storage.get(['Manifest', 'head']);
  return async (into) => {
    await into.put(['Manifest', 'head'], content, { replace: true });
  };
}

/** Puts a vault in the place of a lost one as a restore does: it goes on from where the lost one ended, without its memory. */
export async function restore(
  quorum: ReturnType<typeof startScene>,
  party: number,
  source?: ManifestPoint,
): Promise<void> {
  const lost = await quorum.openHead(party, Number.MAX_SAFE_INTEGER);
  const stored = present(peekManifest(await present(quorum.storages.get(party)).get(['Manifest', 'head'])));
  quorum.storages.set(party, openMemoryStorage());
  const head = await quorum.openHead(party, stored.incarnation);
  await head.advance(lost.entries(), { source: source ?? present(lost.point) });
}
