/**
 * Decryptions by a real quorum: every call asks all parties with one request id, as published clients do, and counts when
 * all have answered. Rate, latency, processor time of each process, bytes between engines, memory.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type LoadResult, runLoad } from '../helpers/load-generator.ts';
import type { Bench } from './decryption.ts';
import { cpuSeconds, mainThreadCpuSeconds, memory } from './process-usage.ts';
import type { BenchQuorum } from './quorum-party.ts';
import type { QuorumRequest } from './quorum-requests.ts';

/** Goals of one figure each; absent where there is none. */
export interface QuorumGoals {
  readonly perSecond?: number;
  readonly p50Ms?: number;
  readonly p99Ms?: number;
  readonly engineMs?: number;
  readonly coreMs?: number;
}

/** One load. */
export interface QuorumLoad {
  /** Figures are named after it. */
  readonly figure: string;
  readonly request: QuorumRequest;
  readonly inFlight: number;
  /** Connections to each party. */
  readonly connections: number;
  /** So many parties must answer; all, if absent. */
  readonly answers?: number;
  readonly goals: QuorumGoals;
}

/**
 * Until the code is compiled as it stays: V8 compiles by the number of calls, of which a party of 4 gets some hundreds a
 * second, and one of 13 on the same cores some tens.
 */
const WARM_UP = { seconds: 12, calls: 1500, mostRounds: 4 } as const;

/** What was measured, times for each party and call. */
export interface QuorumMeasured extends LoadResult {
  readonly engineMs: number;
  readonly engineMainThreadMs: number;
  readonly coreMs: number;
  readonly generatorMs: number;
  /** Bytes of frames for each call and link, one way. */
  readonly bytesPerLink: number;
  readonly framesPerLink: number;
}

/** Puts a load on the quorum and adds its figures. */
export async function measureQuorum(bench: Bench, quorum: BenchQuorum, load: QuorumLoad): Promise<QuorumMeasured> {
  const { figure, goals, inFlight } = load;
  const measured = await runQuorumLoad(bench, quorum, load);
  const add = (name: string, value: number, unit: 'ms' | 'per second' | 'bytes', goal?: number, note?: string) =>
    bench.figures.add({
      name: `${figure}.${name}`,
      value,
      unit,
      ...(goal === undefined ? {} : { goal }),
      ...(note === undefined ? {} : { note }),
    });
  add('perSecond', measured.perSecond, 'per second', goals.perSecond);
  add('p50Ms', measured.p50Ms, 'ms', goals.p50Ms);
  add('p99Ms', measured.p99Ms, 'ms', goals.p99Ms);
  add('cpu.engineMs', measured.engineMs, 'ms', goals.engineMs, 'per party');
  add('cpu.engineMainThreadMs', measured.engineMainThreadMs, 'ms', undefined, 'per party');
  add('cpu.coreMs', measured.coreMs, 'ms', goals.coreMs, 'per party');
  add('cpu.loadGeneratorMs', measured.generatorMs, 'ms');
  add('bytesPerLink', measured.bytesPerLink, 'bytes', undefined, 'frames between two engines, one way');
  bench.say(
    `${figure} (${inFlight} in flight): ${measured.perSecond.toFixed(0)}/s, p50 ${measured.p50Ms} ms, p99 ${measured.p99Ms} ms, ` +
      `engine ${measured.engineMs.toFixed(3)} ms (main thread ${measured.engineMainThreadMs.toFixed(3)}), ` +
      `core ${measured.coreMs.toFixed(3)} ms, generator ${measured.generatorMs.toFixed(3)} ms, ` +
      `${measured.framesPerLink.toFixed(2)} frames, ${measured.bytesPerLink.toFixed(0)} B a link`,
  );
  return measured;
}

async function runQuorumLoad(bench: Bench, quorum: BenchQuorum, load: QuorumLoad): Promise<QuorumMeasured> {
  const { request, inFlight, connections, answers } = load;
  const { path, bodyPath, idAt } = request;
  const answerPath = join(bench.folder, `answer-${load.figure}`);
  const address = quorum.addresses.join(',');
  const target = { kind: 'grpc', address, path, ...(answers === undefined ? {} : { answers }) } as const;
  const options = { target, bodyPath, idAt, inFlight, connections, answerPath, warmUpSeconds: 0 };
  for (let round = 0, calls = 0; round < WARM_UP.mostRounds && calls < WARM_UP.calls; round++) {
    calls += (await runLoad(bench.loadGenerator, { ...options, seconds: WARM_UP.seconds })).calls;
  }
  const before = await usageOf(quorum);
  const result = await runLoad(bench.loadGenerator, { ...options, seconds: bench.seconds });
  if (result.errors > 0 || result.calls === 0) {
    throw new Error(`${load.figure}: decryptions failed: ${JSON.stringify(result.errorsByName)}`);
  }
  const after = await usageOf(quorum);
  request.check(quorum.addresses.map((_, i) => readAnswer(`${answerPath}.${i + 1}`)));
  const n = quorum.addresses.length;
  const each = (name: keyof Usage): number => (after[name] - before[name]) / result.calls / n;
  return {
    ...result,
    engineMs: 1000 * each('engine'),
    engineMainThreadMs: 1000 * each('engineMain'),
    coreMs: 1000 * each('core'),
    generatorMs: (1000 * result.cpuSeconds) / result.calls,
    bytesPerLink: each('bytes') / (n - 1),
    framesPerLink: each('frames') / (n - 1),
  };
}

/** Memory of engine and Core together, of the party that takes most. */
export function memoryPerParty({ running }: BenchQuorum): number {
  const sums = running.parties.map(({ pids }) =>
    Object.values(pids()).reduce((sum, pid) => sum + memory(pid).residentMb, 0),
  );
  return Math.max(...sums);
}

type Usage = Record<'engine' | 'engineMain' | 'core' | 'bytes' | 'frames', number>;

/** What all parties have used so far, in seconds, bytes and frames. */
async function usageOf({ running }: BenchQuorum): Promise<Usage> {
  const usage: Usage = { engine: 0, engineMain: 0, core: 0, bytes: 0, frames: 0 };
  for (const { pids, node } of running.parties) {
    const { engine, core } = pids();
    if (engine === undefined || core === undefined) throw new Error('a party does not run');
    usage.engine += cpuSeconds(engine);
    usage.engineMain += mainThreadCpuSeconds(engine);
    usage.core += cpuSeconds(core);
    const metrics = await (await fetch(new URL('/metrics', node.opsUrl))).text();
    usage.bytes += sumOf(metrics, 'kms_quorum_sent_bytes_total');
    usage.frames += sumOf(metrics, 'kms_quorum_frames_sent_total');
  }
  return usage;
}

function sumOf(metrics: string, name: string): number {
  return metrics
    .split('\n')
    .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}

function readAnswer(path: string): Uint8Array | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}
