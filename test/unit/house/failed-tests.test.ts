/**
 * What CI tells again at the end of its log: each failed assertion with its place, once, and nothing else.
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';

const SCRIPT = join(import.meta.dirname, '../../../.ci/failed-tests');

const failedTests = (...log: readonly string[]): string =>
  execFileSync(SCRIPT, { input: `${log.join('\n')}\n`, encoding: 'utf8' });

t.test('a failed assertion is named with its file, its tests and its diagnosis, and only once', async (t) => {
  const told = failedTests(
    'TAP version 14',
    '# Subtest: test/unit/a.test.ts',
    '    # Subtest: outer',
    '        ok 1 - fine',
    '        # Subtest: inner',
    '            not ok 1 - numbers agree',
    '              ---',
    '              compare: ===',
    '              source: >',
    "                t.equal(1, 2, 'numbers agree');",
    '              diff: |',
    '                -2',
    '                +1',
    '              ...',
    '            1..1',
    '        not ok 2 - inner # time=36.054ms',
    '          ---',
    '          at:',
    '            lineNumber: 4',
    '          ...',
    '        1..2',
    '    not ok 1 - outer # time=45.665ms',
    '    ok 2 - a second test # time=1ms',
    '    1..2',
    'not ok 1 - test/unit/a.test.ts # time=106.95ms',
    '  ---',
    '  exitCode: 1',
    '  ...',
  );
  t.equal(
    told,
    [
      'not ok: test/unit/a.test.ts > outer > inner > 1 - numbers agree',
      '    compare: ===',
      '    diff: |',
      '      -2',
      '      +1',
      '',
    ].join('\n'),
  );
});

t.test('a file that failed as a whole is named, also after others that failed within', async (t) => {
  const file = (number: number, name: string, ...within: readonly string[]): readonly string[] => [
    `# Subtest: ${name}`,
    ...within.map((line) => `    ${line}`),
    `not ok ${number} - ${name} # time=1ms`,
    '  ---',
    '  signal: SIGSEGV',
    '  ...',
  ];
  const told = failedTests(...file(1, 'a.test.ts', 'not ok 1 - x'), ...file(2, 'b.test.ts', 'ok 1 - y'));
  t.equal(told, 'not ok: a.test.ts > 1 - x\nnot ok: 2 - b.test.ts # time=1ms\n    signal: SIGSEGV\n');
});

t.test('nothing is told of what passed, was skipped or is still to do', async (t) => {
  t.equal(failedTests('ok 1 - x', 'not ok 2 - y # TODO', 'ok 3 - z # SKIP', '# { total: 3 }', 'some noise'), '');
});

t.test('a log full of failures stays short', async (t) => {
  const told = failedTests(...Array.from({ length: 50 }, (_, i) => `not ok ${i + 1} - n`))
    .trimEnd()
    .split('\n');
  t.equal(told.length, 21);
  t.equal(told.at(-1), 'and 30 more');
});
