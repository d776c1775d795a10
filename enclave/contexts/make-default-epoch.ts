/**
 * Runs the making of the default epoch over the vault and the network, from the engine's start on, and answers parties
 * that come later. Mask keys are secret; they are wiped once native memory has them.
 */
import type { Clock } from '../../common/clock.ts';
import { KmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type { RandomSource } from '../../common/random.ts';
import { DEFAULT_EPOCH_ID, idBytes } from '../../wire/ids.ts';
import type { GovernanceMemory } from '../governance/governance-memory.ts';
import type { PeerNetwork } from '../peers/peer-network.ts';
import type { StartGate } from '../start/start-gate.ts';
import type { ContextBook } from './context-book.ts';
import type { Context } from './contexts.ts';
import { DefaultEpoch } from './default-epoch.ts';
import type { EpochBook } from './epoch-book.ts';
import type { Leases } from './leases.ts';
import { openSession, setUpInSession } from './set-up-epoch.ts';

/** What it needs. */
export interface MakeDefaultEpochOptions {
  readonly governance: GovernanceMemory;
  readonly network: PeerNetwork;
  readonly incarnation: number;
  readonly random: RandomSource;
  readonly clock: Clock;
  readonly log: Logger;
  readonly roundTimeoutMs: number;
  readonly contexts: ContextBook;
  readonly epochs: EpochBook;
  readonly leases: Leases;
  /** It begins once the engine's start is confirmed. */
  readonly gate: StartGate;
  /** Ends it. */
  readonly signal: AbortSignal;
}

const CHANNEL = 'default-epoch';
const KIND = 'default-epoch';

/**
 * Begins, unless the default context was destroyed here: then there is nothing to wait for. `settled` is true once all
 * parties hold the epoch; `ended` resolves, never rejects, after the signal.
 */
export function makeDefaultEpoch(options: MakeDefaultEpochOptions): {
  readonly settled: boolean;
  readonly ended: Promise<void>;
} {
  const { contexts, epochs, log } = options;
  if (contexts.isDefaultDestroyed) return { settled: true, ended: Promise.resolve() };
  // Stays true: an epoch that was destroyed later has been there.
  let settled = epochs.find(DEFAULT_EPOCH_ID)?.settled ?? false;
  const onSettled = (): void => {
    settled = true;
  };
  const ended = run(options, onSettled).catch((err: unknown) => {
    // The node stays as it is, without an epoch: whoever looks at it finds this line.
    if (!options.signal.aborted) log.error({ event: 'epoch.default.given-up', err });
  });
  return {
    get settled() {
      return settled;
    },
    ended,
  };
}

async function run(options: MakeDefaultEpochOptions, onSettled: () => void): Promise<void> {
  const { epochs, leases, network, gate, clock, log, signal } = options;
  await gate.opened(signal);
  const context = await completeContext(options);
  const held = epochs.find(DEFAULT_EPOCH_ID);
  const channel = network.channel(CHANNEL);
  const { party: me, t, nodes } = context;
  const beganMs = clock.monotonicMs();
  const making = new DefaultEpoch({
    ...options,
    me,
    n: nodes.length,
    t,
    channel,
    stored: held,
    setUp: (setUpId, until) => setUp(options, context, setUpId, until),
    discard: () => epochs.remove(DEFAULT_EPOCH_ID),
    settle: () => epochs.settle(DEFAULT_EPOCH_ID),
  });
  try {
    if (!held?.settled) {
      await leases.make(context.contextId, DEFAULT_EPOCH_ID, () => making.settled(signal));
      onSettled();
      const ms = Math.round(clock.monotonicMs() - beganMs);
      log.info({ event: 'epoch.made', contextId: context.contextId, epochId: DEFAULT_EPOCH_ID, ms });
    }
    await aborted(signal);
  } finally {
    making.close();
    channel.close();
  }
}

async function setUp(
  options: MakeDefaultEpochOptions,
  context: Context,
  setUpId: Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  const work = { kind: KIND, id: Buffer.concat([idBytes(DEFAULT_EPOCH_ID), setUpId]), epochId: DEFAULT_EPOCH_ID };
  const session = await openSession(options, context, work, signal);
  using prss = await setUpInSession(session);
  if (signal.aborted) throw new KmsError('ABORTED', 'another party has begun again');
  await options.epochs.add(DEFAULT_EPOCH_ID, context, { setUpId, prss, settled: false });
}

/** Waits until the governed record names an address for every party. */
async function completeContext({ contexts, governance, signal }: MakeDefaultEpochOptions): Promise<Context> {
  const find = (): Context | undefined => contexts.all().find(({ contextId }) => contextId === contexts.defaultId);
  const { promise, resolve } = Promise.withResolvers<void>();
  const stop = governance.book.onChange(() => {
    if (find()) resolve();
  });
  try {
    if (!find()) await Promise.race([promise, aborted(signal)]);
  } finally {
    stop();
  }
  const context = find();
  if (!context) throw new KmsError('CANCELLED', 'the engine is stopping');
  return context;
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
