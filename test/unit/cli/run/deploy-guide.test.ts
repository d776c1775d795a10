/**
 * The guide for operators and its units say nothing that the program does not know: every command and option of theirs exists,
 * and the example configuration is one that the program takes.
 */
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CommandUnknownOpts } from '@commander-js/extra-typings';
import { parse as parseToml } from 'smol-toml';
import t from 'tap';
import { makeDeveloperRoot } from '../../../../attestation/developer/chain.ts';
import { parseConfig } from '../../../../common/config.ts';
import { isTable } from '../../../../common/config-env.ts';
import { enclaveTable, foreignKeys } from '../../../../common/enclave-config.ts';
import { NodeConfig } from '../../../../common/node-config.ts';
import { readEmulatorConfig as readKmsConfig } from '../../../../emulators/aws-kms/config.ts';
import { readEmulatorConfig as readS3Config } from '../../../../emulators/s3/config.ts';
import { createProgram } from '../../../../parent/cli/program.ts';
import { tempDir } from '../../../helpers/temp-dir.ts';

const OPERATORS = join(import.meta.dirname, '../../../../docs/operators');
const GUIDE = readFileSync(join(OPERATORS, 'deploy.md'), 'utf8');
const UNITS = ['arca.service', 'arca-doctor.service'].map((name) => ({
  name,
  text: readFileSync(join(OPERATORS, 'systemd', name), 'utf8'),
}));

/** Returns what of a command line the program does not know. */
function unknownIn(line: string): readonly string[] {
  const words = line.split(/\s+/).filter((word) => word !== '' && word !== '…');
  let command: Pick<CommandUnknownOpts, 'commands' | 'options'> = createProgram();
  let depth = 0;
  for (const word of words) {
    const next = command.commands.find((sub) => sub.name() === word);
    if (!next) break;
    command = next;
    depth++;
  }
  const options = words.filter((word) => word.startsWith('--')).map((word) => word.replace(/[=[\]].*$/, ''));
  const known = command.options.map(({ long }) => long);
  return [...(depth === 0 ? [words[0] ?? ''] : []), ...options.filter((option) => !known.includes(option))];
}

const pemOf = (der: Uint8Array): string =>
  `-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString('base64')}\n-----END CERTIFICATE-----\n`;

t.test('every command of the guide exists, with its options', async (t) => {
  const inline = [...GUIDE.matchAll(/`arca ([^`]+)`/g)].map(([, line = '']) => line);
  const blocks = [...GUIDE.matchAll(/^ {4,8}arca (.+)$/gm)].map(([, line = '']) => line);
  const lines = [...inline, ...blocks];
  t.ok(lines.length >= 12, `${lines.length} commands were found`);
  for (const line of lines) t.same(unknownIn(line), [], `arca ${line}`);
  t.not(unknownIn('run --no-such-option').length, 0, 'an option that there is none of would be seen');
});

t.test('the way on a machine without Nitro: its commands exist, its files are what the programs read', async (t) => {
  const page = readFileSync(join(OPERATORS, 'qemu.md'), 'utf8');
  const blocks = [...page.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, text = '']) => text.replaceAll(/\\\n\s*/g, ''));
  const lines = [...blocks.join('\n').matchAll(/^(?:bin\/)?arca (.+?)(?: {2,}#.*)?$/gm)].map(([, line = '']) => line);
  t.ok(lines.length >= 12, `${lines.length} commands were found`);
  for (const line of lines) t.same(unknownIn(line), [], `arca ${line}`);

  const [folder, aws] = [tempDir(t), join(OPERATORS, 'qemu')];
  const text = readFileSync(join(aws, 'node.toml'), 'utf8').replaceAll('/NODE', folder);
  const config = parseConfig(NodeConfig, { text, env: {}, name: 'qemu/node.toml' });
  t.same(foreignKeys(enclaveTable({ ...config }, 'test'), 'test'), []);
  const { certificate } = makeDeveloperRoot({ nowMs: Date.now() });
  mkdirSync(join(folder, 'governance'));
  mkdirSync(join(folder, 'aws'));
  writeFileSync(join(folder, 'governance', 'developer-root.pem'), pemOf(certificate));
  for (const name of ['tls.pem', 'tls-key.pem']) writeFileSync(join(folder, 'aws', name), name);
  for (const name of ['s3.json', 'kms.json']) copyFileSync(join(aws, name), join(folder, 'aws', name));
  const s3 = readS3Config(join(folder, 'aws', 's3.json'));
  const kms = readKmsConfig(join(folder, 'aws', 'kms.json'));
  t.equal(`https://127.0.0.1:${s3.options.port}`, config.aws?.developer_s3_endpoint);
  t.equal(`https://127.0.0.1:${kms.port}`, config.aws?.developer_kms_endpoint);
  t.ok(kms.identities.some(({ arn }) => arn === config.aws?.role_arn));
  const buckets = [config.public_vault, config.private_vault].map(({ storage }) => storage.s3?.bucket);
  t.same(
    s3.buckets.map(({ name }) => name),
    buckets,
  );
});

t.test('every command of the units exists, with its options, and nothing asks for debug mode', async (t) => {
  for (const { name, text } of UNITS) {
    const lines = [...text.matchAll(/^ExecStart(?:Pre)?=\/opt\/arca\/bin\/arca (.+)$/gm)].map(([, line = '']) => line);
    t.ok(lines.length > 0, `${name}: commands were found`);
    for (const line of lines) {
      t.same(unknownIn(line), [], `arca ${line}`);
      t.notMatch(line, /debug/);
    }
    for (const line of text.split('\n')) t.match(line, /^(?:$|#|\[\w+\]$|[A-Z]\w+=)/, `${name}: ${line}`);
  }
});

t.test(
  'the example configuration is valid, and what of it reaches the enclave is what a parent may choose',
  async (t) => {
    const [, text = ''] = /```toml\n([\s\S]*?)```/.exec(GUIDE) ?? [];
    const config = parseConfig(NodeConfig, { text, env: {}, name: 'deploy.md' });
    t.match(config.enclave, { backend: 'nitro-cli', cpus: 2, cid: 16 });
    const sent = enclaveTable({ ...config }, 'production');
    t.same(foreignKeys(sent, 'production'), []);
    t.ok(isTable(sent.threshold) && !('enclave' in sent) && !('state' in sent));
    t.ok(isTable(parseToml(text)));
  },
);
