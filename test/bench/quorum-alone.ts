/**
 * Engines of a quorum without anything around them: all parties in one process, real handlers and arithmetic, frames
 * handed over in memory. What it costs is processor time divided by parties and decryptions.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { fromBinary } from '@bufbuild/protobuf';
import { toHex } from '../../common/bytes.ts';
import { systemRandom } from '../../common/random.ts';
import type { CallHandler } from '../../enclave/call.ts';
import { AnswerSigner } from '../../enclave/sign/answer-signer.ts';
import { FaultLedger } from '../../enclave/threshold/fault-ledger.ts';
import { Quorum } from '../../enclave/threshold/quorum.ts';
import {
  type QuorumDecryptionDeps,
  quorumPublicDecryption,
  quorumUserDecryption,
} from '../../enclave/threshold/quorum-decryption.ts';
import { type QuorumLinks, type QuorumListener, systemQuorumTimers } from '../../enclave/threshold/quorum-links.ts';
import {
  blake3,
  type FheKey,
  keccak256,
  NodeKey,
  openDecryption,
  partialDecrypt,
  userShares,
} from '../../native/engine/index.ts';
import { PublicDecryptionResponseSchema, UserDecryptionResponseSchema } from '../../proto/gen/kms_pb.js';
import { partialInput, thresholdParties } from '../helpers/threshold-keys.ts';
import type { Bench } from './decryption.ts';
import type { BenchRequest } from './requests.ts';

/** One party: asked as its Core would ask. */
type Ask = (body: Uint8Array) => Promise<Uint8Array>;

/** What is measured, and the goal for each core and party. */
export interface AloneLoad {
  readonly figure: string;
  readonly request: Pick<BenchRequest, 'name' | 'body' | 'idAt'>;
  readonly goal?: number;
}

/** Carries a frame, or loses it. */
export type Carry = (from: number, deliver: () => void) => void;

const atOnce: Carry = (_, deliver) => deliver();
const ID_DIGITS = 64;
/** What tells the ids of one load from those of others. */
const RUN_BYTES = 16;
const WARM_UP_CALLS = 200;

/** Measures every load with n parties. */
export async function measureAlone(
  { figures, seconds, say }: Pick<Bench, 'figures' | 'seconds' | 'say'>,
  key: FheKey,
  { n, t, inFlight }: { readonly n: number; readonly t: number; readonly inFlight: number },
  loads: readonly AloneLoad[],
): Promise<void> {
  const cleanUp: (() => void)[] = [];
  const parties = aloneParties({ teardown: (work: () => void) => cleanUp.push(work) }, key, { n, t, carry: atOnce });
  try {
    for (const { figure, request, goal } of loads) {
      const nextBody = uniqueBodies(request);
      await ask(parties, request.name, nextBody, { calls: WARM_UP_CALLS, inFlight });
      const [cpu, main, started] = [process.cpuUsage(), process.threadCpuUsage(), performance.now()];
      const calls = await ask(parties, request.name, nextBody, { seconds, inFlight });
      const [used, mainUsed] = [process.cpuUsage(cpu), process.threadCpuUsage(main)];
      const each = (usage: { user: number; system: number }): number => (usage.user + usage.system) / calls / n;
      const wallMs = performance.now() - started;
      figures.add({
        name: `${figure}.perSecond`,
        value: 1e6 / each(used),
        unit: 'per second',
        note: 'per core and party',
        ...(goal === undefined ? {} : { goal }),
      });
      figures.add({ name: `${figure}.cpuMs`, value: each(used) / 1000, unit: 'ms', note: 'per party' });
      figures.add({ name: `${figure}.mainThreadMs`, value: each(mainUsed) / 1000, unit: 'ms', note: 'per party' });
      const rate = Math.round((calls / wallMs) * 1000);
      say(`${figure}: ${each(used).toFixed(0)} µs a party, main thread ${each(mainUsed).toFixed(0)}; ${rate}/s in all`);
    }
  } finally {
    for (const work of cleanUp) work();
  }
}

/**
 * Bodies of the same request under ever new ids. One that is given back is written anew, so that what is measured is no
 * copying of bodies.
 */
export function uniqueBodies({ body, idAt }: Pick<BenchRequest, 'body' | 'idAt'>): (used?: Buffer) => Buffer {
  let count = 0;
  const run = toHex(systemRandom(RUN_BYTES));
  return (used) => {
    const made = used ?? Buffer.from(body);
    made.write(run + (++count).toString(16).padStart(ID_DIGITS - run.length, '0'), idAt, 'latin1');
    return made;
  };
}

/** A bad network: what is added to each frame's way, and the part of one party's frames that is lost. */
export interface BadNetwork {
  readonly delayMs: number;
  readonly loss: number;
  readonly lossy: number;
}

/**
 * Measures how long clients wait on a bad network: until 2t + 1 parties have answered, at a steady rate of calls.
 *
 * @param options - `random` gives numbers from 0 to 1; a run with the same ones loses the same frames.
 */
export async function measureBadNetwork(
  { figures, seconds, say }: Pick<Bench, 'figures' | 'seconds' | 'say'>,
  key: FheKey,
  {
    n,
    t,
    perSecond,
    network,
    random,
  }: {
    readonly n: number;
    readonly t: number;
    readonly perSecond: number;
    readonly network: BadNetwork;
    readonly random: () => number;
  },
  { figure, request, goal }: AloneLoad,
): Promise<void> {
  const cleanUp: (() => void)[] = [];
  const { delayMs, loss, lossy } = network;
  const carry: Carry = (from, deliver) => {
    if (from !== lossy || random() >= loss) setTimeout(deliver, delayMs);
  };
  const parties = aloneParties({ teardown: (work: () => void) => cleanUp.push(work) }, key, { n, t, carry });
  const nextBody = uniqueBodies(request);
  const waitedMs: number[] = [];
  try {
    const one = async (): Promise<void> => {
      const body = nextBody();
      const started = performance.now();
      let left = 2 * t + 1;
      const answered = parties.map(async (party) => {
        await party[request.name](body);
        left -= 1;
        if (left === 0) waitedMs.push(performance.now() - started);
      });
      await Promise.all(answered);
    };
    const calls: Promise<void>[] = [];
    for (let call = 0; call < perSecond * seconds; call++) {
      calls.push(one());
      await sleep(1000 / perSecond);
    }
    await Promise.all(calls);
  } finally {
    for (const work of cleanUp) work();
  }
  waitedMs.sort((a, b) => a - b);
  const at = (share: number): number => waitedMs[Math.ceil(waitedMs.length * share) - 1] ?? Number.NaN;
  const note = `${delayMs} ms added to each frame, ${loss * 100} % of one party's lost; ${perSecond} calls/s`;
  figures.add({ name: `${figure}.p50Ms`, value: at(0.5), unit: 'ms', note });
  figures.add({ name: `${figure}.p99Ms`, value: at(0.99), unit: 'ms', note, ...(goal === undefined ? {} : { goal }) });
  say(`${figure}: p50 ${at(0.5).toFixed(1)} ms, p99 ${at(0.99).toFixed(1)} ms, ${waitedMs.length} calls`);
}

async function ask(
  parties: readonly Readonly<Record<'public' | 'user', Ask>>[],
  name: 'public' | 'user',
  nextBody: (used?: Buffer) => Buffer,
  { calls = Number.POSITIVE_INFINITY, seconds = Number.POSITIVE_INFINITY, inFlight = 1 },
): Promise<number> {
  const endMs = performance.now() + seconds * 1000;
  let done = 0;
  const worker = async (): Promise<void> => {
    let body: Buffer | undefined;
    while (done < calls && performance.now() < endMs) {
      body = nextBody(body);
      const asked = body;
      const answers = await Promise.all(parties.map((party) => party[name](asked)));
      if (done === 0 && answers[0]) requireAnswer(name, answers[0]);
      done += 1;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  return done;
}

function requireAnswer(name: 'public' | 'user', answer: Uint8Array): void {
  const { signature } =
    name === 'public'
      ? fromBinary(PublicDecryptionResponseSchema, answer)
      : fromBinary(UserDecryptionResponseSchema, answer);
  if (signature.byteLength !== 64) throw new Error('an answer is not signed');
}

function aloneParties(
  teardown: { teardown(work: () => void): unknown },
  key: FheKey,
  { n, t, carry }: { readonly n: number; readonly t: number; readonly carry: Carry },
): Readonly<Record<'public' | 'user', Ask>>[] {
  const listeners = new Map<number, QuorumListener>();
  const timers = systemQuorumTimers(() => performance.now());
  return thresholdParties(teardown, key, n, t).map((party) => {
    const me = party.party;
    const links: QuorumLinks = {
      send: async (to, frame) => carry(me, () => listeners.get(to)?.onFrame(me, frame)),
      drop: () => undefined,
      listen: (listener) => {
        listeners.set(me, listener);
        return () => undefined;
      },
    };
    const ledger = new FaultLedger(() => performance.now());
    const quorum = new Quorum({ me, n, t, links, timers, ledger, open: openDecryption });
    const nodeKey = NodeKey.generate();
    teardown.teardown(() => {
      quorum.close();
      nodeKey.dispose();
    });
    const deps: QuorumDecryptionDeps = {
      signer: new AnswerSigner(nodeKey, keccak256).inBatches(),
      hashCiphertext: blake3,
      treatV0ExtraDataAsEmpty: true,
      policy: { name: 'any', authorize: () => undefined },
      key: () => ({
        party: me,
        t,
        quorum,
        partialDecrypt: (items) => partialDecrypt(partialInput(party, items)),
        userShares: (items, recipient) => userShares({ ...partialInput(party, items), ...recipient, nodeKey }),
      }),
    };
    return { public: asking(quorumPublicDecryption(deps)), user: asking(quorumUserDecryption(deps)) };
  });
}

function asking(handler: CallHandler): Ask {
  const { signal } = new AbortController();
  return async (body) =>
    await handler({
      body,
      evidence: new Uint8Array(),
      signal,
      report: () => undefined,
      objects: { store: async () => undefined },
    });
}
