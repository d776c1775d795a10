import { createServer } from 'node:net';
import t from 'tap';
import { runCliScript } from '../../helpers/cli-script.ts';

const script = (name: string) => new URL(`./scripts/${name}.txt`, import.meta.url);
const GOOD = `developer_mode = true
[engine]
socket_path = "/run/arca/engine.sock"
[service]
listen_port = 50100
[public_vault.storage.file]
path = "/var/lib/arca/public"
[private_vault.storage.file]
path = "/var/lib/arca/private"
[state]
path = "/var/lib/arca/core.sqlite"
[attestation]
charter_path = "/etc/arca/charter.cbor"
record_path = "/var/lib/arca/record.cbor"
releases_path = "/var/lib/arca/releases.cbor"
developer_root_path = "/etc/arca/developer-root.pem"
`;

t.test('help, versions and wrong usage are as the script says', async (t) => {
  await runCliScript(t, script('usage'), { DIR: t.testdir({}) });
});

t.test('without a node, commands fail with cause and cure as the script says', async (t) => {
  const dir = t.testdir({
    foreign: { 'thesis.doc': 'x' },
    newer: { 'format.json': '{"format":"arca-state","version":2}' },
    torn: { 'format.json': '{"form' },
    'good.toml': GOOD,
    'typo.toml': GOOD.replace('[engine]', '[service]\nlisten_prot = 1\n[engine]')
      .replace('[service]\nlisten_port = 50100\n', '')
      .replace('developer_mode = true', 'developer_mode = true\n'),
  });
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
  await runCliScript(t, script('no-node'), { DIR: dir, TAKEN_PORT: String(port) });
});
