/** Logs of a node: bounded on disk, and shown from their end without anything that a terminal would obey. */
import { appendFileSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { runLogs } from '../../../parent/cli/actions/logs.ts';
import { createOutput } from '../../../parent/cli/framework/output.ts';
import { openNodeLog } from '../../../parent/cli/supervise/node-log.ts';
import { tempDir } from '../../helpers/temp-dir.ts';

const fileSize = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;

/** Runs the command; what it wrote on standard output. */
async function logs(dir: string, options: { readonly enclave?: true; readonly lines: number; readonly json?: true }) {
  let text = '';
  const stdout = {
    write: (words: string): boolean => {
      text += words;
      return true;
    },
  };
  const output = createOutput({ json: options.json === true, stdout, stderr: { write: () => true } });
  await runLogs({ dir, enclave: options.enclave, lines: options.lines }, output);
  return text;
}

t.test('the last lines are shown, of the node or of its enclave', async (t) => {
  const dir = tempDir(t);
  writeFileSync(join(dir, 'node.log'), 'one\ntwo\nthree\n');
  writeFileSync(join(dir, 'enclave.log.1'), '{"event":"init.booted"}\n');
  writeFileSync(join(dir, 'enclave.log'), 'a\u001b[2Jb\n{"event":"init.exit","reason":"x"}\n');
  t.equal(await logs(dir, { lines: 2 }), 'two\nthree\n');
  t.notMatch(await logs(dir, { enclave: true, lines: 9 }), '\u001b');
  t.same(JSON.parse(await logs(dir, { enclave: true, lines: 2, json: true })).lines[1], {
    event: 'init.exit',
    reason: 'x',
  });
  t.match(await logs(dir, { enclave: true, lines: 3 }), /init\.booted/, 'the file before counts too');
});

t.test('a log is followed over the moment at which it is begun anew, whole lines at a time', async (t) => {
  const dir = tempDir(t);
  const path = join(dir, 'enclave.log');
  writeFileSync(path, 'one\ntwo\nthr');
  let text = '';
  const stdout = {
    write: (words: string): boolean => {
      text += words;
      return true;
    },
  };
  const output = createOutput({ json: false, stdout, stderr: { write: () => true } });
  const ended = new AbortController();
  const shown = async (lines: string): Promise<void> => {
    while (text !== lines) await new Promise((resolve) => setTimeout(resolve, 10));
  };
  const running = runLogs({ dir, enclave: true, lines: 1, follow: true }, output, ended.signal);
  await shown('two\n');
  appendFileSync(path, 'ee\nfo');
  await shown('two\nthree\n');
  appendFileSync(path, 'ur\nlast\n');
  renameSync(path, `${path}.1`);
  writeFileSync(path, 'a\u001b[2Jnew\n');
  await shown('two\nthree\nfour\nlast\na?[2Jnew\n');
  ended.abort();
  await running;
  const json = createOutput({ json: true, stdout, stderr: { write: () => true } });
  await t.rejects(runLogs({ dir, enclave: true, lines: 1, follow: true }, json), { code: 'REQUEST_INVALID' });
});

t.test('a node without an enclave has no such log', async (t) => {
  const dir = tempDir(t);
  await t.rejects(logs(dir, { enclave: true, lines: 1 }), { code: 'NOT_FOUND', facts: { cure: /arca run/ } });
  await t.rejects(logs(dir, { lines: 1 }), { code: 'NOT_FOUND', facts: { cure: /--dir/ } });
});

t.test('a log that is full is begun anew while the node runs, and the one before is kept', async (t) => {
  const dir = tempDir(t);
  const log = await openNodeLog(dir, 'enclave.log');
  const line = 'x'.repeat(256 * 1024);
  const sizeOf = (): number =>
    ['enclave.log', 'enclave.log.1'].reduce((sum, name) => sum + fileSize(join(dir, name)), 0);
  for (let written = 0; written < 80; written++) {
    const before = sizeOf();
    log.write(`${written} ${line}`);
    // A line is waited for: a disk that is slower than the writer loses some.
    while (sizeOf() === before) await new Promise((resolve) => setImmediate(resolve));
  }
  await log.close();
  const [now, before] = ['enclave.log', 'enclave.log.1'].map((name) => readFileSync(join(dir, name), 'utf8'));
  t.ok((now?.length ?? 0) < 17 * 1024 * 1024 && (before?.length ?? 0) < 17 * 1024 * 1024, 'both are bounded');
  t.match(now?.split('\n').at(-2)?.slice(0, 3), '79 ', 'the last line is there');
});
