/** One protocol under one seeded schedule: who lies, how, when; and what must hold whatever they do. */
import { isDeepStrictEqual } from 'node:util';
import { toHex } from '../../common/bytes.ts';
import { setsOf } from '../../enclave/algebra/prss-sets.ts';
import type { Arithmetic } from '../../enclave/mpc/arithmetic.ts';
import { agreeRandom } from '../../enclave/mpc/protocols/agree-random.ts';
import { beginSession } from '../../enclave/mpc/protocols/begin-session.ts';
import { flipCoin } from '../../enclave/mpc/protocols/coin-flip.ts';
import { broadcast } from '../../enclave/mpc/protocols/long-broadcast.ts';
import { setUpPrss } from '../../enclave/mpc/protocols/prss-setup.ts';
import { type Broadcast, reliableBroadcast } from '../../enclave/mpc/protocols/reliable-broadcast.ts';
import { robustOpen } from '../../enclave/mpc/protocols/robust-open.ts';
import { shareVerifiably } from '../../enclave/mpc/protocols/verifiable-sharing.ts';
import type { Session, SessionMode, SessionNetwork } from '../../enclave/mpc/session.ts';
import { TEST_PURPOSE } from '../helpers/link-mesh.ts';
import { inRounds, STRATEGIES } from '../helpers/misbehaviour.ts';
import { SimNetwork, type SimRandom, type Strategy, simRandom } from '../helpers/sim-network.ts';
import { type SmallVector, shareSmall, smallRing } from '../helpers/small-ring.ts';

/** One schedule. */
export interface Schedule {
  readonly protocol: ProtocolName;
  readonly n: number;
  readonly t: number;
  readonly seed: number;
  readonly liars: ReadonlyMap<number, Strategy>;
  /** For people. */
  readonly what: string;
}

interface Run {
  readonly network: SimNetwork;
  readonly random: SimRandom;
  readonly ring: Arithmetic<SmallVector>;
  /** What honest parties got of a protocol, none of them failed. */
  all<T>(protocol: (session: Session) => Promise<T>, mode?: SessionMode): Promise<Map<number, T>>;
  each<T>(program: (network: SessionNetwork) => Promise<T>): Promise<Map<number, T>>;
}

/** What each protocol must give; a violation is thrown. */
const PROTOCOLS = {
  'robust open': async (run: Run) => openOnce(run, 'sync'),
  'robust open, asynchronous': async (run: Run) => openOnce(run, 'async'),
  'reliable broadcast': async (run: Run) => broadcastOnce(run, reliableBroadcast),
  'long broadcast': async (run: Run) => broadcastOnce(run, broadcast),
  'agree on random': async ({ network, random }: Run) => {
    const results = await network.run((session) => agreeRandom(session, random.bytes));
    const agreed = [...results.values()].filter((result) => !(result instanceof Error));
    allEqual(agreed);
    for (const result of results.values()) {
      if (result instanceof Error) check('code' in result && result.code === 'ABORTED', `aborts by name: ${result}`);
    }
    check(network.honest.length < network.n || agreed.length === network.n, 'nobody aborts without a liar');
  },
  'verifiable sharing': async ({ network, random, ring, all }: Run) => {
    const secrets = new Map(network.honest.map((party) => [party, ring.decode(random.bytes(32))]));
    const results = await all((session) =>
      shareVerifiably(session, ring, secrets.get(session.me) ?? ring.decode(random.bytes(32))),
    );
    for (let dealer = 1; dealer <= network.n; dealer++) {
      const shares = new Map([...results].map(([party, list]) => [party, list[dealer - 1] ?? ring.zero(2)]));
      const opened = await ring.open({ degree: network.t, n: network.n, maxErrors: 0, shares });
      check(opened !== undefined, `the shares of dealer ${dealer} have degree t`);
      const secret = secrets.get(dealer);
      if (secret && opened) check(ring.equals(opened.value, secret), `dealer ${dealer} shared its secret`);
    }
  },
  'coin flip': async ({ ring, all }: Run) => {
    allEqual([...(await all((session) => flipCoin(session, ring))).values()]);
  },
  'PRSS set-up': async ({ network, ring, all }: Run) => {
    const results = await all((session) => setUpPrss(session, ring));
    const ofSets = new Map<number, Set<string>>();
    for (const [party, { keys }] of results) {
      const held = setsOf(network.n, network.t).flatMap((set, index) => (set.includes(party) ? [index] : []));
      check(held.length === keys.length, 'a key for each set');
      for (const [at, index] of held.entries()) {
        ofSets.set(index, (ofSets.get(index) ?? new Set()).add(toHex(keys[at] ?? new Uint8Array())));
      }
    }
    check(
      [...ofSets.values()].every((keys) => keys.size === 1),
      'members of a set have the same key',
    );
    const keys = new Set([...ofSets.values()].flatMap((ofSet) => [...ofSet]));
    check(keys.size === ofSets.size, 'sets have different keys');
  },
  'begin session': async ({ random, each }: Run) => {
    const { signal } = new AbortController();
    const ids = await each(async (network) => (await beginSession(network, TEST_PURPOSE, random.bytes, signal)).id);
    allEqual([...ids.values()]);
  },
};

/** Name of a protocol of the sweep. */
export type ProtocolName = keyof typeof PROTOCOLS;
export const PROTOCOL_NAMES = Object.keys(PROTOCOLS) as ProtocolName[];

/** Runs a schedule. Throws an error that names its seed and all there is to know. */
export async function runSchedule({ protocol, n, t, seed, liars, what }: Schedule): Promise<SimNetwork> {
  const network = new SimNetwork({ n, t, seed, liars });
  const random = simRandom(`parties ${seed}`);
  const succeeded = <T>(results: ReadonlyMap<number, T | Error>): Map<number, T> =>
    new Map(
      [...results].map(([party, result]): [number, T] => {
        if (result instanceof Error) throw new Error(`party ${party}: ${result.stack}`);
        return [party, result];
      }),
    );
  const judged = async <T>(protocolOf: (session: Session) => Promise<T>, session: Session): Promise<T> => {
    const result = await protocolOf(session);
    const wronged = [...session.corrupt].filter((party) => !liars.has(party));
    if (wronged.length > 0) throw new Error(`party ${session.me} excluded the honest ${wronged}`);
    return result;
  };
  try {
    await PROTOCOLS[protocol]({
      network,
      random,
      ring: smallRing(random.bytes),
      all: async (of, mode) => succeeded(await network.run((session) => judged(of, session), mode)),
      each: async (program) => succeeded(await network.runEach(program)),
    });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`seed ${seed}: ${protocol}, n = ${n}, liars ${[...liars.keys()]} ${what}: ${why}`);
  }
  return network;
}

/**
 * Runs a protocol with t parties that lie in one round, every way in every round that an honest party speaks in.
 *
 * @returns How many schedules that were.
 */
export async function sweepRounds(protocol: ProtocolName, n: number, t: number): Promise<number> {
  let runs = 0;
  for (const [name, strategy] of Object.entries(STRATEGIES)) {
    for (let round = 1; ; round++) {
      runs += 1;
      const seed = 1_000_000 * n + 1000 * PROTOCOL_NAMES.indexOf(protocol) + runs;
      const lying = Array.from({ length: t }, (_, index) => 1 + ((seed + 3 * index) % n));
      const liars = new Map(lying.map((party) => [party, inRounds((r) => r === round, strategy)]));
      const network = await runSchedule({ protocol, n, t, seed, liars, what: `${name} in round ${round}` });
      if (!network.frames.some((frame) => frame.round > round && !liars.has(frame.from))) break;
    }
  }
  return runs;
}

const SIZES = [
  [4, 1],
  [7, 2],
  [13, 4],
] as const;

/** The schedule of a seed. Three of five are of four parties, which are the quickest. */
export function scheduleOf(seed: number): Schedule {
  const random = simRandom(`schedule ${seed}`);
  const [n, t] = SIZES[[0, 0, 0, 1, 2][seed % 5] ?? 0] ?? SIZES[0];
  const protocols = PROTOCOL_NAMES.filter((name) => n < 13 || name !== 'PRSS set-up');
  const protocol = protocols[random.below(protocols.length)] ?? 'robust open';
  const names = Object.keys(STRATEGIES);
  const liars = new Map<number, Strategy>();
  const words: string[] = [];
  while (liars.size < t) {
    const party = 1 + random.below(n);
    if (liars.has(party)) continue;
    const name = names[random.below(names.length)] ?? 'silent';
    const round = 1 + random.below(16);
    const [isIn, when] = (
      [
        [(r: number) => r === round, `in round ${round}`],
        [(r: number) => r >= round, `from round ${round} on`],
        [() => true, 'always'],
        [() => random.below(3) === 0, 'now and then'],
      ] as const
    )[random.below(4)] ?? [() => true, 'always'];
    liars.set(party, inRounds(isIn, STRATEGIES[name] ?? (() => [])));
    words.push(`${party} ${name} ${when}`);
  }
  return { protocol, n, t, seed, liars, what: words.join(', ') };
}

async function openOnce({ network, random, ring, all }: Run, mode: SessionMode): Promise<void> {
  const secret = ring.decode(random.bytes(48));
  const shares = shareSmall(ring, secret, network.n, network.t);
  const values = await all((session) => robustOpen(session, ring, shares.get(session.me) ?? secret), mode);
  for (const value of values.values()) check(ring.equals(value, secret), 'the secret was opened');
}

async function broadcastOnce(
  { network, random, all }: Run,
  protocol: (session: Session, value: Uint8Array, maxBytes: number) => Promise<Broadcast>,
): Promise<void> {
  const values = new Map(network.honest.map((party) => [party, random.bytes(1 + random.below(100))]));
  const results = await all((session) => protocol(session, values.get(session.me) ?? Uint8Array.of(7), 100));
  allEqual([...results.values()]);
  const [result] = results.values();
  for (const [party, value] of values) {
    check(isDeepStrictEqual(result?.get(party), value), `the value of party ${party} was broadcast`);
  }
}

function allEqual(values: readonly unknown[]): void {
  check(
    values.every((value) => isDeepStrictEqual(value, values[0])),
    'honest parties have the same',
  );
}

function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(`does not hold: ${what}`);
}
