/** The figures of quorums: real ones of 4 and 13 parties, engines alone, one engine on more cores, a bad network. */
import type { Params } from '../../parent/cli/supervise/run-node.ts';
import { randomFrom } from '../helpers/sim-quorum.ts';
import type { Bench } from './decryption.ts';
import { measureAlone, measureBadNetwork } from './quorum-alone.ts';
import { measureQuorum, memoryPerParty, type QuorumGoals } from './quorum-load.ts';
import { type BenchQuorum, benchCiphertexts, readBenchKey, startBenchQuorum } from './quorum-party.ts';
import { publicRequest, type QuorumRequest, userRequest } from './quorum-requests.ts';
import { measureScaling } from './quorum-scaling.ts';

const [EUINT64, EUINT256] = [5, 8];
const FOUR = 4;
const THIRTEEN = 13;
/** Calls under way at any time when the quorum is loaded: small ones take more to keep frames full. */
const LOADED: Readonly<Record<Params, number>> = { default: 48, test: 96 };
const LOADED_OF_13 = 16;
const ALONE_IN_FLIGHT = 16;
const MEMORY_GOAL_MB = 350;
const BLOCK_BYTES = 64;
const PACKING = 4;
const EUINT64_BLOCKS = 16;

type Kind = QuorumRequest['name'];

const LOADED_GOALS: Readonly<Record<Params, Readonly<Record<Kind, QuorumGoals>>>> = {
  default: {
    public: { perSecond: 350, engineMs: 0.75, coreMs: 0.5 },
    user: { perSecond: 400, engineMs: 0.7, coreMs: 0.45 },
  },
  test: { public: { perSecond: 700 }, user: { perSecond: 1000 } },
};
const UNLOADED_GOALS: Readonly<Record<Params, Readonly<Record<Kind, QuorumGoals>>>> = {
  default: { public: { p50Ms: 8 }, user: { p50Ms: 6 } },
  test: { public: {}, user: {} },
};
const ALONE_GOALS = { public64: 1200, public256: 600, user64: 1000 } as const;
const THIRTEEN_GOAL = 40;

const BAD_NETWORK = { delayMs: 25, loss: 0.01, lossy: 1 } as const;
const BAD_NETWORK_CALLS_PER_SECOND = 50;
const BAD_NETWORK_P99_MS = 3 * BAD_NETWORK.delayMs + 20;

/** Measures quorums of 4 with both parameter sets, and the rest with `params`. The single party must not be running. */
export async function measureQuorums(bench: Bench, params: Params): Promise<void> {
  for (const each of params === 'default' ? (['default', 'test'] as const) : (['test'] as const)) {
    await measureQuorumOf4(bench, each);
  }
  await measureQuorumOf13(bench, params);
  await measureEngines(bench, params);
}

async function measureQuorumOf4(bench: Bench, params: Params): Promise<void> {
  const quorum = await startBenchQuorum(params, FOUR);
  try {
    for (const request of await requestsTo(bench, params, quorum)) {
      const figure = `quorum.of4.${params}.${request.name}.euint64`;
      const common = { request, connections: 1 };
      const unloaded = UNLOADED_GOALS[params][request.name];
      await measureQuorum(bench, quorum, { ...common, figure: `${figure}.inFlight1`, inFlight: 1, goals: unloaded });
      const loaded = LOADED_GOALS[params][request.name];
      const inFlight = LOADED[params];
      const name = `${figure}.inFlight${inFlight}`;
      const { bytesPerLink } = await measureQuorum(bench, quorum, {
        ...common,
        figure: name,
        inFlight,
        goals: loaded,
      });
      if (request.name === 'public') addBytes(bench, name, bytesPerLink);
    }
    const goal = params === 'default' ? { goal: MEMORY_GOAL_MB } : {};
    const value = memoryPerParty(quorum);
    bench.figures.add({ name: `quorum.of4.${params}.memoryPerPartyMb`, value, unit: 'MB', ...goal });
    bench.say(`quorum.of4.${params}: ${value.toFixed(0)} MB a party`);
  } finally {
    await quorum.running.stop();
  }
}

/** What is sent beside the shares themselves. */
function addBytes({ figures }: Bench, figure: string, bytesPerLink: number): void {
  const shares = (BLOCK_BYTES * EUINT64_BLOCKS) / PACKING;
  const note = `of 64 B × blocks / 4 = ${shares} B; announcement and heads are the rest`;
  figures.add({ name: `${figure}.bytesPercent`, value: (100 * bytesPerLink) / shares, unit: '%', note });
}

async function measureQuorumOf13(bench: Bench, params: Params): Promise<void> {
  const quorum = await startBenchQuorum(params, THIRTEEN);
  try {
    const [request] = await requestsTo(bench, params, quorum);
    if (!request) throw new Error('no request to measure with');
    const figure = `quorum.of13.${params}.public.euint64`;
    const load = { request, figure, inFlight: LOADED_OF_13, connections: 1, goals: { perSecond: THIRTEEN_GOAL } };
    await measureQuorum(bench, quorum, load);
    const value = memoryPerParty(quorum);
    bench.figures.add({ name: `quorum.of13.${params}.memoryPerPartyMb`, value, unit: 'MB' });
    const ready = { name: `quorum.of13.${params}.readyMs`, value: quorum.running.readyMs, unit: 'ms' } as const;
    bench.figures.add({ ...ready, goal: 30_000, note: 'epoch and key are there' });
  } finally {
    await quorum.running.stop();
  }
}

async function requestsTo(bench: Bench, params: Params, { keyId, signers }: BenchQuorum): Promise<QuorumRequest[]> {
  const { euint64 } = await benchCiphertexts(params, bench.say);
  const item = { ciphertext: euint64, fheType: EUINT64 };
  return [publicRequest(bench.folder, keyId, item), userRequest(bench.folder, keyId, item, signers)];
}

/** Engines without Cores and processes around them. */
async function measureEngines(bench: Bench, params: Params): Promise<void> {
  const { euint64, euint256 } = await benchCiphertexts(params, bench.say);
  using key = await readBenchKey(params);
  const keyId = '01'.repeat(32);
  const narrow = publicRequest(bench.folder, keyId, { ciphertext: euint64, fheType: EUINT64 });
  const wide = publicRequest(bench.folder, keyId, { ciphertext: euint256, fheType: EUINT256 });
  const user = userRequest(bench.folder, keyId, { ciphertext: euint64, fheType: EUINT64 }, []);
  const name = (n: number, what: string) => `engineAlone.of${n}.${params}.${what}`;
  await measureAlone(bench, key, { n: FOUR, t: 1, inFlight: ALONE_IN_FLIGHT }, [
    { figure: name(FOUR, 'public.euint64'), request: narrow, goal: ALONE_GOALS.public64 },
    { figure: name(FOUR, 'public.euint256'), request: wide, goal: ALONE_GOALS.public256 },
    { figure: name(FOUR, 'user.euint64'), request: user, goal: ALONE_GOALS.user64 },
  ]);
  await measureAlone(bench, key, { n: THIRTEEN, t: 4, inFlight: ALONE_IN_FLIGHT }, [
    { figure: name(THIRTEEN, 'public.euint64'), request: narrow },
  ]);
  await measureScaling(bench, params);
  const load = { figure: `badNetwork.of4.${params}.public.euint64`, request: narrow, goal: BAD_NETWORK_P99_MS };
  const settings = {
    n: FOUR,
    t: 1,
    perSecond: BAD_NETWORK_CALLS_PER_SECOND,
    network: BAD_NETWORK,
    random: randomFrom(1),
  };
  await measureBadNetwork(bench, key, settings, load);
}
