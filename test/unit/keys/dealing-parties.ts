/**
 * The generations of a quorum in one process: real protocols and real native work, messages by the event loop, and a
 * meeting that waits for everybody and compares what they mean.
 */
import { fromBinary } from '@bufbuild/protobuf';
import { toHex } from '../../../common/bytes.ts';
import { systemClock } from '../../../common/clock.ts';
import { KmsError } from '../../../common/errors.ts';
import { createLogger } from '../../../common/log.ts';
import type { CallHandler, PublicObject } from '../../../enclave/call.ts';
import type { Context, Contexts, Epoch, JointWork } from '../../../enclave/contexts/contexts.ts';
import { GenerationQueue } from '../../../enclave/fhe/generation-queue.ts';
import { Durations } from '../../../enclave/fhe/progress.ts';
import { thresholdCrsGeneration } from '../../../enclave/keys/crs-generation.ts';
import type { ThresholdGenerationDeps } from '../../../enclave/keys/generation-deps.ts';
import { thresholdKeyGeneration } from '../../../enclave/keys/key-generation.ts';
import { thresholdPreprocessing } from '../../../enclave/keys/preprocessing.ts';
import { ShareCatalogue } from '../../../enclave/keys/share-catalogue.ts';
import { RoundSession } from '../../../enclave/mpc/round-session.ts';
import type { Session } from '../../../enclave/mpc/session.ts';
import { AnswerSigner } from '../../../enclave/sign/answer-signer.ts';
import { clearKeeper } from '../../../enclave/vault/clear-keychain.ts';
import { PrivateVault } from '../../../enclave/vault/private-vault.ts';
import { dealKeySet, generateCrs, KeyShares, keccak256, NodeKey } from '../../../native/engine/index.ts';
import { CrsGenResultSchema, KeyGenResultSchema } from '../../../proto/gen/kms_pb.js';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import type { Storage } from '../../../storage/storage.ts';
import { DEFAULT_CONTEXT_ID, DEFAULT_EPOCH_ID } from '../../../wire/ids.ts';
import type { Teardown } from '../../helpers/temp-dir.ts';
import { testMaskKeys } from '../../helpers/threshold-keys.ts';
import { dealCall, dealCrsCall } from './deal-calls.ts';

/** A public object that a party handed over. */
export interface Handed {
  readonly type: string;
  readonly id: string;
  readonly digest: string;
  readonly bytes: Uint8Array;
}

/** Settings of one call. */
export interface CallOptions {
  readonly signal?: AbortSignal;
  readonly onReport?: (phase: string) => void;
  /** Throws to refuse an object. */
  readonly onObject?: (object: Handed) => void;
}

type FakeContexts = Pick<Contexts, 'epoch' | 'joint'>;

/** One party. */
export interface DealingParty {
  readonly party: number;
  readonly storage: Storage;
  readonly vault: PrivateVault;
  readonly catalogue: ShareCatalogue;
  readonly address: Uint8Array;
  readonly contexts: FakeContexts;
  readonly objects: Handed[];
  call(handler: CallHandler, body: Uint8Array, options?: CallOptions): Promise<Uint8Array>;
  readonly handlers: Readonly<Record<'keyGen' | 'crsGen' | 'preproc', CallHandler>>;
}

/** What a test may change in one party. */
export type Changed = Partial<
  Pick<ThresholdGenerationDeps, 'native' | 'insecureOperations' | 'testParameters' | 'queue'>
>;

/** Settings of {@link dealingParties}. */
export interface DealingOptions {
  readonly n?: number;
  readonly t?: number;
  /** Parties that are other than they should be. */
  readonly changed?: ReadonlyMap<number, Changed>;
}

interface Arrived {
  readonly digest: string;
  readonly go: PromiseWithResolvers<void>;
}

let lastGeneration: Promise<unknown> = Promise.resolve();

/** The library makes one key at a time in a process, and here several engines share one. */
export function oneByOne<A extends unknown[], R>(work: (...args: A) => Promise<R>): (...args: A) => Promise<R> {
  return (...args) => {
    const done = lastGeneration.then(() => work(...args));
    lastGeneration = done.catch(() => undefined);
    return done;
  };
}

const ONE_PROCESS = { dealKeySet: oneByOne(dealKeySet), generateCrs: oneByOne(generateCrs) };

/** Who is there for which work; all that is there at once begins at once. */
class Meetings {
  readonly #n: number;
  readonly #under = new Map<string, Map<number, Arrived>>();

  constructor(n: number) {
    this.#n = n;
  }

  async meet(party: number, { kind, id, digest }: JointWork, signal: AbortSignal): Promise<void> {
    const name = `${kind} ${id}`;
    const there = this.#under.get(name) ?? new Map<number, Arrived>();
    this.#under.set(name, there);
    const go = Promise.withResolvers<void>();
    there.set(party, { digest: toHex(digest), go });
    const onAbort = () => {
      there.delete(party);
      go.reject(new KmsError('CANCELLED', 'the call was cancelled'));
    };
    signal.addEventListener('abort', onAbort, { once: true });
    if (there.size === this.#n) {
      this.#under.delete(name);
      const all = [...there.values()];
      const same = all.every((other) => other.digest === all[0]?.digest);
      for (const other of all) {
        if (same) other.go.resolve();
        else other.go.reject(new KmsError('ABORTED', 'a party asks for something else under this id'));
      }
    }
    await go.promise.finally(() => signal.removeEventListener('abort', onAbort));
  }
}

/** Opens the sessions of one party; frames arrive in a later turn of the event loop. */
class LoopNetwork {
  readonly #sessions = new Map<string, RoundSession>();
  readonly #early = new Map<string, (() => void)[]>();

  open(me: number, n: number, t: number, id: Uint8Array, signal: AbortSignal): Session {
    const name = toHex(id);
    const session = new RoundSession({
      ...{ me, n, t, id, signal },
      mode: 'sync',
      roundTimeoutMs: 30_000,
      bytesPerPeer: 16 * 1024 * 1024,
      timers: {
        monotonicMs: () => systemClock.monotonicMs(),
        at: (atMs, callback) => {
          const timer = setTimeout(callback, Math.max(0, atMs - systemClock.monotonicMs()));
          return () => clearTimeout(timer);
        },
      },
      wire: {
        send: (to, round, payload, sent) => {
          const copy = Uint8Array.from(payload);
          sent();
          setImmediate(() => this.#deliver(`${to} ${name}`, (other) => other.deliver(me, round, copy)));
        },
        end: () => undefined,
        close: () => undefined,
      },
    });
    const key = `${me} ${name}`;
    this.#sessions.set(key, session);
    for (const deliver of this.#early.get(key) ?? []) deliver();
    return session;
  }

  #deliver(key: string, give: (session: RoundSession) => void): void {
    const session = this.#sessions.get(key);
    if (session) give(session);
    else this.#early.set(key, [...(this.#early.get(key) ?? []), () => this.#deliver(key, give)]);
  }
}

/** Sets n parties up; all is disposed of when the test ends. */
export async function dealingParties(
  teardown: Teardown,
  { n = 4, t = 1, changed = new Map() }: DealingOptions = {},
): Promise<readonly DealingParty[]> {
  const meetings = new Meetings(n);
  const network = new LoopNetwork();
  const all: DealingParty[] = [];
  for (let party = 1; party <= n; party++) {
    const storage = openMemoryStorage();
    const vault = new PrivateVault(clearKeeper(storage));
    const catalogue = await loadShares(vault, party);
    const nodeKey = NodeKey.generate();
    const epoch = fakeEpoch(n, t, party);
    const contexts = fakeContexts(epoch, async (work, signal) => {
      await meetings.meet(party, work, signal);
      const id = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(`${work.kind} ${work.id}`));
      return network.open(party, n, t, new Uint8Array(id), signal);
    });
    const deps: ThresholdGenerationDeps = {
      native: ONE_PROCESS,
      catalogue,
      contexts,
      signer: new AnswerSigner(nodeKey, keccak256),
      policy: { name: 'any', authorize: () => undefined },
      queue: new GenerationQueue({ clock: systemClock, log: createLogger({ name: 'engine', level: 'silent' }) }),
      durations: new Durations({}),
      clock: systemClock,
      insecureOperations: true,
      testParameters: true,
      ...changed.get(party),
    };
    const objects: Handed[] = [];
    teardown.teardown(() => {
      catalogue.dispose();
      nodeKey.dispose();
      epoch.masks.dispose();
    });
    all.push({
      ...{ party, storage, vault, catalogue, contexts, objects },
      address: nodeKey.address,
      handlers: {
        keyGen: thresholdKeyGeneration(deps),
        crsGen: thresholdCrsGeneration(deps),
        preproc: thresholdPreprocessing(deps),
      },
      call: async (handler, body, { signal = new AbortController().signal, onReport, onObject } = {}) =>
        await handler({
          body,
          evidence: new Uint8Array(),
          signal,
          report: ({ phase }) => onReport?.(phase),
          objects: {
            store: async (object) => {
              const handed = handedOf(object);
              onObject?.(handed);
              objects.push(handed);
            },
          },
        }),
    });
  }
  return all;
}

/** Reads what a party's vault holds. */
export function loadShares(vault: PrivateVault, party: number, developerKeys = true): Promise<ShareCatalogue> {
  return ShareCatalogue.load(vault, { fromBytes: KeyShares.fromBytes, developerKeys, party });
}

function handedOf({ type, id, digest, source }: PublicObject): Handed {
  return { type, id, digest: toHex(digest), bytes: source.chunk(0, source.size) };
}

/** An epoch of a quorum that nobody asks. */
function fakeEpoch(n: number, t: number, party: number): Epoch {
  const nodes = Array.from({ length: n }, (_, i) => ({ party: i + 1, address: new Uint8Array(20), endpoint: '' }));
  const context: Context = { contextId: DEFAULT_CONTEXT_ID, t, nodes, party };
  return {
    contextId: DEFAULT_CONTEXT_ID,
    epochId: DEFAULT_EPOCH_ID,
    context,
    masks: testMaskKeys(n, t, party),
    get quorum(): never {
      throw new Error('no quorum is needed here');
    },
  };
}

function fakeContexts(epoch: Epoch, joint: Contexts['joint']): FakeContexts {
  return {
    epoch: (contextId, epochId) => {
      if (contextId === epoch.contextId && epochId === epoch.epochId) return epoch;
      throw new KmsError('NOT_FOUND', contextId === epoch.contextId ? 'no such epoch' : 'no such context');
    },
    joint,
  };
}

/** Asks all parties for the same key. */
export async function dealAtAll(parties: readonly DealingParty[], body = dealCall()) {
  const answers = await Promise.all(parties.map((party) => party.call(party.handlers.keyGen, body)));
  return answers.map((answer) => fromBinary(KeyGenResultSchema, answer));
}

/** Asks all parties for the same CRS. */
export async function crsAtAll(parties: readonly DealingParty[], body = dealCrsCall()) {
  const answers = await Promise.all(parties.map((party) => party.call(party.handlers.crsGen, body)));
  return answers.map((answer) => fromBinary(CrsGenResultSchema, answer));
}

/** Names of the private objects of a kind that a party holds. */
export async function heldIn({ storage }: DealingParty, type: string): Promise<string[]> {
  return await storage.list([type, DEFAULT_EPOCH_ID]);
}
