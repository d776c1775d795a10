/**
 * The schema of a node's configuration: published names and defaults, and rules across fields.
 */
import t from 'tap';
import { explainConfig, parseConfig } from '../../../common/config.ts';
import { isLoopback, NodeConfig, parseHostPort, redactNodeConfig } from '../../../common/node-config.ts';

const MINIMAL = `
[engine]
socket_path = "/run/arca/engine.sock"
[public_vault.storage.file]
path = "/var/arca/public"
[private_vault.storage.file]
path = "/var/arca/private"
[attestation]
charter_path = "/etc/arca/charter.cbor"
record_path = "/var/arca/record.cbor"
releases_path = "/var/arca/releases.cbor"
[state]
path = "/var/arca/core.sqlite"
`;

const parse = (text: string, env = {}) =>
  parseConfig(NodeConfig, { text: `${text}\n${MINIMAL}`, env, name: 'node.toml' });

t.test('a minimal file gives the published defaults', async (t) => {
  t.same(parse(''), {
    developer_mode: false,
    service: {
      listen_address: '127.0.0.1',
      listen_port: 50_051,
      timeout_secs: 360,
      grpc_max_message_size: 104_857_600,
      allow_plaintext_clients: false,
    },
    engine: { socket_path: '/run/arca/engine.sock', treat_v0_extra_data_as_empty: false },
    attestation: {
      charter_path: '/etc/arca/charter.cbor',
      record_path: '/var/arca/record.cbor',
      releases_path: '/var/arca/releases.cbor',
    },
    mesh: {},
    public_vault: { storage: { file: { path: '/var/arca/public', prefix: 'PUB' } } },
    private_vault: { storage: { file: { path: '/var/arca/private', prefix: 'PRIV' } } },
    public_http: { listen_address: '127.0.0.1', listen_port: 9000, bucket: 'kms' },
    state: { path: '/var/arca/core.sqlite' },
    rate_limiter_conf: {
      bucket_size: 50_000,
      pub_decrypt: 1,
      user_decrypt: 1,
      crsgen: 100,
      preproc: 25_000,
      keygen: 1000,
      new_epoch: 1,
    },
    store: { dec_capacity: 10_000, min_dec_cache: 6000 },
    telemetry: { metrics_bind_address: '127.0.0.1:9646', log_level: 'info' },
  });
});

t.test('an empty file is told every key it needs', async (t) => {
  t.throws(() => parseConfig(NodeConfig, { text: '', env: {}, name: 'node.toml' }), {
    code: 'CONFIG_INVALID',
    facts: { faults: 7 },
    message:
      /engine\.socket_path: is missing.*public_vault\.storage: needs exactly one of file and s3.*private_vault\.storage: needs exactly one.*state\.path: is missing/s,
  });
});

t.test('no file is complete without charter, record and release set', async (t) => {
  for (const key of ['charter_path', 'record_path', 'releases_path']) {
    const text = MINIMAL.replace(new RegExp(`^${key} = .*$`, 'm'), '');
    const wanted = { code: 'CONFIG_INVALID', message: new RegExp(`attestation\\.${key}: is missing`) };
    t.throws(() => parseConfig(NodeConfig, { text, env: {}, name: 'node.toml' }), wanted, key);
  }
});

t.test('developer mode needs a developer root, and nothing else may name one', async (t) => {
  const developer = (...lines: string[]) =>
    `${MINIMAL}`.replace('[attestation]', ['[attestation]', ...lines].join('\n'));
  const root = 'developer_root_path = "/r.pem"';
  const key = 'developer_governance_key_path = "/k.pem"';
  const read = (text: string) => parseConfig(NodeConfig, { text, env: {}, name: 'node.toml' });
  const refused = { code: 'CONFIG_INVALID', message: /needs a developer root with developer_mode = true/ };
  t.throws(() => read(developer(root)), refused, 'a root in production');
  t.throws(() => read(developer(key)), refused, 'a key in production');
  t.throws(() => read(`developer_mode = true\n${MINIMAL}`), refused, 'no root in developer mode');
  t.match(read(`developer_mode = true\n${developer(root, key)}`).attestation, { developer_root_path: '/r.pem' });
});

t.test('published sections that belong to parts not built yet are refused by name', async (t) => {
  t.throws(() => parse('[enclave_bootstrap]\nx = 1'), {
    message: /enclave_bootstrap: .*see \[enclave\]/,
  });
  t.throws(() => parse('[telemetry]\ntracing_endpoint = "http://x"'), { message: /tracing is not available/ });
});

t.test('the quorum is no setting of the operator, and only developer programs lie', async (t) => {
  t.match(parse('[threshold]\nlisten_port = 50101').threshold, { listen_address: '127.0.0.1', listen_port: 50_101 });
  t.equal(parse('').threshold, undefined, 'centralized without the section');
  t.throws(() => parse('[threshold]\nmy_id = 1'), { message: /the number of this party stands in its charter/ });
  t.throws(() => parse('[threshold]\ndeveloper_lie = true'), {
    message: /developer_lie: needs developer_mode = true/,
  });
});

t.test('a listener that other machines reach needs allow_plaintext_clients', async (t) => {
  const listeners = [
    ['service', 'listen_address', '0.0.0.0'],
    ['service', 'listen_address', '::'],
    ['service', 'listen_address', '10.0.0.1'],
    ['public_http', 'listen_address', '0.0.0.0'],
    ['telemetry', 'metrics_bind_address', '0.0.0.0:9646'],
    ['telemetry', 'metrics_bind_address', '[::]:9646'],
  ] as const;
  for (const [section, key, value] of listeners) {
    const env = { [`KMS_CORE__${section}__${key}`.toUpperCase()]: value };
    t.throws(
      () => parse('', env),
      { code: 'CONFIG_INVALID', message: new RegExp(`${section}.${key}: other machines`) },
      value,
    );
    t.doesNotThrow(() => parse('', { ...env, KMS_CORE__SERVICE__ALLOW_PLAINTEXT_CLIENTS: 'true' }), value);
  }
  for (const value of ['127.0.0.1', '127.1.2.3', '::1', 'localhost']) {
    t.doesNotThrow(() => parse('', { KMS_CORE__SERVICE__LISTEN_ADDRESS: value }), value);
  }
});

t.test('rules across fields are judged even when other fields are wrong', async (t) => {
  const text = '[store]\ndec_capacity = 10\nmin_dec_cache = 11\n[service]\nlisten_port = 0\nlisten_address = "0.0.0.0"';
  t.throws(() => parse(text), {
    facts: { faults: 3 },
    message:
      /line 3: store\.min_dec_cache: needs to be dec_capacity or less.*listen_port: needs a port.*listen_address: other machines/s,
  });
});

t.test('values out of their range are refused', async (t) => {
  const bad = [
    ['service', 'listen_port = 65536'],
    ['service', 'listen_port = 1.5'],
    ['service', 'listen_address = "example.org"'],
    ['service', 'timeout_secs = 0'],
    ['service', 'grpc_max_message_size = 0'],
    ['service', 'grpc_max_message_size = 2147483647'],
    ['rate_limiter_conf', 'keygen = -1'],
    ['rate_limiter_conf', 'keygen = 50001'],
    ['rate_limiter_conf', 'bucket_size = 0'],
    ['telemetry', 'metrics_bind_address = "127.0.0.1"'],
    ['telemetry', 'metrics_bind_address = "127.0.0.1:99999"'],
    ['telemetry', 'log_level = "loud"'],
    ['public_http', 'bucket = "../x"'],
    ['public_http', 'bucket = ""'],
  ] as const;
  for (const [section, line] of bad) {
    t.throws(
      () => parse(`[${section}]\n${line}`),
      { code: 'CONFIG_INVALID', message: /^configuration node.toml: \d faults?\n/ },
      line,
    );
  }
});

t.test('what is no address is one fault, not an open address too', async (t) => {
  for (const line of ['[service]\nlisten_address = "example.org"', '[telemetry]\nmetrics_bind_address = "0.0.0.0:0"']) {
    t.throws(() => parse(line), { facts: { faults: 1 }, message: /needs an IP address/ }, line);
  }
});

t.test('paths must be absolute, prefixes plain, and a socket short enough for the system', async (t) => {
  const bad = {
    KMS_CORE__PUBLIC_VAULT__STORAGE__FILE__PATH: 'keys',
    KMS_CORE__PRIVATE_VAULT__STORAGE__FILE__PREFIX: '../PRIV',
    KMS_CORE__ENGINE__SOCKET_PATH: `/${'x'.repeat(107)}`,
    KMS_CORE__STATE__PATH: './core.sqlite',
  };
  for (const [variable, value] of Object.entries(bad)) {
    t.throws(() => parse('', { [variable]: value }), { code: 'CONFIG_INVALID' }, variable);
  }
});

t.test('every key of the schema says what it means', async (t) => {
  for (const key of explainConfig(NodeConfig)) {
    t.match(key.description, /^[A-Z].*\.$/, `${key.path.join('.')} has a sentence`);
  }
});

t.test('addresses with ports are read as listeners need them', async (t) => {
  t.same(parseHostPort('127.0.0.1:9646'), { host: '127.0.0.1', port: 9646 });
  t.same(parseHostPort('[::1]:80'), { host: '::1', port: 80 });
  t.same(parseHostPort('localhost:1'), { host: 'localhost', port: 1 });
  for (const bad of [
    '',
    ':1',
    'x:1',
    '::1:80',
    '[127.0.0.1]:80',
    '127.0.0.1:0',
    '127.0.0.1:65536',
    '127.0.0.1: 1',
    '127.0.0.1:1\n',
  ]) {
    t.equal(parseHostPort(bad), undefined, JSON.stringify(bad));
  }
  for (const wide of ['0.0.0.0', '::', '10.1.1.1', '128.0.0.1', '127.example.org']) t.notOk(isLoopback(wide), wide);
});

t.test('the configuration shown to others has the shape of the real one', async (t) => {
  const config = parse('');
  t.same(redactNodeConfig(config), config, 'this release has no secret in its configuration');
});
