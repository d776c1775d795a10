/** `[service.tls]` and the admin socket: what goes together, and that no list is open by omission. */
import fc from 'fast-check';
import t from 'tap';
import { z } from 'zod';
import { explainConfig, parseConfig } from '../../../common/config.ts';
import { NodeConfig } from '../../../common/node-config.ts';
import { adminSocketPath, RPC_GROUPS, tlsSection } from '../../../common/node-config-tls.ts';

const Config = z.strictObject({ tls: tlsSection.optional(), socket: adminSocketPath.optional() });
const parse = (text: string, env = {}) => parseConfig(Config, { text, env, name: 'node.toml' });
const REST = `
[engine]
socket_path = "/run/arca/engine.sock"
[public_vault.storage.file]
path = "/var/arca/public"
[private_vault.storage.file]
path = "/var/arca/private"
[state]
path = "/var/arca/core.sqlite"
[attestation]
charter_path = "/etc/arca/charter.cbor"
record_path = "/var/arca/record.cbor"
releases_path = "/var/arca/releases.cbor"
`;
const FILES = 'cert_path = "/c.pem"\nkey_path = "/k.pem"\n';

t.test('files, or an attested certificate, and nothing else by default', async (t) => {
  const allow = {};
  t.strictSame(parse(''), {}, 'plaintext');
  t.strictSame(parse(`[tls]\n${FILES}`).tls, { cert_path: '/c.pem', key_path: '/k.pem', attested: false, allow });
  t.strictSame(parse('[tls]\nattested = true').tls, { attested: true, allow });
  const full = parse(
    `[tls]\n${FILES}client_ca_path = "/ca.pem"\n[tls.allow]\nadmin = ["ops", "CN=a,O=b"]\ndecrypt = []`,
  );
  t.strictSame(full.tls?.allow, { admin: ['ops', 'CN=a,O=b'], decrypt: [] });
});

t.test('every fault is named with its field', async (t) => {
  const cases = [
    ['[tls]', /tls\.cert_path: is missing; needs cert_path and key_path, or attested/],
    ['[tls]\ncert_path = "/c.pem"', /key_path: is missing; cert_path and key_path go together/],
    ['[tls]\nkey_path = "/k.pem"', /cert_path: is missing; cert_path and key_path go together/],
    ['[tls]\ncert_path = "c.pem"\nkey_path = "/k.pem"', /line 2: tls\.cert_path: needs an absolute path/],
    [`[tls]\nattested = true\n${FILES}`, /tls\.attested: needs cert_path and key_path to be absent/],
    [`[tls]\n${FILES}[tls.allow]\nadmin = ["ops"]`, /tls\.allow\.admin: needs client_ca_path/],
    [`[tls]\n${FILES}[tls.allow]\ndecrypt = []`, /tls\.allow\.decrypt: needs client_ca_path/],
    [`[tls]\n${FILES}client_ca_path = "/a"\n[tls.allow]\nadmin = [""]`, /needs a common name/],
    [`[tls]\n${FILES}client_ca_path = "/a"\n[tls.allow]\nadmin = [" ops"]`, /without spaces/],
    [`[tls]\n${FILES}client_ca_path = "/a"\n[tls.allow]\nadmins = ["ops"]`, /unknown key; did you mean admin\?/],
    [`[tls]\n${FILES}cert_pth = "/a"`, /did you mean cert_path\?/],
    ['socket = "run/admin.sock"', /needs an absolute path/],
    [`socket = "/${'a'.repeat(107)}"`, /at most 107 bytes/],
  ] as const;
  for (const [text, message] of cases) t.throws(() => parse(text), { code: 'CONFIG_INVALID', message }, text);
});

t.test('no generated section has both kinds of certificates, or a list without an authority', async (t) => {
  const path = fc.constantFrom(undefined, '/x.pem');
  const section = fc.record(
    {
      cert_path: path,
      key_path: path,
      client_ca_path: path,
      attested: fc.boolean(),
      allow: fc.record(
        {
          decrypt: fc.array(fc.constant('a')),
          generate: fc.array(fc.constant('a')),
          admin: fc.array(fc.constant('a')),
        },
        { requiredKeys: [] },
      ),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(section, (input) => {
      const parsed = tlsSection.safeParse(input);
      if (!parsed.success) return true;
      const { cert_path, key_path, attested, client_ca_path, allow } = parsed.data;
      const files = cert_path !== undefined && key_path !== undefined;
      const none = cert_path === undefined && key_path === undefined;
      const listed = RPC_GROUPS.some((group) => allow[group] !== undefined);
      return (attested ? none : files) && (!listed || client_ca_path !== undefined);
    }),
  );
  t.pass('1 property');
});

t.test('an address that other machines reach needs TLS, or plaintext asked for by name', async (t) => {
  const node = (service: string): unknown =>
    parseConfig(NodeConfig, {
      text: `[service]\nlisten_address = "0.0.0.0"\n${service}\n${REST}`,
      env: {},
      name: 'node.toml',
    });
  t.throws(() => node(''), { code: 'CONFIG_INVALID', message: /service\.listen_address: other machines/ });
  t.throws(() => node('allow_plaintext_clients = false'), { code: 'CONFIG_INVALID' });
  t.ok(node('allow_plaintext_clients = true'));
  t.ok(node(`[service.tls]\n${FILES}`));
  t.ok(node('[service.tls]\nattested = true'));
  t.throws(() => node('[service.tls]'), { code: 'CONFIG_INVALID', message: /service\.tls\.cert_path/ });
});

t.test('every key is explained', async (t) => {
  const keys = explainConfig(Config).filter(({ path }) => path[0] === 'tls');
  t.ok(keys.length >= 9);
  for (const { path, description } of keys) t.match(description, /\.$/, path.join('.'));
});
