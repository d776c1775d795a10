/** The job in a boot document: one form, every field bounded, and all that is wrong named at once. */
import t from 'tap';
import { type BootDocument, decodeBootDocument, encodeBootDocument } from '../../../common/enclave-boot.ts';
import type { BootImport } from '../../../common/enclave-boot-import.ts';

const JOB: BootImport = {
  format: 1,
  private: { bucket: 'old-private', prefix: 'PRIV-p1' },
  public: { bucket: 'old-public', prefix: 'PUB-p1' },
  root_key: { arn: 'arn:aws:kms:eu-west-1:111122223333:key/12345678-abcd', spec: 'symm' },
  identity_only: false,
  epoch: '08'.padEnd(64, '0'),
  domain: { name: 'Authorization token', version: '1', chain_id: '0'.repeat(64), verifying_contract: 'ab'.repeat(20) },
};
const PLAIN: BootDocument = { node: '', charter: Uint8Array.of(1) };
const HEAD = '{"format":1,"node":"","charter":"AQ=="';

const wireOf = (job: unknown): Uint8Array => new TextEncoder().encode(`${HEAD},"import":${JSON.stringify(job)}}`);

t.test('a job comes out as it went in, with an epoch and without', async (t) => {
  const { epoch: _none, ...withoutEpoch } = JOB;
  for (const job of [JOB, withoutEpoch]) {
    const wire = encodeBootDocument({ ...PLAIN, import: job }).subarray(4);
    t.same(wire, wireOf(job), 'the published form');
    t.same(decodeBootDocument(wire), { ...PLAIN, import: job });
  }
});

t.test('any other form is refused, with the fields at fault and none of their values', async (t) => {
  const refused = (change: object, ...fields: readonly string[]): void => {
    let message = '';
    try {
      decodeBootDocument(wireOf({ ...JOB, ...change }));
    } catch (error) {
      t.match(error, { code: 'REQUEST_INVALID' });
      message = error instanceof Error ? error.message : '';
    }
    for (const field of fields) t.match(message, `import.${field}`, field);
    t.notMatch(message, 'SECRET');
  };
  refused({ format: 2 }, 'format');
  refused({ private: { bucket: 'SECRET/../x', prefix: '../SECRET' } }, 'private.bucket', 'private.prefix');
  refused({ public: { bucket: 'old-public' } }, 'public.prefix');
  refused({ root_key: { arn: 'https://SECRET', spec: 'clear' } }, 'root_key.arn', 'root_key.spec');
  refused({ root_key: undefined }, 'root_key');
  refused({ identity_only: 'yes', epoch: 'ff' }, 'identity_only', 'epoch');
  refused({ domain: { ...JOB.domain, chain_id: '1', verifying_contract: '0xSECRET' } }, 'domain.chain_id');
  refused({ domain: { ...JOB.domain, name: 'x'.repeat(257) } }, 'domain.name');
  for (const job of [null, [], 'x', 1, {}]) {
    t.throws(() => decodeBootDocument(wireOf(job)), { code: 'REQUEST_INVALID' }, JSON.stringify(job));
  }
});

t.test('unknown fields, another order and a second spelling are refused', async (t) => {
  const canonical = { code: 'REQUEST_INVALID', message: /canonical/ };
  t.throws(() => decodeBootDocument(wireOf({ ...JOB, endpoint: 'https://s3.example' })), { code: 'REQUEST_INVALID' });
  const { format, ...rest } = JOB;
  t.throws(() => decodeBootDocument(wireOf({ ...rest, format })), canonical);
  const twice = JSON.stringify(JOB).replace('"spec":"symm"', '"spec":"symm","spec":"symm"');
  t.throws(() => decodeBootDocument(new TextEncoder().encode(`${HEAD},"import":${twice}}`)), canonical);
});
