/** How much more one party's engine does on two cores than on one: `taskset` fixes them. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { nodePrograms } from '../../parent/cli/supervise/node-programs.ts';
import type { Params } from '../../parent/cli/supervise/run-node.ts';
import type { Bench } from './decryption.ts';

const run = promisify(execFile);
const PROGRAM = fileURLToPath(new URL('./one-engine.ts', import.meta.url));
const GOAL = 1.8;
const ROUNDS = 2;

/** Measures public decryptions of an euint64 on cores 0, and 0 and 1, in turns. */
export async function measureScaling({ figures, folder, seconds, say }: Bench, params: Params): Promise<void> {
  const best = { one: 0, two: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    best.one = Math.max(best.one, await rateOn('0', folder, params, seconds));
    best.two = Math.max(best.two, await rateOn('0,1', folder, params, seconds));
  }
  const scaling = best.two / best.one;
  const name = 'engineAlone.scaling';
  figures.add({ name: `${name}.oneCorePerSecond`, value: best.one, unit: 'per second' });
  figures.add({ name: `${name}.twoCoresPerSecond`, value: best.two, unit: 'per second' });
  const note = `times as many on two cores; goal: ${GOAL}: ${scaling >= GOAL ? 'reached' : 'missed'}`;
  figures.add({ name: `${name}.percent`, value: 100 * scaling, unit: '%', note });
  say(`${name}: ${best.one.toFixed(0)}/s on one core, ${best.two.toFixed(0)}/s on two: ${scaling.toFixed(2)} times`);
}

async function rateOn(cores: string, folder: string, params: Params, seconds: number): Promise<number> {
  // As the supervisor starts an engine: its threads, its heap.
  const [engine] = nodePrograms({ threshold: true, configFile: '' });
  const program = [process.execPath, ...(engine?.v8Flags ?? []), PROGRAM, folder, params, String(seconds)];
  const { stdout } = await run('taskset', ['--cpu-list', cores, ...program], {
    env: { ...process.env, ...engine?.env },
  });
  return Number(stdout);
}
