/**
 * Vaults, keychains and AWS in a node's configuration: what may stand together, and what developer mode alone may say.
 */
import t from 'tap';
import { parseConfig } from '../../../common/config.ts';
import { NodeConfig, redactNodeConfig } from '../../../common/node-config.ts';
import { fileVault, vaultPrefix } from '../../../common/node-config-vaults.ts';

const BASE = `
[engine]
socket_path = "/run/arca/engine.sock"
[state]
path = "/var/arca/core.sqlite"
[attestation]
charter_path = "/etc/arca/charter.cbor"
record_path = "/var/arca/record.cbor"
releases_path = "/var/arca/releases.cbor"
`;
const DEVELOPER = `developer_mode = true\n${BASE}developer_root_path = "/r.pem"\n`;
const FILES = `
public_vault.storage.file.path = "/var/arca/public"
private_vault.storage.file.path = "/var/arca/private"
`;
const S3 = `
public_vault.storage.s3.bucket = "arca-public"
private_vault.storage.s3 = { bucket = "arca-private", prefix = "PRIV-p1" }
private_vault.keychain.aws_kms = {}
`;
const ROLE_ARN = 'role_arn = "arn:aws:iam::123456789012:role/arca"';
const ROLE = `aws = { region = "eu-west-1", instance_role = true, ${ROLE_ARN} }\n`;

const parse = (top: string, base = BASE) =>
  parseConfig(NodeConfig, { text: `${top}\n${base}`, env: {}, name: 'node.toml' });
/** A text of which `developer_mode` is the first line. */
const parseDeveloper = (top: string) => parse(top, DEVELOPER);

t.test('vaults in S3 are sealed under AWS KMS, with the region and the role of one section', async (t) => {
  const config = parse(`${S3}${ROLE}backup_vault = { storage.s3.bucket = "arca-backup", keychain.custodians = {} }`);
  t.match(config, {
    aws: { region: 'eu-west-1', instance_role: true },
    public_vault: { storage: { s3: { bucket: 'arca-public', prefix: 'PUB' } } },
    private_vault: {
      storage: { s3: { bucket: 'arca-private', prefix: 'PRIV-p1' } },
      keychain: { aws_kms: { root_key_spec: 'symm' } },
    },
    backup_vault: { storage: { s3: { prefix: 'BACKUP' } }, keychain: { custodians: {} } },
  });
  t.equal(vaultPrefix(config.private_vault), 'PRIV-p1');
  t.throws(() => fileVault(config.private_vault, 'private_vault'), {
    code: 'CONFIG_INVALID',
    message: 'private_vault.storage: needs file here, not s3',
  });
});

t.test('each vault lies in exactly one place', async (t) => {
  const both = 'public_vault.storage = { file = { path = "/p" }, s3 = { bucket = "arca" } }';
  const one = { message: /public_vault\.storage: needs exactly one of file and s3/ };
  t.throws(() => parse(`${both}\nprivate_vault.storage.file.path = "/q"\n${ROLE}`), one);
  t.throws(() => parse('public_vault.storage = {}\nprivate_vault.storage.file.path = "/q"'), one);
});

t.test('what uses AWS needs to say where and as whom', async (t) => {
  t.throws(() => parse(S3), { message: /aws: is missing; S3 and aws_kms need its region and credentials/ });
  t.throws(() => parse(`${FILES}private_vault.keychain.aws_kms = {}`), { message: /aws: is missing/ });
  const sources = { message: /aws\.instance_role: needs one source of credentials/ };
  t.throws(() => parse(`${S3}aws = { region = "eu-west-1" }`), sources, 'none');
  const token = `${ROLE_ARN}, web_identity_token_path = "/run/token"`;
  t.throws(() => parse(`${S3}aws = { region = "eu-west-1", instance_role = true, ${token} }`), sources, 'two');
  t.doesNotThrow(() => parse(`${S3}aws = { region = "eu-west-1", ${token} }`));
  t.throws(() => parse(`${S3}aws = { region = "eu-west-1", web_identity_token_path = "/run/token" }`), {
    message: /aws\.role_arn: is missing; web_identity_token_path goes with it/,
  });
  t.throws(() => parse(`${S3}aws = { region = "eu-west-1", instance_role = true }`), {
    message: /aws\.role_arn: is missing; private_vault\.keychain\.aws_kms needs the role/,
  });
});

t.test('nothing private lies in clear in S3', async (t) => {
  const text = `${S3.replace('private_vault.keychain.aws_kms = {}', '')}${ROLE}`;
  t.throws(() => parse(text), { message: /private_vault\.keychain: is missing.*nothing lies in clear in S3/ });
});

t.test('emulators, fixed keys and data keys in clear are for developer mode alone', async (t) => {
  const fixed = `${ROLE_ARN}, developer_access_key_id = "AKIA", developer_secret_access_key = "hidden words"`;
  const aws = `aws = { region = "eu-west-1", ${fixed}, developer_s3_endpoint = "http://127.0.0.1:1", developer_kms_endpoint = "http://127.0.0.1:2" }\n`;
  const backup = 'backup_vault = { storage.file.path = "/b", keychain.clear = {} }\n';
  const config = parseDeveloper(`${S3}${aws}${backup}`);
  t.match(config.backup_vault, { keychain: { clear: {} } });
  t.notMatch(JSON.stringify(redactNodeConfig(config)), 'hidden words', 'the secret is shown to nobody');
  t.throws(() => parse(`${S3}${aws}${backup}`), {
    facts: { faults: 5 },
    message:
      /aws\.developer_access_key_id: needs developer_mode = true.*aws\.developer_kms_endpoint: needs.*backup_vault\.keychain\.clear: needs/s,
  });
});

t.test('a state of the vault is pinned as it is shown, and of a sealed vault alone', async (t) => {
  const pinned = (pin: string, text = S3) => parse(`${text}${ROLE}private_vault.pin = "${pin}"`);
  const good = `41:${'5f'.repeat(48)}`;
  t.equal(pinned(good).private_vault.pin, good);
  for (const bad of ['41', `0:${'5f'.repeat(48)}`, `41:${'5F'.repeat(48)}`, `41:${'5f'.repeat(47)}`]) {
    t.throws(() => pinned(bad), { message: /private_vault\.pin: needs SEQUENCE:DIGEST/ }, bad);
  }
  t.throws(() => pinned(good, FILES), { message: /private_vault\.pin: needs \[private_vault\.keychain\]/ });
});

t.test('published settings that stand elsewhere here are refused with the place', async (t) => {
  const cases = [
    [
      `${S3}${ROLE}`.replace('aws_kms = {}', 'aws_kms.root_key_id = "x"'),
      /root_key_id: .*stand in the governed record/,
    ],
    [`${S3}${ROLE}`.replace('aws_kms = {}', 'secret_sharing = {}'), /secret_sharing: custodians keep backups alone/],
    [
      `${FILES}aws = { region = "eu-west-1", instance_role = true, s3_endpoint = "x" }`,
      /address follows from the region/,
    ],
    [`${FILES}aws = { region = "Europe", instance_role = true }`, /aws\.region: needs a region/],
    [`${FILES}backup_vault = { storage.file.path = "/b", keychain = {} }`, /keychain: needs exactly one of aws_kms/],
    [`${FILES}backup_vault = { storage.file.path = "/b" }`, /backup_vault\.keychain/],
    [
      `${FILES}backup_vault = { storage.file.path = "/b", keychain.custodians = {} }`,
      /backup_vault: needs \[private_vault/,
    ],
    [`${S3}${ROLE}`.replace('"arca-private"', '"Arca_Private"'), /bucket: needs 3 to 63 lower-case/],
  ] as const;
  for (const [text, message] of cases)
    t.throws(() => parse(text), { code: 'CONFIG_INVALID', message }, String(message));
});

t.test('an endpoint is an address and nothing more', async (t) => {
  const keys = 'developer_access_key_id = "A", developer_secret_access_key = "B"';
  for (const bad of ['ftp://x', 'http://x/path', 'http://u:p@x', 'x', 'http://x?q', 'http://x/']) {
    const aws = `aws = { region = "eu-west-1", ${keys}, developer_s3_endpoint = "${bad}" }`;
    t.throws(() => parseDeveloper(`${FILES}${aws}`), { message: /developer_s3_endpoint: needs http/ }, bad);
  }
});
