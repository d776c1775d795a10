/**
 * Engines of a quorum without anything around them: all parties in one process, real handlers and arithmetic, frames
 * handed over in memory. What it costs is processor time divided by parties and decryptions.
 */
import { fromBinary } from '@bufbuild/protobuf';
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

const ID_DIGITS = 64;
const WARM_UP_CALLS = 200;

/** Measures every load with n parties. */
export async function measureAlone(
  { figures, seconds, say }: Pick<Bench, 'figures' | 'seconds' | 'say'>,
  key: FheKey,
  { n, t, inFlight }: { readonly n: number; readonly t: number; readonly inFlight: number },
  loads: readonly AloneLoad[],
): Promise<void> {
  const cleanUp: (() => void)[] = [];
  const parties = aloneParties({ teardown: (work: () => void) => cleanUp.push(work) }, key, n, t);
  try {
    for (const { figure, request, goal } of loads) {
      const bodies = uniqueBodies(request);
      await ask(parties, request.name, bodies, { calls: WARM_UP_CALLS, inFlight });
      const [cpu, main, started] = [process.cpuUsage(), process.threadCpuUsage(), performance.now()];
      const calls = await ask(parties, request.name, bodies, { seconds, inFlight });
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

/** Bodies of the same request under ever new ids. */
export function uniqueBodies({ body, idAt }: Pick<BenchRequest, 'body' | 'idAt'>): () => Uint8Array {
  let count = 0;
  const run = BigInt(Math.floor(performance.timeOrigin * 1000)) << 64n;
  return () => {
    const made = Buffer.from(body);
    made.write((run + BigInt(++count)).toString(16).padStart(ID_DIGITS, '0'), idAt, 'latin1');
    return made;
  };
}

async function ask(
  parties: readonly Readonly<Record<'public' | 'user', Ask>>[],
  name: 'public' | 'user',
  nextBody: () => Uint8Array,
  { calls = Number.POSITIVE_INFINITY, seconds = Number.POSITIVE_INFINITY, inFlight = 1 },
): Promise<number> {
  const endMs = performance.now() + seconds * 1000;
  let done = 0;
  const worker = async (): Promise<void> => {
    while (done < calls && performance.now() < endMs) {
      const body = nextBody();
      const answers = await Promise.all(parties.map((party) => party[name](body)));
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
  n: number,
  t: number,
): Readonly<Record<'public' | 'user', Ask>>[] {
  const listeners = new Map<number, QuorumListener>();
  const timers = systemQuorumTimers(() => performance.now());
  return thresholdParties(teardown, key, n, t).map((party) => {
    const me = party.party;
    const links: QuorumLinks = {
      send: async (to, frame) => listeners.get(to)?.onFrame(me, frame),
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
      signer: new AnswerSigner(nodeKey, keccak256),
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
