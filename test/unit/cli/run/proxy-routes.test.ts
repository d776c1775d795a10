/** The routes of a node's vsock-proxy: what stands in configuration and record, and nothing else. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'smol-toml';
import t from 'tap';
import { encodeCharter, encodeSigned, makeRecord, signRecord } from '../../../../attestation/governance/index.ts';
import { parseConfig } from '../../../../common/config.ts';
import type { NodeConfig } from '../../../../common/node-config.ts';
import { allowedDestinations, importDestinations, proxyTable } from '../../../../parent/cli/run/proxy-routes.ts';
import { openDeveloperTrust, trustPaths } from '../../../../parent/cli/supervise/developer-trust.ts';
import { ProxyConfig } from '../../../../vsock-proxy/config.ts';
import { tempDir } from '../../../helpers/temp-dir.ts';
import { enclaveConfig } from './enclave-toml.ts';

function configOf(dir: string, top = '', aws?: string): NodeConfig {
  const attestation = top.includes('developer_mode') ? `developer_root_path = "${dir}/root/developer-root.pem"` : '';
  const enclave = 'egress = ["proxy.example:3128"]';
  return enclaveConfig({ dir, top, attestation, enclave, ...(aws !== undefined && { aws }) });
}

/** A record with another party and a key in another region. */
async function writeGovernance(dir: string): Promise<void> {
  const config = configOf(dir, 'developer_mode = true');
  const trust = await openDeveloperTrust(trustPaths(config));
  const aws = {
    account: '111122223333',
    region: 'eu-central-1',
    primaryKeyId: 'arn:aws:kms:eu-central-1:111122223333:key/0123-4567',
  };
  const { body } = trust.record;
  const parties = [
    { party: 1, endpoint: 'one.example:50001', aws },
    { party: 2, endpoint: 'two.example:50001' },
  ];
  const record = signRecord(makeRecord({ ...body, version: 2, parties }), trust.governanceKey);
  writeFileSync(join(dir, 'record.cbor'), encodeSigned(record));
  writeFileSync(join(dir, 'charter.cbor'), encodeCharter(trust.charter));
}

t.test('the engine may be connected to AWS in its regions, the other parties, and what was added', async (t) => {
  const dir = tempDir(t);
  await writeGovernance(dir);
  t.same(await allowedDestinations(configOf(dir)), [
    '169.254.169.254:80',
    'kms.eu-central-1.amazonaws.com:443',
    'kms.eu-west-1.amazonaws.com:443',
    'priv.s3.eu-west-1.amazonaws.com:443',
    'proxy.example:3128',
    'pub.s3.eu-west-1.amazonaws.com:443',
    's3.eu-west-1.amazonaws.com:443',
    'two.example:50001',
  ]);
});

t.test('an import adds the buckets of the other node and the region of its root key, where AWS is', async (t) => {
  const place = { bucket: 'old', prefix: 'PRIV' };
  const job = {
    format: 1,
    private: place,
    public: { ...place, bucket: 'old-public' },
    root_key: { arn: 'arn:aws:kms:us-east-1:111122223333:key/12345678', spec: 'symm' },
    identity_only: true,
    domain: { name: '', version: '', chain_id: '', verifying_contract: '' },
  } as const;
  t.same(importDestinations(configOf(tempDir(t)), job), [
    's3.eu-west-1.amazonaws.com:443',
    'old.s3.eu-west-1.amazonaws.com:443',
    'old-public.s3.eu-west-1.amazonaws.com:443',
    'kms.eu-west-1.amazonaws.com:443',
    'kms.us-east-1.amazonaws.com:443',
  ]);
});

t.test('a record that does not verify adds nobody', async (t) => {
  const dir = tempDir(t);
  await writeGovernance(dir);
  writeFileSync(join(dir, 'record.cbor'), 'not a record');
  const allowed = await allowedDestinations(configOf(dir));
  t.notOk(allowed.includes('two.example:50001'));
  t.ok(allowed.includes('kms.eu-west-1.amazonaws.com:443'), 'AWS is reached all the same');
});

t.test('emulators take the place of AWS in developer mode', async (t) => {
  const aws = [
    'developer_access_key_id = "a"',
    'developer_secret_access_key = "b"',
    'developer_s3_endpoint = "https://127.0.0.1:9100"',
    'developer_kms_endpoint = "https://127.0.0.1"',
  ].join('\n');
  const config = configOf(tempDir(t), 'developer_mode = true', aws);
  t.same(await allowedDestinations(config), ['127.0.0.1:443', '127.0.0.1:9100', 'proxy.example:3128']);
});

t.test('vsock-proxy takes the table, of both kinds of nodes and both forms of vsock', async (t) => {
  const read = (table: object) =>
    parseConfig(ProxyConfig, { text: stringify({ ...table }), env: {}, name: 'vsock-proxy.toml' });
  const single = read(proxyTable(configOf('/x'), { cid: 16 }, ['a.example:443']));
  t.match(single, { vsock: { cid: 16 } });
  t.match(single.route, [
    { name: 'core', from: 'unix:/run/arca/engine.sock', to: 'vsock:7100' },
    { name: 'egress', from: 'vsock:7002', to: 'connect', allow: ['a.example:443'] },
  ]);
  const threshold = configOf('/x', '[threshold]\nlisten_address = "0.0.0.0"');
  const party = read(proxyTable(threshold, { path: '/x/vm.vsock' }, []));
  t.match(party.route[1], { name: 'mesh', from: 'tcp:0.0.0.0:50001', to: 'vsock:7101' });
  t.notOk(
    party.route.some(({ name }) => name === 'egress'),
    'no way out where nobody is to be reached',
  );
});
