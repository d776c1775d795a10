/**
 * Contexts and epochs of one engine over its vault and its network: see contexts.ts for the contract.
 *
 * One change at a time: an epoch that is being made holds its context, and nothing is listed before it is durable. Mask
 * keys stay behind handles.
 */
import { createHash, hash } from 'node:crypto';
import { encodeCanonical } from '../../attestation/cbor.ts';
import type { Clock } from '../../common/clock.ts';
import { KmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type { RandomSource } from '../../common/random.ts';
import {
  DestroyMpcContextRequestSchema,
  DestroyMpcEpochRequestSchema,
  NewMpcEpochRequestSchema,
} from '../../proto/gen/kms_pb.js';
import { DEFAULT_EPOCH_ID, idBytes, type RequestId } from '../../wire/ids.ts';
import { requiredId } from '../../wire/validate/common.ts';
import { parseDestroyMpcContext, parseNewMpcEpoch } from '../../wire/validate/context.ts';
import { decodeRequest } from '../decode-request.ts';
import type { GovernanceMemory } from '../governance/governance-memory.ts';
import type { Session } from '../mpc/session.ts';
import type { PeerNetwork } from '../peers/peer-network.ts';
import type { StartGate } from '../start/start-gate.ts';
import type { OpenDecryption } from '../threshold/kernels.ts';
import type { PrivateVault } from '../vault/private-vault.ts';
import { ContextBook } from './context-book.ts';
import type { Context, Contexts, Epoch, JointWork, QuorumCounts } from './contexts.ts';
import { EpochBook, type EpochBookOptions, type HeldEpoch } from './epoch-book.ts';
import { Leases } from './leases.ts';
import { makeDefaultEpoch } from './make-default-epoch.ts';
import { Quorums } from './quorums.ts';
import { requestedContext } from './requested-context.ts';
import { openSession, partySetDigest, setUpInSession } from './set-up-epoch.ts';

/** What contexts are opened with. */
export interface ContextsOptions {
  readonly vault: PrivateVault;
  readonly governance: GovernanceMemory;
  readonly network: PeerNetwork;
  readonly open: OpenDecryption;
  /** How often the engine has been started. */
  readonly incarnation: number;
  readonly random: RandomSource;
  readonly clock: Clock;
  readonly log: Logger;
  readonly roundTimeoutMs: number;
  /** Whether the default epoch is made here if the node has none yet. */
  readonly makeDefaultEpoch: boolean;
  readonly masksOf?: EpochBookOptions['masksOf'];
  /** Nothing is done with others, and nothing changed, before the engine's start is confirmed. */
  readonly gate: StartGate;
}

/** Only hashed, never signed: it stands in no table of signatures. */
const WORK_LABEL = 'arca-joint-work';
const VERSION = 1;

/**
 * Reads contexts and epochs from the vault and begins, if need be, to make the default epoch, without waiting for it.
 *
 * @throws KmsError `STATE_INVALID` naming what in the vault cannot be used, or if the governed record names no quorum.
 */
export async function openContexts(options: ContextsOptions): Promise<Contexts> {
  const { vault, governance, network, open, clock, log } = options;
  const contexts = await ContextBook.load(vault, governance.book);
  const quorums = new Quorums({ network, open, clock, log });
  try {
    const epochs = await EpochBook.load({ vault, contexts, quorums, masksOf: options.masksOf });
    return new OpenContexts(options, { contexts, quorums, epochs });
  } catch (error) {
    quorums.close();
    throw error;
  }
}

interface Parts {
  readonly contexts: ContextBook;
  readonly quorums: Quorums;
  readonly epochs: EpochBook;
}

class OpenContexts implements Contexts {
  readonly #options: ContextsOptions;
  readonly #parts: Parts;
  readonly #leases = new Leases();
  readonly #closing = new AbortController();
  readonly #destroyed: ((epochId: RequestId) => Promise<void>)[] = [];
  readonly #defaultEpoch: { readonly settled: boolean; readonly ended: Promise<void> };

  constructor(options: ContextsOptions, parts: Parts) {
    this.#options = options;
    this.#parts = parts;
    const { epochs } = parts;
    const isWanted = epochs.find(DEFAULT_EPOCH_ID) !== undefined || epochs.all().length === 0;
    this.#defaultEpoch =
      options.makeDefaultEpoch && isWanted
        ? makeDefaultEpoch({ ...options, ...parts, leases: this.#leases, signal: this.#closing.signal })
        : { settled: true, ended: Promise.resolve() };
  }

  list(): readonly Context[] {
    return this.#parts.contexts.all();
  }

  epochs(): readonly Epoch[] {
    return this.#held();
  }

  get settled(): boolean {
    return this.#options.gate.isOpen && this.#defaultEpoch.settled;
  }

  context(contextId = this.#parts.contexts.defaultId): Context {
    return this.#parts.contexts.require(contextId);
  }

  epoch(contextId: RequestId, epochId: RequestId): Epoch {
    this.#options.gate.require();
    const found = this.#parts.epochs.find(epochId);
    if (found?.settled && found.contextId === contextId) return found; // an epoch goes before its context
    this.#parts.contexts.require(contextId);
    throw new KmsError('NOT_FOUND', 'no such epoch in this context', { contextId, epochId });
  }

  async newContext(body: Uint8Array): Promise<void> {
    this.#options.gate.require();
    const { contexts } = this.#parts;
    const context = requestedContext(body, contexts.record, contexts.me);
    await this.#leases.change(context.contextId, async () => {
      contexts.requireNew(context.contextId);
      await this.#options.governance.requireApproval('context', hash('sha384', body, 'buffer'));
      await contexts.add(context);
    });
  }

  async destroyContext(body: Uint8Array): Promise<readonly RequestId[]> {
    this.#options.gate.require();
    const { contexts, quorums, epochs } = this.#parts;
    const contextId = parseDestroyMpcContext(decodeRequest(DestroyMpcContextRequestSchema, body));
    contexts.require(contextId);
    return await this.#leases.change(contextId, async () => {
      contexts.require(contextId);
      if (contexts.all().length === 1) {
        throw new KmsError('PRECONDITION_FAILED', 'the last context of a node cannot be destroyed', { contextId });
      }
      const gone = epochs.all().filter((epoch) => epoch.contextId === contextId);
      for (const { epochId } of gone) await this.#erase(epochId);
      await contexts.remove(contextId);
      quorums.end(contextId);
      return gone.map(({ epochId }) => epochId);
    });
  }

  async newEpoch(body: Uint8Array, signal: AbortSignal): Promise<void> {
    this.#options.gate.require();
    const { contexts, epochs } = this.#parts;
    const { contextId, epochId, previous } = parseNewMpcEpoch(decodeRequest(NewMpcEpochRequestSchema, body));
    if (previous) {
      throw new KmsError('UNIMPLEMENTED', 'resharing is not part of this release: ask without previous_epoch');
    }
    const context = contexts.require(contextId);
    requireMember(context);
    // A node that has another epoch at its next start would take itself for one that needs no default epoch.
    if (!this.settled) throw new KmsError('UNAVAILABLE', 'the default epoch is being made: ask again later');
    const requireNew = (): void => {
      if (epochs.find(epochId)) throw new KmsError('REQUEST_INVALID', 'this epoch exists already', { epochId });
    };
    requireNew();
    await this.#leases.make(contextId, epochId, async () => {
      requireNew();
      const work = { kind: 'prss-setup', id: epochId, digest: sha256(idBytes(epochId)), contextId, epochId };
      const session = await this.joint(work, signal);
      using prss = await setUpInSession(session);
      // Whoever was lost on the way could never come to have this epoch: then nobody is to have it.
      const { roundTimeoutMs } = this.#options;
      await this.#meet({ ...work, kind: 'prss-outcome', digest: session.id }, context, signal, roundTimeoutMs);
      await epochs.add(epochId, context, { setUpId: Uint8Array.from(session.id), prss, settled: true });
      this.#options.log.info({ event: 'epoch.made', contextId, epochId });
    });
  }

  async destroyEpoch(body: Uint8Array): Promise<void> {
    this.#options.gate.require();
    const { epochs } = this.#parts;
    const epochId = requiredId(decodeRequest(DestroyMpcEpochRequestSchema, body).epochId, 'epoch_id');
    if (this.#leases.isMade(epochId)) {
      throw new KmsError('PRECONDITION_FAILED', 'this epoch is being made', { epochId });
    }
    const requireThere = (): HeldEpoch => {
      const found = epochs.find(epochId);
      if (!found) throw new KmsError('NOT_FOUND', 'no such epoch on this node', { epochId });
      return found;
    };
    const { contextId } = requireThere();
    await this.#leases.change(contextId, async () => {
      requireThere();
      if (epochs.all().length === 1) {
        throw new KmsError('PRECONDITION_FAILED', 'the last epoch of a node cannot be destroyed', { epochId });
      }
      await this.#erase(epochId);
    });
  }

  async joint(work: JointWork, signal: AbortSignal): Promise<Session> {
    this.#options.gate.require();
    const context = this.#parts.contexts.require(work.contextId);
    requireMember(context);
    const name = await this.#meet(work, context, signal);
    const run = { kind: work.kind, id: Buffer.concat([idBytes(work.id), name]), epochId: work.epochId };
    return await openSession(this.#options, context, run, AbortSignal.any([signal, this.#closing.signal]));
  }

  onEpochDestroyed(listener: (epochId: RequestId) => Promise<void>): void {
    this.#destroyed.push(listener);
  }

  stats(): QuorumCounts {
    return this.#parts.quorums.stats();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#parts.quorums.close();
    await this.#defaultEpoch.ended;
    this.#parts.epochs.close();
  }

  /** Waits for all parties of a context; returns what they then agree on, which never was before. */
  async #meet(work: JointWork, context: Context, signal: AbortSignal, withinMs?: number): Promise<Uint8Array> {
    const parties = context.nodes.map(({ party }) => party);
    const within = withinMs === undefined ? {} : { withinMs };
    const meeting = { kind: work.kind, id: idBytes(work.id), digest: digestOf(work, context), parties, ...within };
    return await this.#options.network.meet(meeting, AbortSignal.any([signal, this.#closing.signal]));
  }

  #held(): readonly HeldEpoch[] {
    return this.#parts.epochs.all().filter(({ settled }) => settled);
  }

  /** Shares first: what is left after a crash is an epoch without keys, which can be destroyed again. */
  async #erase(epochId: RequestId): Promise<void> {
    // In one turn with the first listener, which lets go of the shares: nothing can begin under the epoch in between.
    this.#parts.epochs.find(epochId)?.quorum.forgetEpoch(epochId);
    for (const listener of this.#destroyed) await listener(epochId);
    await this.#parts.epochs.remove(epochId);
    this.#options.log.info({ event: 'epoch.destroyed', epochId });
  }
}

function requireMember({ contextId, party }: Context): void {
  if (party > 0) return;
  throw new KmsError('PRECONDITION_FAILED', 'this node is no party of the context', { contextId });
}

function digestOf(work: JointWork, context: Context): Uint8Array {
  const names = [work.kind, idBytes(work.contextId), idBytes(work.epochId)];
  return sha256(encodeCanonical([WORK_LABEL, VERSION, ...names, partySetDigest(context), work.digest]));
}

function sha256(data: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(data).digest());
}
