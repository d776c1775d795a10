/** Processor time of the transports alone: HTTP/2 in, and frames over a Unix socket in, with nothing behind them. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type LoadOptions, runLoad } from '../helpers/load-generator.ts';
import type { Bench } from './decryption.ts';
import { cpuSeconds } from './process-usage.ts';
import type { BenchRequest } from './requests.ts';

const PROGRAM = fileURLToPath(new URL('./null-server.ts', import.meta.url));
const IN_FLIGHT = 16;

/** Measures both transports with the body of a request. */
export async function measureTransports(bench: Bench, request: BenchRequest): Promise<void> {
  await measureTransport(bench, request, 'http2', ['grpc'], (where) => ({
    kind: 'grpc',
    address: where,
    path: '/null/Call',
  }));
  const socketPath = join(bench.folder, 'null.sock');
  await measureTransport(bench, request, 'frames', ['frames', socketPath], (where) => ({
    kind: 'engine',
    socketPath: where,
    method: request.engineMethod,
    hello: new Uint8Array(),
  }));
}

async function measureTransport(
  bench: Bench,
  { bodyPath, idAt }: BenchRequest,
  name: string,
  args: readonly string[],
  targetAt: (where: string) => LoadOptions['target'],
): Promise<void> {
  const server = spawn(process.execPath, [PROGRAM, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  const pid = server.pid;
  if (pid === undefined) throw new Error('the null server did not start');
  try {
    const [where] = await once(createInterface(server.stdout), 'line');
    const target = targetAt(String(where));
    const options = { target, bodyPath, idAt, inFlight: IN_FLIGHT, connections: 4, warmUpSeconds: 0 };
    await runLoad(bench.loadGenerator, { ...options, seconds: 1 });
    const before = cpuSeconds(pid);
    const result = await runLoad(bench.loadGenerator, { ...options, seconds: bench.seconds });
    const value = ((cpuSeconds(pid) - before) * 1e6) / result.calls;
    bench.figures.add({ name: `step.transport.${name}`, value, unit: 'µs' });
    bench.figures.add({ name: `step.transport.${name}.perSecond`, value: result.perSecond, unit: 'per second' });
    bench.say(`${name} alone: ${value.toFixed(0)} µs of processor time a call, ${Math.round(result.perSecond)}/s`);
  } finally {
    server.stdin.end();
    await once(server, 'exit');
  }
}
