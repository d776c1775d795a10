import t from 'tap';
import { enclaveTable, foreignKeys } from '../../../common/enclave-config.ts';

const OPERATORS = {
  developer_mode: false,
  service: { listen_port: 50_051 },
  engine: { socket_path: '/run/engine.sock', treat_v0_extra_data_as_empty: true },
  aws: { region: 'eu-west-1', role_arn: 'arn:aws:iam::123456789012:role/arca', web_identity_token_path: '/token' },
  private_vault: { storage: { s3: { bucket: 'one', prefix: 'P' } }, keychain: { aws_kms: {} }, pin: '1:00' },
  public_vault: { storage: { file: { path: '/public' } } },
  telemetry: { log_level: 'debug', metrics_bind_address: '127.0.0.1:9646' },
  threshold: { listen_port: 50_001 },
};

t.test('what is cut for an enclave holds nothing that it would refuse', async (t) => {
  const table = enclaveTable(OPERATORS, 'production');
  t.same(foreignKeys(table, 'production'), []);
  t.same(table, {
    engine: { treat_v0_extra_data_as_empty: true },
    aws: { region: 'eu-west-1', role_arn: 'arn:aws:iam::123456789012:role/arca' },
    private_vault: { storage: { s3: { bucket: 'one', prefix: 'P' } }, keychain: { aws_kms: {} }, pin: '1:00' },
    public_vault: { storage: {} },
    telemetry: { log_level: 'debug' },
    threshold: {},
  });
});

t.test('every key that no parent may choose is named', async (t) => {
  t.same(foreignKeys(OPERATORS, 'production'), [
    'developer_mode',
    'service.listen_port',
    'engine.socket_path',
    'aws.web_identity_token_path',
    'public_vault.storage.file.path',
    'telemetry.metrics_bind_address',
    'threshold.listen_port',
  ]);
});

t.test('a test image takes emulators and developer mode, a production image does not', async (t) => {
  const table = { developer_mode: true, aws: { developer_kms_endpoint: 'https://localhost:1' } };
  t.same(foreignKeys(table, 'test'), []);
  t.same(foreignKeys(table, 'production'), ['developer_mode', 'aws.developer_kms_endpoint']);
  const trust = { attestation: { developer_root_path: '/r' }, aws: { developer_sts_endpoint: 'https://localhost:1' } };
  t.same(foreignKeys(trust, 'test'), ['attestation.developer_root_path', 'aws.developer_sts_endpoint']);
});
