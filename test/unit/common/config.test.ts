/**
 * The configuration loader: sources and their order, and messages that name every fault at once.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { z } from 'zod';
import { explainConfig, loadConfig, parseConfig, redactConfig } from '../../../common/config.ts';
import { isKmsError } from '../../../common/errors.ts';
import { tempDir } from '../../helpers/temp-dir.ts';

const Schema = z.strictObject({
  service: z
    .strictObject({
      listen_port: z.int().min(1).max(65_535).default(50_051).describe('Where to listen.'),
      quiet: z.boolean().default(false),
      ratio: z.number().default(0.5),
      names: z.array(z.string()).default([]),
      token: z.string().default('').meta({ sensitive: true }),
    })
    .prefault({}),
  store: z.strictObject({ path: z.string().describe('Where the store lies.') }),
  level: z.enum(['low', 'high']).default('low').describe('How high.'),
  gone: z.never({ error: 'gone is not available' }).optional().describe('Refused.'),
});
const STORE = '[store]\npath = "/s"\n';

const parse = (text: string, env = {}) => parseConfig(Schema, { text, env, name: 'node.toml' });

/** The message of the refusal, line by line without the first. */
function faultsOf(text: string, env = {}): string[] {
  try {
    parse(text, env);
  } catch (error) {
    if (isKmsError(error, 'CONFIG_INVALID'))
      return error.message
        .split('\n')
        .slice(1)
        .map((line) => line.trim());
    throw error;
  }
  return [];
}

t.test('defaults stand in for what the file leaves out', async (t) => {
  t.same(parse(STORE), {
    service: { listen_port: 50_051, quiet: false, ratio: 0.5, names: [], token: '' },
    store: { path: '/s' },
    level: 'low',
  });
});

t.test('the environment wins over the file and is read in the type of its key', async (t) => {
  const env = {
    KMS_CORE__SERVICE__LISTEN_PORT: '50100',
    KMS_CORE__SERVICE__QUIET: 'true',
    KMS_CORE__SERVICE__RATIO: '0.25',
    KMS_CORE__SERVICE__NAMES: 'a, b,c',
    KMS_CORE__STORE__PATH: '/7',
    KMS_CORE__LEVEL: 'high',
    KMS_COREX__LEVEL: 'ignored',
    PATH: '/bin',
  };
  t.same(parse('[service]\nlisten_port = 1\n[store]\npath = "/s"', env), {
    service: { listen_port: 50_100, quiet: true, ratio: 0.25, names: ['a', 'b', 'c'], token: '' },
    store: { path: '/7' },
    level: 'high',
  });
  t.same(parse(STORE, { KMS_CORE__SERVICE__NAMES: '' }).service.names, [], 'an empty list');
});

t.test('every fault is reported at once with its line, field and nearest known key', async (t) => {
  const text = [
    'level = "medium"', // 1
    'levl = 1', // 2
    '[service] # comment', // 3
    'listen_prot = 3', // 4
    'quiet = "no"', // 5
    'names = [', // 6
    '  "a", # ]',
    '  3,',
    ']',
    'path = "/x"', // 10
    '[gone]', // 11
    'x = 1',
  ].join('\n');
  t.same(faultsOf(text, { KMS_CORE__SERVICE__LISTEN_PORT: 'many', KMS_CORE__STROE__PATH: '/x' }), [
    'store.path: is missing; needs a string: Where the store lies.',
    'line 1: level: Invalid option: expected one of "low"|"high"',
    'line 2: levl: unknown key; did you mean level?',
    'line 4: service.listen_prot: unknown key; did you mean listen_port?',
    'line 5: service.quiet: needs a boolean, not a string',
    'line 6: service.names.1: needs a string, not a number',
    'line 10: service.path: unknown key here; did you mean store.path?',
    'line 11: gone: gone is not available',
    'KMS_CORE__SERVICE__LISTEN_PORT: service.listen_port: needs a number, not a string',
    'KMS_CORE__STROE__PATH: stroe: unknown key; did you mean store?',
  ]);
});

t.test('lines are found through every shape that a key can have', async (t) => {
  const cases = [
    ['dotted key', 'service.listen_prot = 1', 1],
    ['quoted key', '\n[service]\n"listen_prot" = 1', 3],
    ['inline table', '\n\nservice = { listen_prot = 1 }', 3],
    ['after a multi-line string', 'level = """\n[service]\nlisten_prot = 2\n\\"""""\n[service]\nlisten_prot = 1', 6],
    ['after a literal string with a hash', "level = '#'\n[service]\nlisten_prot = 1", 3],
    ['spaces, tabs and Windows line ends', '\r\n[ service ]\r\n\tlisten_prot\t= 1', 3],
    ['sub-table', '[service.listen_prot]', 1],
  ] as const;
  for (const [why, text, line] of cases) {
    t.match(faultsOf(text).join('\n'), `line ${line}: service.listen_prot: unknown key`, why);
  }
});

t.test('text that is no TOML is refused with line and column, and is not quoted', async (t) => {
  for (const text of ['a = ', 'a = 1\na = 2', 'token = "secret-value', '[a\n', '\u0000', 'a = 99999999999999999999']) {
    const faults = faultsOf(`\n${text}`);
    t.equal(faults.length, 1, JSON.stringify(text));
    t.match(faults[0], /^line \d+, column \d+: not valid TOML/);
    t.notMatch(faults[0], 'secret-value');
  }
});

t.test('no message repeats a value', async (t) => {
  const faults = faultsOf('level = "hunter2"\n[service]\nlisten_port = "hunter2"\ntoken = 5\n', {
    KMS_CORE__STORE: 'hunter2',
    KMS_CORE__SERVICE__QUIET: 'hunter2',
  });
  t.ok(faults.length >= 4);
  t.notMatch(faults.join('\n'), 'hunter2');
});

t.test('names that mean something to JavaScript are keys like any other', async (t) => {
  for (const name of ['__proto__', 'constructor', 'toString', 'prototype']) {
    t.match(faultsOf(`${STORE}[${name}]\nx = 1`).join(), 'unknown key', `table ${name}`);
    const variable = `KMS_CORE__SERVICE__X${name.toUpperCase()}`;
    t.match(faultsOf(STORE, { [variable]: '1' }).join(), 'unknown key', variable);
  }
  t.match(faultsOf(STORE, { KMS_CORE____PROTO____X: '1' }).join(), 'unknown key');
  t.equal(Object.getOwnPropertyDescriptor(Object.prototype, 'x'), undefined, 'nothing was polluted');
});

t.test('any text and any variables give a configuration or a refusal, never a crash', async (t) => {
  const word = fc.constantFrom(
    'service',
    'listen_port',
    '=',
    '[',
    ']',
    '"',
    "'",
    '"""',
    '\n',
    '.',
    '#',
    '{',
    '}',
    '1',
    ',',
    '\\',
  );
  const text = fc.oneof(
    fc.string(),
    fc.array(word, { maxLength: 30 }).map((words) => words.join('')),
  );
  const env = fc.dictionary(
    fc.string().map((name) => `KMS_CORE__${name}`),
    fc.string(),
    { maxKeys: 3 },
  );
  fc.assert(
    fc.property(text, env, (text, env) => {
      try {
        parse(text, env);
      } catch (error) {
        if (!isKmsError(error, 'CONFIG_INVALID')) throw error;
      }
    }),
    { numRuns: 500 },
  );
  t.pass('1 property');
});

t.test('a file that is not there is refused by its name', async (t) => {
  const file = join(tempDir(t), 'node.toml');
  t.throws(() => loadConfig(Schema, { file, env: {} }), {
    code: 'CONFIG_INVALID',
    message: `configuration ${file}: there is no such file`,
  });
  writeFileSync(file, STORE);
  t.equal(loadConfig(Schema, { file, env: {} }).store.path, '/s');
  t.throws(() => loadConfig(Schema, { file: tempDir(t), env: {} }), { code: 'CONFIG_INVALID', message: /EISDIR/ });
});

t.test('the schema explains every key with its kind, default and meaning', async (t) => {
  const keys = explainConfig(Schema);
  t.same(
    keys.map((key) => [key.path.join('.'), key.kind, key.required]),
    [
      ['service', 'table', false],
      ['service.listen_port', 'integer', false],
      ['service.quiet', 'boolean', false],
      ['service.ratio', 'number', false],
      ['service.names', 'array', false],
      ['service.token', 'string', false],
      ['store', 'table', true],
      ['store.path', 'string', true],
      ['level', 'string', false],
      ['gone', 'unavailable', false],
    ],
  );
  t.match(keys[1], { default: 50_051, description: 'Where to listen.' });
  t.match(keys[8], { choices: ['low', 'high'], description: 'How high.' });
});

t.test('what is sensitive is blotted out where a configuration is shown', async (t) => {
  const config = parse(`${STORE}[service]\ntoken = "hunter2"`);
  const shown = redactConfig(Schema, config);
  t.match(shown, { service: { token: '[redacted]', listen_port: 50_051 }, store: { path: '/s' } });
  t.notMatch(JSON.stringify(shown), 'hunter2');
  t.equal(config.service.token, 'hunter2', 'the configuration itself stays as it is');
});
