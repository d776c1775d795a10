/** Every command of the operators' guide to backups runs, and does what the page says. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CommandUnknownOpts } from '@commander-js/extra-typings';
import t, { type Test } from 'tap';
import { toHex } from '../../../common/bytes.ts';
import { createProgram } from '../../../parent/cli/program.ts';
import { runArca } from '../../helpers/cli-script.ts';
import { tempDir } from '../../helpers/temp-dir.ts';
import { lostCalls, openedIn, runningBackup, serveCalls } from './served-backup.ts';

const PAGE = readFileSync(new URL('../../../docs/operators/backup.md', import.meta.url), 'utf8');

/** The fenced blocks of the page, by what stands behind the fence. */
function blocks(kind: string): readonly string[] {
  return [...PAGE.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)].flatMap(([, name, body]) =>
    name === kind ? [body ?? ''] : [],
  );
}

const commands = (kind: string): string[][] =>
  blocks(kind)
    .join('')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(' '));

async function runs(t: Test, [arca, ...args]: readonly string[], dir: string, pin = ''): Promise<void> {
  t.equal(arca, 'arca');
  const filled = args.map((word) => word.replace('$PIN', pin));
  const { code, stderr } = await runArca([...filled, '--dir', dir]);
  t.equal(code, 0, `arca ${args.join(' ')}\n${stderr}`);
}

t.test('the page has commands of each kind, and no other block that looks like one', async (t) => {
  t.equal(commands('sh serving').length, 7);
  t.equal(commands('sh lost').length, 3);
  t.equal(commands('sh').length, 1);
  const fences = [...PAGE.matchAll(/^```(.+)$/gm)].map(([, name]) => name);
  t.same(new Set(fences), new Set(['toml', 'sh', 'sh serving', 'sh lost']));
});

t.test('commands that the text names beside the blocks exist with their options', async (t) => {
  const named = [...PAGE.matchAll(/`(arca [^`]+)`/g)].map(([, command = '']) => command.split(' ').slice(1));
  t.ok(named.length >= 6);
  for (const words of named) {
    let command: CommandUnknownOpts = createProgram();
    let depth = 0;
    for (const word of words) {
      const found = command.commands.find((candidate) => candidate.name() === word);
      if (found === undefined) break;
      command = found;
      depth += 1;
    }
    t.ok(depth > 0 && command.commands.length === 0, `arca ${words.join(' ')}`);
    const known = command.options.map(({ long }) => long);
    t.same(
      words.slice(depth).filter((word) => word.startsWith('--') && !known.includes(word)),
      [],
      words.join(' '),
    );
  }
});

t.test('those for a node that serves', async (t) => {
  const { backup, calls } = await runningBackup(t);
  await backup.settled();
  const { dir } = await serveCalls(t, calls);
  for (const command of commands('sh serving')) await runs(t, command, dir);
});

t.test('those for a node that has lost its vault', async (t) => {
  const opened = openedIn();
  const { backup, filled } = await runningBackup(t, opened);
  await backup.settled();
  const { sequence = 0, digest = new Uint8Array() } = filled.head.point ?? {};
  const { calls, storage } = lostCalls(opened);
  const { dir } = await serveCalls(t, calls);
  for (const command of commands('sh lost')) await runs(t, command, dir, `${sequence}:${toHex(digest)}`);
  t.not((await storage.list([])).length, 0, 'and the vault is back');
});

t.test('its configuration is accepted, with both keychains', async (t) => {
  const [section = ''] = blocks('toml');
  for (const keychain of ['aws_kms', 'custodians']) {
    const file = join(tempDir(t), 'node.toml');
    writeFileSync(
      file,
      NODE_TOML + section.replace('[backup_vault.keychain.aws_kms]', `[backup_vault.keychain.${keychain}]`),
    );
    const [command = []] = commands('sh');
    const { code, stderr } = await runArca(command.slice(1).map((word) => (word === 'node.toml' ? file : word)));
    t.equal(code, 0, stderr);
  }
});

const NODE_TOML = `
[engine]
socket_path = "/run/arca/engine.sock"
[aws]
region = "eu-central-1"
role_arn = "arn:aws:iam::111122223333:role/arca-engine-p1"
instance_role = false
web_identity_token_path = "/run/secrets/token"
[public_vault.storage.s3]
bucket = "example-kms"
prefix = "PUB-p1"
[private_vault.storage.s3]
bucket = "example-kms-private"
prefix = "PRIV-p1"
[private_vault.keychain.aws_kms]
[state]
path = "/var/lib/arca/core.sqlite"
[attestation]
charter_path = "/etc/arca/charter.cbor"
record_path = "/var/lib/arca/record.cbor"
releases_path = "/var/lib/arca/releases.cbor"
`;
