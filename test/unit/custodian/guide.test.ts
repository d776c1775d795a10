/** The custodians' guide names commands and options that exist, and refusals in the words of the code. */
import { globSync, readFileSync } from 'node:fs';
import t from 'tap';
import { createProgram } from '../../../parent/cli/program.ts';
import { present } from '../../helpers/present.ts';

const ROOT = new URL('../../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, ROOT), 'utf8');
const guide = read('docs/operators/custodian.md');

t.test('every command of the guide exists with its options', async (t) => {
  const blocks = [...guide.matchAll(/```sh\n(.*?)```/gs)].map(([, block = '']) => block.replace(/\\\n\s*/g, ' '));
  const lines = blocks.flatMap((block) => block.split('\n')).filter((line) => line.trim().startsWith('arca '));
  t.ok(lines.length >= 8);
  for (const line of lines) {
    const [, group = '', name = '', ...args] = line.trim().split(/\s+/);
    const command = createProgram()
      .commands.find((candidate) => candidate.name() === group)
      ?.commands.find((candidate) => candidate.name() === name);
    const known = present(command, `arca ${group} ${name}`).options.map(({ long }) => long);
    const unknown = args.filter((arg) => arg.startsWith('--') && !known.includes(arg));
    t.same(unknown, [], line);
    const missing = present(command).options.filter(({ mandatory, long }) => mandatory && !args.includes(long ?? ''));
    t.same(missing, [], `all that is needed: ${line}`);
  }
});

t.test('the refusals that the guide explains are those of the code', async (t) => {
  const files = globSync('{custodian,attestation/document,parent/cli/custodian,parent/cli/actions}/**/*.ts', {
    cwd: ROOT,
  });
  const code = files.map(read).join('\n');
  const rows = [...guide.matchAll(/^\| `(.+?)`(?: with an age|, `PCR.*?`)? \|/gm)].map(([, text = '']) => text);
  t.ok(rows.length >= 10);
  for (const row of rows) {
    // What is fixed in a message: its longest run without numbers, names and dots.
    const fixed = row.split(/\d+|'[^']*'|…|, `|`|:|;|, is/).toSorted((a, b) => b.length - a.length)[0] ?? row;
    t.ok(code.includes(fixed.trim()), `${row} (${fixed.trim()})`);
  }
});
