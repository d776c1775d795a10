/** What the command line makes of `arca import zama-vault --config`, and what does not go with it. */
import t from 'tap';
import { DEFAULT_DOMAIN } from '../../../../parent/cli/client/domain.ts';
import { type EnclaveJobOptions, enclaveJob } from '../../../../parent/cli/run/enclave-job.ts';

const ARN = 'arn:aws:kms:eu-west-1:111122223333:key/12345678-abcd';
const OPTIONS: EnclaveJobOptions = {
  from: 's3://old-private/PRIV-p1',
  publicFrom: 's3://old-public/PUB-p1/',
  rootKey: ARN,
  rootKeySpec: 'symm',
  domainName: DEFAULT_DOMAIN.name,
  domainVersion: DEFAULT_DOMAIN.version,
  domainChain: DEFAULT_DOMAIN.chainId,
  domainContract: DEFAULT_DOMAIN.verifyingContract,
};

t.test('buckets, root key, domain and epoch go into the job', async (t) => {
  const epoch = `08${'0'.repeat(61)}1`;
  t.match(enclaveJob({ ...OPTIONS, epoch, identityOnly: true }), {
    format: 1,
    private: { bucket: 'old-private', prefix: 'PRIV-p1' },
    public: { bucket: 'old-public', prefix: 'PUB-p1' },
    root_key: { arn: ARN, spec: 'symm' },
    identity_only: true,
    epoch,
    domain: { name: DEFAULT_DOMAIN.name, chain_id: '1f46'.padStart(64, '0') },
  });
  t.notOk('epoch' in enclaveJob(OPTIONS));
});

t.test('what is missing or means nothing there is wrong usage, all of it named', async (t) => {
  const refused = (change: object, message: RegExp): void => {
    t.throws(() => enclaveJob({ ...OPTIONS, ...change }), { message, facts: { usage: true } }, String(message));
  };
  refused({ from: 'old/PRIV', publicFrom: 's3://old-public' }, /private\.bucket.*public\.bucket/);
  refused({ rootKey: undefined }, /root_key\.arn/);
  refused({ rootKey: 'alias/old' }, /root_key\.arn/);
  refused({ party: '2', newAwsNode: true }, /--party, --new-aws-node/);
  refused({ aws: 'aws.toml' }, /--aws/);
});
