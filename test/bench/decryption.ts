/** Decryptions through the whole party, by gRPC: rate, latency, and processor time of each process. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import { HelloSchema } from '../../proto/gen/engine_pb.js';
import { LINK_PROTOCOL_VERSION } from '../../wire/frames.ts';
import { type LoadOptions, type LoadResult, runLoad } from '../helpers/load-generator.ts';
import type { Figures } from './figures.ts';
import type { PlainNode } from './plain-node.ts';
import { cpuSeconds, mainThreadCpuSeconds } from './process-usage.ts';
import type { BenchRequest } from './requests.ts';

/** What all measurements share. */
export interface Bench {
  readonly figures: Figures;
  readonly loadGenerator: string;
  /** Folder for files of this run. */
  readonly folder: string;
  readonly seconds: number;
  readonly say: (line: string) => void;
}

const IN_FLIGHT = [1, 16, 256] as const;
const WARM_UP_SECONDS = 1;
/** HTTP/2 connections share the calls: published clients hold a few. */
const CONNECTIONS = 4;

/** The goals of two isolated processes on two cores, generator included. */
const GOALS = {
  public: { perSecond: 1000, coreMs: 0.7, engineMs: 0.5 },
  user: { perSecond: 700, coreMs: undefined, engineMs: undefined },
} as const;
const UNLOADED_P50_MS = 2.5;

interface Measured extends LoadResult {
  readonly coreMs: number;
  readonly engineMs: number;
  readonly engineMainThreadMs: number;
  readonly generatorMs: number;
}

/** The processes that are measured. */
export interface Measurable {
  readonly clientUrl: string;
  readonly enginePid: number;
  readonly corePid: number;
}

/** Measures one kind of request at each load. */
export async function measureDecryption(bench: Bench, party: Measurable, request: BenchRequest): Promise<void> {
  const address = new URL(party.clientUrl).host;
  for (const inFlight of IN_FLIGHT) {
    const measured = await measure(bench, party, request, { kind: 'grpc', address, path: request.path }, inFlight);
    const prefix = `${request.name}.bigCompressed.euint64.inFlight${inFlight}`;
    const goals = inFlight === 1 ? undefined : GOALS[request.name];
    const add = (name: string, value: number, unit: 'ms' | 'per second', goal?: number) =>
      bench.figures.add({ name: `${prefix}.${name}`, value, unit, ...(goal === undefined ? {} : { goal }) });
    add('perSecond', measured.perSecond, 'per second', goals?.perSecond);
    add('p50Ms', measured.p50Ms, 'ms', inFlight === 1 ? UNLOADED_P50_MS : undefined);
    add('p99Ms', measured.p99Ms, 'ms');
    add('cpu.coreMs', measured.coreMs, 'ms', goals?.coreMs);
    add('cpu.engineMs', measured.engineMs, 'ms', goals?.engineMs);
    add('cpu.engineMainThreadMs', measured.engineMainThreadMs, 'ms');
    add('cpu.loadGeneratorMs', measured.generatorMs, 'ms');
  }
}

/**
 * Measures the same party with a bare Unix socket between Core and engine, and the engine alone over that socket: what
 * the mesh costs is the difference to {@link measureDecryption}.
 */
export async function measureWithoutMesh(bench: Bench, party: PlainNode, request: BenchRequest): Promise<void> {
  const address = new URL(party.clientUrl).host;
  const hello = toBinary(
    HelloSchema,
    create(HelloSchema, { protocolVersion: LINK_PROTOCOL_VERSION, developerMode: true, role: 'core' }),
  );
  const { engineSocket: socketPath } = party;
  const grpc = { kind: 'grpc', address, path: request.path } as const;
  const engine = { kind: 'engine', socketPath, method: request.engineMethod, hello } as const;
  for (const inFlight of [1, 16]) {
    const whole = await measure(bench, party, request, grpc, inFlight);
    const alone = await measure(bench, party, request, engine, inFlight, 1);
    const add = (name: string, value: number, unit: 'ms' | 'per second') =>
      bench.figures.add({ name: `withoutMesh.${request.name}.${name}.inFlight${inFlight}`, value, unit });
    add('perSecond', whole.perSecond, 'per second');
    add('p50Ms', whole.p50Ms, 'ms');
    add('cpu.coreMs', whole.coreMs, 'ms');
    add('cpu.engineMs', whole.engineMs, 'ms');
    add('engineAlone.perSecond', alone.perSecond, 'per second');
    add('engineAlone.p50Ms', alone.p50Ms, 'ms');
    add('engineAlone.cpuMs', alone.engineMs, 'ms');
  }
}

async function measure(
  bench: Bench,
  party: Measurable,
  request: BenchRequest,
  target: LoadOptions['target'],
  inFlight: number,
  connections: number = CONNECTIONS,
): Promise<Measured> {
  const answerPath = join(bench.folder, 'answer');
  const { bodyPath, idAt } = request;
  const options = { target, bodyPath, idAt, inFlight, connections, answerPath };
  await runLoad(bench.loadGenerator, { ...options, warmUpSeconds: 0, seconds: WARM_UP_SECONDS });
  const { corePid, enginePid } = party;
  const before = [cpuSeconds(corePid), cpuSeconds(enginePid), mainThreadCpuSeconds(enginePid)] as const;
  const result = await runLoad(bench.loadGenerator, { ...options, warmUpSeconds: 0, seconds: bench.seconds });
  if (result.errors > 0 || result.calls === 0) {
    throw new Error(`${request.name} decryptions failed: ${JSON.stringify(result.errorsByName)}`);
  }
  request.check(readFileSync(answerPath));
  const each = (seconds: number) => (seconds * 1000) / result.calls;
  bench.say(
    `${request.name} decryption, ${target.kind}, ${inFlight} in flight: ${Math.round(result.perSecond)}/s, p50 ${result.p50Ms} ms`,
  );
  return {
    ...result,
    coreMs: each(cpuSeconds(corePid) - before[0]),
    engineMs: each(cpuSeconds(enginePid) - before[1]),
    engineMainThreadMs: each(mainThreadCpuSeconds(enginePid) - before[2]),
    generatorMs: each(result.cpuSeconds),
  };
}
