/**
 * What vsock-proxy costs: bytes through the real program against a copy loop over socket pairs in the same run, and
 * answer times of 1,000 connections at once, with it and without. Over the Unix-socket form: there is no vsock here.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Bench } from './decryption.ts';

const run = promisify(execFile);
const PROGRAM = fileURLToPath(new URL('../../vsock-proxy/main.ts', import.meta.url));
const LOAD = fileURLToPath(new URL('./relay-load.cc', import.meta.url));
const BYTES = 1024 ** 3;
/** Short and alternating: what else the machine does hits both alike. */
const ROUNDS = 11;
const CONNECTIONS = 1000;
/** Of the copy loop's rate. */
const GOAL = 0.8;

/** Measures the proxy. */
export async function measureVsockProxy({
  figures,
  folder,
  seconds,
  say,
}: Omit<Bench, 'loadGenerator'>): Promise<void> {
  const at = join(folder, 'proxy');
  mkdirSync(at);
  const load = join(at, 'relay-load');
  await run('c++', ['-std=c++20', '-O2', '-pthread', LOAD, '-o', load]);
  const measure = async (...args: (string | number)[]): Promise<number[]> => {
    const { stdout } = await run(load, args.map(String));
    return stdout.trim().split(' ').map(Number);
  };
  const [from, to] = [join(at, 'vm_1'), join(at, 'to')];
  const stop = await startProxy(at, to);
  try {
    const raw: number[] = [];
    const through: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      raw.push(...(await measure('raw', BYTES)));
      through.push(...(await measure('through', from, to, BYTES)));
    }
    const [loop, relay] = [median(raw), median(through)];
    const unit = 'per second';
    const goal = Math.round(loop * GOAL);
    figures.add({ name: 'proxy.copyLoop.mb', value: loop, unit, note: 'read and write of 64 KiB, socket pairs' });
    figures.add({ name: 'proxy.relay.mb', value: relay, unit, goal, note: '80 % of the loop' });
    const shares = through.map((rate, round) => (100 * rate) / (raw[round] ?? Number.NaN));
    figures.add({ name: 'proxy.relay.share', value: median(shares), unit: '%', note: 'of the loop, round by round' });
    say(`vsock-proxy: ${relay.toFixed(0)} MB/s, a copy loop ${loop.toFixed(0)} MB/s`);
    for (const [name, way] of [
      ['direct', to],
      ['relay', from],
    ] as const) {
      const [perSecond = 0, p50 = 0, p99 = 0] = await measure('echo', way, to, CONNECTIONS, seconds);
      const note = `${CONNECTIONS} connections, 1 KiB under way on each`;
      figures.add({ name: `proxy.echo.${name}.perSecond`, value: perSecond, unit, note });
      figures.add({ name: `proxy.echo.${name}.p50`, value: p50 / 1000, unit: 'ms' });
      figures.add({ name: `proxy.echo.${name}.p99`, value: p99 / 1000, unit: 'ms' });
      say(`${name}: ${perSecond.toFixed(0)} echoes/s on ${CONNECTIONS} connections, p99 ${(p99 / 1000).toFixed(1)} ms`);
    }
  } finally {
    await stop();
  }
}

/** Starts the program with one route to `target`; returns what stops it. */
async function startProxy(folder: string, target: string): Promise<() => Promise<void>> {
  const file = join(folder, 'proxy.toml');
  const route = `[[route]]\nname = "bench"\nfrom = "vsock:1"\nto = "unix:${target}"\nmax_connections = 4096\n`;
  writeFileSync(file, `drain_secs = 0\n[vsock]\npath = "${join(folder, 'vm')}"\n${route}`);
  const proxy = spawn(process.execPath, [PROGRAM, '--config', file], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(createInterface(proxy.stdout), 'line');
  return async () => {
    proxy.kill('SIGTERM');
    await once(proxy, 'exit');
  };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}
