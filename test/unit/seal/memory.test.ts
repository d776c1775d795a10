/** A stream goes through sealing and opening in bounded memory, and the benchmark that measures it runs. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import t from 'tap';
import { Figures } from '../../bench/figures.ts';
import { measureSealing } from '../../bench/seal.ts';

const BENCH = new URL('../../bench/', import.meta.url).href;
/** In a process of its own: what the test runner keeps of every promise is not ours. */
const PROGRAM = `
import { measureSealing } from '${BENCH}seal.ts';
import { Figures } from '${BENCH}figures.ts';
const figures = new Figures();
await measureSealing({ figures, say: () => {} }, 200_000_000);
console.log(JSON.stringify(figures.toRecord()));
`;

t.test('the benchmark says what it found', async (t) => {
  const figures = new Figures();
  const said: string[] = [];
  await measureSealing({ figures, say: (line) => said.push(line) }, 5_000_000);
  t.match(said, [/^sealing \d+ MB\/s, opening \d+ MB\/s/]);
  t.equal(figures.all().length, 4);
});

t.test('200 MB are sealed and opened within 64 MB', async (t) => {
  const args = ['--input-type=module', '--eval', PROGRAM];
  const { stdout } = await promisify(execFile)(process.execPath, args, { env: { ...process.env, NODE_OPTIONS: '' } });
  const found: Readonly<Record<string, number>> = JSON.parse(stdout);
  t.comment(stdout.trim());
  t.ok((found['seal.memory'] ?? Number.POSITIVE_INFINITY) < 64, 'memory');
  t.ok((found['seal.sealing.megabytes'] ?? 0) > 0 && (found['seal.opening.megabytes'] ?? 0) > 0, 'speed was measured');
});
