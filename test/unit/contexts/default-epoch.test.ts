/**
 * The making of the default epoch among parties that come late, crash at any instant and lose messages, and against
 * parties that lie. The network and the set-up are simulated; a failure names the seed that reproduces it.
 */
import t from 'tap';
import { toHex } from '../../../common/bytes.ts';
import { systemClock } from '../../../common/clock.ts';
import { KmsError } from '../../../common/errors.ts';
import { createLogger } from '../../../common/log.ts';
import { DefaultEpoch } from '../../../enclave/contexts/default-epoch.ts';
import { encodeEpochMessage } from '../../../enclave/contexts/default-epoch-message.ts';
import type { QuorumListener } from '../../../enclave/threshold/quorum-links.ts';
import { present } from '../../helpers/present.ts';
import { randomFrom } from '../../helpers/sim-quorum.ts';

const REPEAT_MS = 15;

interface Party {
  readonly party: number;
  /** Survives a crash. */
  vault: { setUpId: Uint8Array; settled: boolean } | undefined;
  incarnation: number;
  listener: QuorumListener | undefined;
  epoch: DefaultEpoch | undefined;
  stop: AbortController;
  outcome: Promise<unknown>;
}

interface Options {
  readonly n: number;
  readonly seed: number;
  readonly loss?: number;
  /** Fails a set-up in place of running it. */
  readonly failSetUp?: (party: number) => boolean;
}

function world({ n, seed, loss = 0, failSetUp = () => false }: Options) {
  const random = randomFrom(seed);
  const chance = (part: number): boolean => random() < part;
  const parties = new Map<number, Party>();
  const setUps = new Map<string, { joined: Set<number>; done: PromiseWithResolvers<void> }>();
  const dropped: [number, string][] = [];
  const log = createLogger({ name: 'test', level: 'silent' });

  /** To the process that runs now: what is on its way to one that ends goes with its connection. */
  const deliver = (from: number, to: number, frame: Uint8Array): void => {
    const receiver = parties.get(to);
    const copies = chance(0.1) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      setTimeout(() => receiver?.listener?.onFrame(from, Uint8Array.from(frame)), random() * 6).unref();
    }
  };
  const setUp = async (me: number, setUpId: Uint8Array, signal: AbortSignal): Promise<void> => {
    if (failSetUp(me)) throw new KmsError('ABORTED', 'the set-up failed');
    const run = setUps.get(toHex(setUpId)) ?? { joined: new Set(), done: Promise.withResolvers<void>() };
    setUps.set(toHex(setUpId), run);
    run.joined.add(me);
    if (run.joined.size === n) run.done.resolve();
    const gone = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(new KmsError('CANCELLED', 'gone')), { once: true });
    });
    await Promise.race([run.done.promise, gone]);
    await new Promise((resolve) => setTimeout(resolve, random() * 10));
    if (signal.aborted) throw new KmsError('CANCELLED', 'gone');
    present(parties.get(me)).vault = { setUpId, settled: false };
  };

  const start = (party: number): Party => {
    const before = parties.get(party);
    const self: Party = {
      party,
      vault: before?.vault,
      incarnation: (before?.incarnation ?? 0) + 1,
      listener: undefined,
      epoch: undefined,
      stop: new AbortController(),
      outcome: Promise.resolve(),
    };
    parties.set(party, self);
    const epoch = new DefaultEpoch({
      me: party,
      n,
      t: (n - 1) / 3,
      incarnation: self.incarnation,
      channel: {
        send: async (to, frame) => {
          if (!chance(loss)) deliver(party, to, frame);
        },
        drop: (from, reason) => void dropped.push([from, reason]),
        listen: (listener) => {
          self.listener = listener;
          return () => {
            self.listener = undefined;
          };
        },
      },
      random: (size) => Uint8Array.from({ length: size }, () => Math.floor(random() * 256)),
      clock: systemClock,
      log,
      repeatMs: REPEAT_MS,
      stored: self.vault,
      setUp: (setUpId, signal) => setUp(party, setUpId, signal),
      discard: async () => {
        self.vault = undefined;
      },
      settle: async () => {
        self.vault = self.vault && { ...self.vault, settled: true };
      },
    });
    self.epoch = epoch;
    self.outcome = epoch.settled(self.stop.signal).catch((error: unknown) => error);
    return self;
  };
  /** As the end of a process: what is in the vault stays. */
  const crash = (party: number): void => {
    const self = present(parties.get(party));
    self.epoch?.close();
    self.stop.abort();
  };
  // Nothing else keeps the process while a party waits for others.
  const alive = setInterval(() => undefined, 1_000);
  const close = (): void => {
    clearInterval(alive);
    for (const party of parties.keys()) crash(party);
  };
  return { parties, start, crash, random, dropped, close };
}

const ids = (parties: ReadonlyMap<number, Party>): Set<string> =>
  new Set([...parties.values()].map(({ vault }) => (vault?.settled ? toHex(vault.setUpId) : 'none')));

async function allSettled(parties: ReadonlyMap<number, Party>): Promise<void> {
  while ([...parties.values()].some(({ vault }) => !vault?.settled)) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

t.test('parties that come one after the other hold the same epoch in the end', async (t) => {
  for (const n of [4, 7, 13]) {
    const { parties, start, close } = world({ n, seed: n });
    for (let party = 1; party <= n; party++) {
      start(party);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await allSettled(parties);
    t.equal(ids(parties).size, 1, `n = ${n}`);
    close();
  }
});

t.test('whoever crashes when, and whatever is lost, all hold the same epoch in the end', async (t) => {
  await Promise.all(
    Array.from({ length: 100 }, async (_, seed) => {
      const { parties, start, crash, random, close } = world({ n: 4, seed, loss: 0.2 });
      for (let party = 1; party <= 4; party++) start(party);
      let settledAs: string | undefined;
      for (let crashes = 0; crashes < 8; crashes++) {
        await new Promise((resolve) => setTimeout(resolve, random() * 40));
        const settled = [...parties.values()].find(({ vault }) => vault?.settled)?.vault;
        settledAs ??= settled && toHex(settled.setUpId);
        const party = 1 + Math.floor(random() * 4);
        crash(party);
        start(party);
      }
      await allSettled(parties);
      const found = ids(parties);
      if (found.size !== 1) t.fail(`seed ${seed}: ${[...found].join(', ')}`);
      if (settledAs && !found.has(settledAs)) t.fail(`seed ${seed}: a settled epoch was given up`);
      close();
    }),
  );
  t.pass('100 schedules');
});

t.test('a set-up that fails is run again under another name', async (t) => {
  let failures = 0;
  const failSetUp = (party: number): boolean => party === 2 && ++failures <= 3;
  const { parties, start, close } = world({ n: 4, seed: 1, failSetUp });
  for (let party = 1; party <= 4; party++) start(party);
  await allSettled(parties);
  t.equal(ids(parties).size, 1);
  t.ok(failures > 3);
  close();
});

t.test('what is no message ends the connection; old and foreign messages change nothing', async (t) => {
  const { parties, start, dropped, close } = world({ n: 4, seed: 5 });
  for (let party = 1; party <= 4; party++) start(party);
  await allSettled(parties);
  const { listener } = present(parties.get(1));
  const setUpId = new Uint8Array(32).fill(9);
  const old = encodeEpochMessage({ incarnation: 0, counter: 9, message: { what: 'stored', setUpId } });
  listener?.onFrame(2, old);
  listener?.onFrame(9, Uint8Array.of(1));
  for (const bad of [new Uint8Array(), Uint8Array.of(3), old.subarray(0, -1), Buffer.concat([old, Uint8Array.of(0)])]) {
    listener?.onFrame(3, bad);
  }
  t.equal(dropped.length, 4, 'one for each frame that is no message');
  t.ok(dropped.every(([party]) => party === 3));
  t.equal(ids(parties).size, 1);
  close();
});

t.test('a vault that lost an epoch which more parties hold than may lie is told so', async (t) => {
  const { parties, start, crash, close } = world({ n: 4, seed: 6 });
  for (let party = 1; party <= 4; party++) start(party);
  await allSettled(parties);
  crash(3);
  present(parties.get(3)).vault = undefined;
  t.match(await start(3).outcome, { code: 'STATE_INVALID', message: /restore it from a backup/ });
  close();
});

t.test('a party that says alone that the epoch is made is not believed', async (t) => {
  const { parties, start, close } = world({ n: 4, seed: 7 });
  for (let party = 1; party <= 3; party++) start(party);
  const lie = { what: 'settled' as const, setUpId: new Uint8Array(32).fill(1) };
  for (const party of [1, 2, 3]) {
    const frame = encodeEpochMessage({ incarnation: 1, counter: 1, message: lie });
    present(parties.get(party)).listener?.onFrame(4, frame);
  }
  const first = present(parties.get(1));
  const silence = new Promise((resolve) => setTimeout(resolve, 10 * REPEAT_MS, 'waits'));
  t.equal(await Promise.race([first.outcome, silence]), 'waits');
  t.equal(first.vault, undefined);
  close();
});

t.test('the end of the engine ends the wait', async (t) => {
  const { start, close } = world({ n: 4, seed: 8 });
  const { outcome } = start(1);
  close();
  t.match(await outcome, { code: 'CANCELLED' });
});
