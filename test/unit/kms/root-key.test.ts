/**
 * The way to AWS KMS (TLS that ends in the enclave, computed endpoints), and the engine's look at its root key.
 */
import { randomFillSync } from 'node:crypto';
import { connect } from 'node:net';
import { CreateGrantCommand } from '@aws-sdk/client-kms';
import t from 'tap';
import { awsEndpoint } from '../../../common/aws/connection.ts';
import { toHex } from '../../../common/bytes.ts';
import { symmetricKeyring } from '../../../enclave/keychain/aws-kms.ts';
import { checkRootKey } from '../../../enclave/keychain/check-root-key.ts';
import { KmsCaller, type KmsCallerOptions, readKeyArn } from '../../../enclave/keychain/kms-caller.ts';
import { keyPolicyHash } from '../../../wire/key-policy/policy-text.ts';
import { ACCOUNT, ADMIN_ARN, credentialsOf, ENGINE_ARN, REGION, startTestKms } from '../../helpers/aws-kms.ts';
import { BINDING, CHARTER, expected, makeRootKey, ourPolicy, scene } from '../../helpers/kms-scene.ts';
import { startTestAttester } from '../../helpers/software-nsm.ts';
import { makeTestCa } from '../../helpers/test-ca.ts';

t.test('TLS ends in the enclave: a relay carries bytes, and a certificate of others is refused', async (t) => {
  const ca = makeTestCa();
  const leaf = ca.issue({ subject: 'localhost' });
  const { options } = await scene(t);
  const state = await startTestKms(t, { charterDigest: CHARTER, tls: { key: leaf.key, cert: leaf.cert } });
  const keyArn = await makeRootKey(
    // The emulator's own administrator reaches it over the same relay.
    new KmsCaller({
      ...options,
      nsm: state.enclave.nsm,
      developerEndpoint: `https://localhost:${state.emulator.port}`,
      ca: [ca.pem],
      credentials: credentialsOf('admin'),
    }).client,
    await ourPolicy(state),
  );
  const dialled: string[] = [];
  const relayed: KmsCallerOptions = {
    ...options,
    keyArn,
    nsm: state.enclave.nsm,
    developerEndpoint: `https://localhost:${state.emulator.port}`,
    ca: [ca.pem],
    connect: (host, port) => {
      dialled.push(`${host}:${port}`);
      return connect({ host: '127.0.0.1', port });
    },
  };
  const keyring = symmetricKeyring(relayed);
  t.teardown(() => keyring.close());
  t.equal((await keyring.generate(BINDING)).dataKey.length, 32);
  t.same(dialled, [`localhost:${state.emulator.port}`], 'the relay is handed a name, and the connection is kept');
  const mistrusting = symmetricKeyring({ ...relayed, ca: [makeTestCa('Other CA').pem] });
  t.teardown(() => mistrusting.close());
  await t.rejects(mistrusting.generate(BINDING), { code: 'PERMISSION_DENIED', message: /no certificate for it/ });
});

t.test('the endpoint is computed from the region of the key, whatever the environment says', async (t) => {
  t.equal(awsEndpoint('kms', 'eu-central-1'), 'https://kms.eu-central-1.amazonaws.com');
  t.equal(awsEndpoint('kms', 'us-gov-west-1', true), 'https://kms-fips.us-gov-west-1.amazonaws.com');
  t.equal(awsEndpoint('sts', 'cn-north-1'), 'https://sts.cn-north-1.amazonaws.com.cn');
  for (const region of ['', 'eu-central-1.evil.example', 'x', '../eu-central-1', 'EU-CENTRAL-1']) {
    t.throws(() => awsEndpoint('kms', region), { code: 'CONFIG_INVALID' }, region);
  }
  for (const bad of [
    'alias/vault',
    'arn:aws:kms:eu-central-1:1:key/aaaaaaaa',
    'arn:aws:s3:eu-central-1:111122223333:key/aaaaaaaa',
    'aaaaaaaa',
  ]) {
    t.throws(() => readKeyArn(bad), { code: 'CONFIG_INVALID' }, bad);
  }
  const nsm = (await startTestAttester({ role: 'engine' })).nsm;
  const credentials = credentialsOf('engine');
  process.env.AWS_ENDPOINT_URL_KMS = 'http://127.0.0.1:9';
  process.env.AWS_ENDPOINT_URL = 'http://127.0.0.1:9';
  process.env.AWS_REGION = 'us-east-1';
  t.teardown(() => {
    for (const name of ['AWS_ENDPOINT_URL_KMS', 'AWS_ENDPOINT_URL', 'AWS_REGION']) delete process.env[name];
  });
  const keyArn = `arn:aws:kms:${REGION}:${ACCOUNT}:key/00000000-0000-4000-8000-000000000000`;
  const hosts: string[] = [];
  const refusing: KmsCallerOptions['connect'] = (host, port) => {
    hosts.push(`${host}:${port}`);
    return connect({ host: '127.0.0.1', port: 9 });
  };
  const options = { keyArn, nsm, charterDigest: CHARTER, party: 1, credentials, attempts: 1, connect: refusing };
  const checked = checkRootKey(options, { engineRole: ENGINE_ARN, releases: [], pcr16: CHARTER });
  await t.rejects(checked, { code: 'UNAVAILABLE' });
  t.same(hosts, [`kms.${REGION}.amazonaws.com:443`]);
});

t.test('a root key is looked at before anything is sealed under it', async (t) => {
  const { kms, admin, options } = await scene(t);
  const checked = await checkRootKey(options, await expected(kms));
  t.same(checked.warnings, []);
  t.equal(toHex(checked.policyHash), toHex(keyPolicyHash(await ourPolicy(kms))));
  const granted = await makeRootKey(
    admin,
    (await ourPolicy(kms)).replace('"kms:ListKeyPolicies"', '"kms:CreateGrant"'),
    {
      MultiRegion: true,
    },
  );
  await admin.send(new CreateGrantCommand({ KeyId: granted, GranteePrincipal: ADMIN_ARN, Operations: ['Decrypt'] }));
  await t.rejects(checkRootKey({ ...options, keyArn: granted }, await expected(kms)), {
    code: 'PRECONDITION_FAILED',
    message: /grants: 1 grants.*forbidden-action \(statement Administration\): kms:CreateGrant/,
    facts: { rules: 'multi-region grants forbidden-action' },
  });
  const external = await makeRootKey(admin, await ourPolicy(kms), { Origin: 'EXTERNAL' });
  await t.rejects(checkRootKey({ ...options, keyArn: external }, await expected(kms)), {
    code: 'PRECONDITION_FAILED',
    facts: { rules: 'origin key-state' },
  });
  const wrong = { ...(await expected(kms)), pcr16: randomFillSync(new Uint8Array(48)) };
  await t.rejects(checkRootKey(options, wrong), { code: 'PRECONDITION_FAILED', facts: { rules: 'charter' } });
});
