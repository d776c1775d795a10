/**
 * The keychain `aws-kms` against the emulator: data keys for one object each, what is refused, what is tried again.
 */
import { randomFillSync } from 'node:crypto';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { CreateGrantCommand, CreateKeyCommand, DisableKeyCommand, type KMSClient } from '@aws-sdk/client-kms';
import t from 'tap';
import { verifyLiveDocument } from '../../../attestation/document/index.ts';
import { equalBytes, toHex } from '../../../common/bytes.ts';
import { systemClock } from '../../../common/clock.ts';
import { AwsError } from '../../../emulators/aws-kms/aws-error.ts';
import { awsEndpoint } from '../../../enclave/keychain/aws-connection.ts';
import { AWS_KMS, asymmetricKeyring, symmetricKeyring } from '../../../enclave/keychain/aws-kms.ts';
import { checkRootKey } from '../../../enclave/keychain/check-root-key.ts';
import {
  bindingDigest,
  DATA_KEY_PURPOSES,
  type DataKeyBinding,
  encryptionContextOf,
  kmsUserData,
} from '../../../enclave/keychain/data-keys.ts';
import { KmsCaller, type KmsCallerOptions, readKeyArn } from '../../../enclave/keychain/kms-caller.ts';
import { makeKeyPolicy } from '../../../wire/key-policy/make.ts';
import { keyPolicyHash } from '../../../wire/key-policy/policy-text.ts';
import {
  ACCOUNT,
  ADMIN_ARN,
  credentialsOf,
  ENGINE_ARN,
  REGION,
  startTestKms,
  type TestKms,
  type TestKmsOptions,
} from '../../helpers/aws-kms.ts';
import { startTestAttester, testPcrs } from '../../helpers/software-nsm.ts';
import type { Teardown } from '../../helpers/temp-dir.ts';
import { makeTestCa } from '../../helpers/test-ca.ts';

const CHARTER = new Uint8Array(48).fill(7);
const BINDING: DataKeyBinding = {
  purpose: 'private-object',
  charterDigest: CHARTER,
  party: 1,
  contextId: 'aa'.repeat(32),
  epochId: 'bb'.repeat(32),
  object: `FheKeyInfo/${'bb'.repeat(32)}/${'cc'.repeat(32)}`,
};
const OTHERS: readonly [string, DataKeyBinding][] = [
  ['purpose', { ...BINDING, purpose: DATA_KEY_PURPOSES[1] }],
  ['charter', { ...BINDING, charterDigest: new Uint8Array(48) }],
  ['party', { ...BINDING, party: 2 }],
  ['context', { ...BINDING, contextId: undefined }],
  ['epoch', { ...BINDING, epochId: 'bc'.repeat(32) }],
  ['object', { ...BINDING, object: `${BINDING.object}0` }],
];

/** The policy of our own making for the enclave of a test. */
async function ourPolicy({ enclave }: TestKms, release = 'test'): Promise<string> {
  const pcr16 = (await enclave.nsm.describePcr(16)).value;
  const releases = [{ release, pcrs: testPcrs('engine', release) }];
  return makeKeyPolicy({ account: ACCOUNT, engineRole: ENGINE_ARN, adminRole: ADMIN_ARN, releases, pcr16 });
}

async function expected({ enclave }: TestKms) {
  const pcr16 = (await enclave.nsm.describePcr(16)).value;
  return { engineRole: ENGINE_ARN, releases: [{ release: 'test', pcrs: testPcrs('engine') }], pcr16 };
}

async function makeKey(client: KMSClient, Policy: string, change: object = {}): Promise<string> {
  const asked = new CreateKeyCommand({ Policy, BypassPolicyLockoutSafetyCheck: true, ...change });
  return (await client.send(asked)).KeyMetadata?.Arn ?? '';
}

interface Scene {
  readonly kms: TestKms;
  readonly admin: KMSClient;
  readonly keyArn: string;
  readonly options: KmsCallerOptions;
}

async function scene(
  t: Teardown,
  change: Partial<KmsCallerOptions> = {},
  kmsOptions: TestKmsOptions = {},
  key = {},
): Promise<Scene> {
  const kms = await startTestKms(t, { charterDigest: CHARTER, ...kmsOptions });
  const admin = kms.client('admin');
  const keyArn = await makeKey(admin, await ourPolicy(kms), key);
  const options: KmsCallerOptions = {
    keyArn,
    nsm: kms.enclave.nsm,
    charterDigest: CHARTER,
    party: 1,
    credentials: credentialsOf('engine'),
    developerEndpoint: kms.emulator.url,
    sleep: async () => {},
    ...change,
  };
  return { kms, admin, keyArn, options };
}

t.test('a data key is made, and opens again for the same object alone', async (t) => {
  const { options, keyArn } = await scene(t);
  const keyring = symmetricKeyring(options);
  t.teardown(() => keyring.close());
  t.equal(keyring.name, AWS_KMS);
  const { dataKey, wrapped } = await keyring.generate(BINDING);
  t.equal(dataKey.length, 32);
  t.equal(dataKey.byteLength, dataKey.buffer.byteLength, 'in memory of its own');
  t.equal(wrapped.keyId, keyArn);
  t.notOk(Buffer.from(wrapped.blob).includes(Buffer.from(dataKey)), 'the blob does not hold it');
  const back = await keyring.unwrap(wrapped, BINDING);
  t.ok(equalBytes(back, dataKey));
  for (const [why, binding] of OTHERS) {
    await t.rejects(
      keyring.unwrap(wrapped, binding),
      { code: 'STATE_INVALID', facts: { reason: 'InvalidCiphertextException' } },
      why,
    );
  }
  const other = await keyring.generate(BINDING);
  t.notOk(equalBytes(other.dataKey, dataKey), 'each call has its own');
});

t.test('each call goes out over a document of its own, labelled for KMS', async (t) => {
  const { kms, options } = await scene(t);
  const documents: Uint8Array[] = [];
  const nsm: KmsCallerOptions['nsm'] = {
    describePcr: (index) => kms.enclave.nsm.describePcr(index),
    async attest(fields) {
      const document = await kms.enclave.nsm.attest(fields);
      documents.push(document);
      return document;
    },
  };
  const keyring = symmetricKeyring({ ...options, nsm });
  t.teardown(() => keyring.close());
  const { wrapped } = await keyring.generate(BINDING);
  await keyring.unwrap(wrapped, BINDING);
  await keyring.unwrap(wrapped, BINDING);
  const verified = await Promise.all(
    documents.map((one) => verifyLiveDocument(one, { anchor: kms.enclave.anchor, nowMs: systemClock.nowMs() })),
  );
  t.equal(verified.length, 3);
  t.equal(new Set(verified.map(({ publicKey }) => toHex(publicKey ?? new Uint8Array(0)))).size, 3, 'a key for each');
  const userData = toHex(kmsUserData({ charterDigest: CHARTER, party: 1 }));
  for (const document of verified) {
    t.equal(toHex(document.userData ?? new Uint8Array(0)), userData);
    t.equal(document.nonce, undefined);
  }
  t.not(userData, toHex(kmsUserData({ charterDigest: CHARTER, party: 2 })));
});

t.test('the facts of an object are all in what binds its key', async (t) => {
  t.same(encryptionContextOf(BINDING), {
    'arca:purpose': 'private-object',
    'arca:charter': toHex(CHARTER),
    'arca:party': '1',
    'arca:context': BINDING.contextId,
    'arca:epoch': BINDING.epochId,
    'arca:object': BINDING.object,
  });
  const digests = [BINDING, ...OTHERS.map(([, binding]) => binding)].map((binding) => toHex(bindingDigest(binding)));
  t.equal(new Set(digests).size, digests.length);
});

t.test('an asymmetric root binds by digest, and asks for its public half once', async (t) => {
  const { kms, options, keyArn } = await scene(t, {}, {}, { KeySpec: 'RSA_4096', KeyUsage: 'ENCRYPT_DECRYPT' });
  const keyring = asymmetricKeyring(options);
  t.teardown(() => keyring.close());
  const { dataKey, wrapped } = await keyring.generate(BINDING);
  await keyring.generate(BINDING);
  t.equal(kms.calls.filter(({ operation }) => operation === 'GetPublicKey').length, 1);
  t.ok(equalBytes(await keyring.unwrap(wrapped, BINDING), dataKey));
  for (const [why, binding] of OTHERS) {
    await t.rejects(
      keyring.unwrap(wrapped, binding),
      { code: 'STATE_INVALID', message: /not made for this object/ },
      why,
    );
  }
  const blob = Uint8Array.from(wrapped.blob);
  blob[9] = (blob[9] ?? 0) ^ 1;
  await t.rejects(keyring.unwrap({ keyId: keyArn, blob }, BINDING), { code: 'STATE_INVALID' }, 'changed');
  await t.rejects(keyring.unwrap({ keyId: keyArn, blob: blob.subarray(1) }, BINDING), { code: 'STATE_INVALID' }, 'cut');
  const small = await makeKey(kms.client('admin'), await ourPolicy(kms), {
    KeySpec: 'RSA_2048',
    KeyUsage: 'ENCRYPT_DECRYPT',
  });
  const weak = asymmetricKeyring({ ...options, keyArn: small });
  t.teardown(() => weak.close());
  await t.rejects(weak.generate(BINDING), { code: 'CONFIG_INVALID', message: /RSA_4096/ });
});

t.test('wrapped keys that were changed, or are of another root, are refused', async (t) => {
  const { kms, options, keyArn } = await scene(t);
  const keyring = symmetricKeyring(options);
  t.teardown(() => keyring.close());
  const { wrapped } = await keyring.generate(BINDING);
  const otherArn = await makeKey(kms.client('admin'), await ourPolicy(kms));
  const other = symmetricKeyring({ ...options, keyArn: otherArn });
  t.teardown(() => other.close());
  await t.rejects(other.unwrap(wrapped, BINDING), { code: 'STATE_INVALID', message: /another root key/ });
  const disguised = { keyId: otherArn, blob: wrapped.blob };
  await t.rejects(other.unwrap(disguised, BINDING), {
    code: 'STATE_INVALID',
    facts: { reason: 'IncorrectKeyException' },
  });
  const before = kms.calls.length;
  for (const blob of [new Uint8Array(0), new Uint8Array(6145)]) {
    await t.rejects(keyring.unwrap({ keyId: keyArn, blob }, BINDING), { code: 'STATE_INVALID' });
  }
  t.equal(kms.calls.length, before, 'AWS is not asked');
});

t.test('an enclave that the policy does not name learns which register is why', async (t) => {
  const { kms, options, keyArn } = await scene(t);
  const patched = testPcrs('engine', 'patched');
  const pcr = (value: Uint8Array | undefined) => toHex(value ?? new Uint8Array(0)).slice(0, 16);
  const other = await startTestAttester({
    role: 'engine',
    root: kms.root,
    charterDigest: CHARTER,
    pcrs: new Map([[1, patched.get(1) ?? CHARTER]]),
  });
  const keyring = symmetricKeyring({ ...options, nsm: other.nsm });
  t.teardown(() => keyring.close());
  await t.rejects(keyring.generate(BINDING), {
    code: 'PERMISSION_DENIED',
    message: `GenerateDataKey: AWS KMS refuses this engine the key: PCR1 is ${pcr(patched.get(1))}…, the policy wants ${pcr(testPcrs('engine').get(1))}…`,
    facts: { operation: 'GenerateDataKey', keyArn, reason: 'AccessDeniedException', differences: 1 },
  });
  const foreign = await startTestAttester({ role: 'engine', root: kms.root, charterDigest: new Uint8Array(48) });
  const outsider = symmetricKeyring({ ...options, nsm: foreign.nsm });
  t.teardown(() => outsider.close());
  await t.rejects(outsider.generate(BINDING), {
    code: 'PERMISSION_DENIED',
    message: /: PCR16 is [0-9a-f]{16}…, the policy wants/,
  });
  const stranger = symmetricKeyring({ ...options, credentials: credentialsOf('stranger') });
  t.teardown(() => stranger.close());
  await t.rejects(stranger.generate(BINDING), {
    code: 'PERMISSION_DENIED',
    facts: { reason: 'AccessDeniedException' },
  });
});

t.test('documents under another root are refused', async (t) => {
  const { options } = await scene(t);
  const elsewhere = await startTestAttester({ role: 'engine', charterDigest: CHARTER });
  const keyring = symmetricKeyring({ ...options, nsm: elsewhere.nsm });
  t.teardown(() => keyring.close());
  await t.rejects(keyring.generate(BINDING), {
    code: 'ATTESTATION_REJECTED',
    message: 'GenerateDataKey: AWS KMS does not take the attestation document, or the request',
    facts: { reason: 'ValidationException' },
  });
});

t.test('throttling, failures and cut connections are tried again, each time over a new document', async (t) => {
  const pauses: number[] = [];
  let attested = 0;
  const { kms, options } = await scene(t);
  const nsm: KmsCallerOptions['nsm'] = {
    describePcr: (index) => kms.enclave.nsm.describePcr(index),
    attest: (fields) => {
      attested += 1;
      return kms.enclave.nsm.attest(fields);
    },
  };
  const random = (size: number) => new Uint8Array(size).fill(255);
  const sleep = async (ms: number) => void pauses.push(ms);
  const keyring = symmetricKeyring({ ...options, nsm, random, sleep });
  t.teardown(() => keyring.close());
  kms.planned.push(
    new AwsError('ThrottlingException', 'Rate exceeded'),
    new AwsError('KMSInternalException', 'internal failure', 500),
    'cut',
    new AwsError('ServiceUnavailable', '', 503),
  );
  t.equal((await keyring.generate(BINDING)).dataKey.length, 32);
  t.equal(attested, 5);
  t.same(pauses, [100, 200, 400, 800]);
  kms.planned.push(...Array.from({ length: 5 }, () => new AwsError('ThrottlingException', 'Rate exceeded')));
  await t.rejects(keyring.generate(BINDING), { code: 'UNAVAILABLE', facts: { reason: 'ThrottlingException' } });
  t.equal(kms.planned.length, 0, 'five attempts, no more');
});

t.test('what will not pass by itself is not tried again, and has a cure', async (t) => {
  const { kms, admin, options, keyArn } = await scene(t);
  const keyring = symmetricKeyring(options);
  t.teardown(() => keyring.close());
  const cases: readonly [string, string, RegExp][] = [
    ['ExpiredTokenException', 'PERMISSION_DENIED', /have expired/],
    ['UnrecognizedClientException', 'PERMISSION_DENIED', /does not know them/],
    ['InvalidSignatureException', 'PERMISSION_DENIED', /clock/],
    ['NotFoundException', 'NOT_FOUND', /account, region and id/],
    ['KMSInvalidStateException', 'PRECONDITION_FAILED', /deletion/],
    ['SomethingNewException', 'TASK_FAILED', /refuses the request/],
  ];
  for (const [name, code, message] of cases) {
    kms.planned.push(new AwsError(name, 'text of AWS'));
    await t.rejects(keyring.generate(BINDING), { code, message }, name);
    t.equal(kms.planned.length, 0, name);
  }
  await admin.send(new DisableKeyCommand({ KeyId: keyArn }));
  await t.rejects(keyring.generate(BINDING), {
    code: 'PRECONDITION_FAILED',
    message: /the key is disabled: enable it/,
  });
  const nowhere = symmetricKeyring({ ...options, developerEndpoint: 'http://127.0.0.1:9', attempts: 2 });
  t.teardown(() => nowhere.close());
  await t.rejects(nowhere.generate(BINDING), { code: 'UNAVAILABLE', message: /cannot be reached/ });
  const broke = symmetricKeyring({ ...options, credentials: async () => Promise.reject(new Error('no token')) });
  t.teardown(() => broke.close());
  await t.rejects(broke.generate(BINDING), { code: 'UNAVAILABLE' });
});

t.test('a call ends when it is cancelled', async (t) => {
  const { kms, options } = await scene(t, {
    sleep: (_, signal) =>
      new Promise((_resolve, reject) => signal?.addEventListener('abort', () => reject(signal.reason))),
  });
  const keyring = symmetricKeyring({ ...options, onRetry: () => stop.abort() });
  t.teardown(() => keyring.close());
  const stop = new AbortController();
  kms.planned.push(new AwsError('ThrottlingException', 'Rate exceeded'));
  await t.rejects(keyring.generate(BINDING, stop.signal), { code: 'CANCELLED' });
  await t.rejects(keyring.generate(BINDING, stop.signal), { code: 'CANCELLED' }, 'before it began');
});

t.test('answers that are not for this enclave, or of another key, are refused', async (t) => {
  const { options, keyArn } = await scene(t);
  const keyring = symmetricKeyring(options);
  t.teardown(() => keyring.close());
  // A stranger in the place of KMS: he knows the enclave's public key, and can seal to it.
  const answers: readonly [string, object, RegExp][] = [
    ['in clear', { KeyId: keyArn, CiphertextBlob: 'AAAA', Plaintext: Buffer.alloc(32).toString('base64') }, /in clear/],
    [
      'of another key',
      { KeyId: `${keyArn}0`, CiphertextBlob: 'AAAA', CiphertextForRecipient: 'AAAA' },
      /for another key/,
    ],
    ['without a key', { CiphertextBlob: 'AAAA', CiphertextForRecipient: 'AAAA' }, /for another key/],
    ['without an envelope', { KeyId: keyArn, CiphertextBlob: 'AAAA' }, /without an envelope/],
    ['without a blob', { KeyId: keyArn, CiphertextForRecipient: 'AAAA' }, /without a wrapped key/],
    [
      'that cannot be opened',
      { KeyId: keyArn, CiphertextBlob: 'AAAA', CiphertextForRecipient: 'AAAA' },
      /cannot be opened/,
    ],
  ];
  for (const [why, body, message] of answers) {
    const server = await answering(t, JSON.stringify(body));
    const fooled = symmetricKeyring({ ...options, developerEndpoint: server });
    t.teardown(() => fooled.close());
    await t.rejects(fooled.generate(BINDING), { code: 'STATE_INVALID', message }, why);
  }
});

/** Starts a server that gives one answer to everything. */
async function answering(t: Teardown, body: string): Promise<string> {
  const server = createServer((request, response) => {
    request.resume();
    response.writeHead(200, { 'content-type': 'application/x-amz-json-1.1' });
    response.end(body);
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  return typeof address === 'object' && address !== null ? `http://127.0.0.1:${address.port}` : '';
}

t.test('TLS ends in the enclave: a relay carries bytes, and a certificate of others is refused', async (t) => {
  const ca = makeTestCa();
  const leaf = ca.issue({ subject: 'localhost' });
  const { options } = await scene(t);
  const state = await startTestKms(t, { charterDigest: CHARTER, tls: { key: leaf.key, cert: leaf.cert } });
  const keyArn = await makeKey(
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
  const granted = await makeKey(admin, (await ourPolicy(kms)).replace('"kms:ListKeyPolicies"', '"kms:CreateGrant"'), {
    MultiRegion: true,
  });
  await admin.send(new CreateGrantCommand({ KeyId: granted, GranteePrincipal: ADMIN_ARN, Operations: ['Decrypt'] }));
  await t.rejects(checkRootKey({ ...options, keyArn: granted }, await expected(kms)), {
    code: 'PRECONDITION_FAILED',
    message: /grants: 1 grants.*forbidden-action \(statement Administration\): kms:CreateGrant/,
    facts: { rules: 'multi-region grants forbidden-action' },
  });
  const external = await makeKey(admin, await ourPolicy(kms), { Origin: 'EXTERNAL' });
  await t.rejects(checkRootKey({ ...options, keyArn: external }, await expected(kms)), {
    code: 'PRECONDITION_FAILED',
    facts: { rules: 'origin key-state' },
  });
  const wrong = { ...(await expected(kms)), pcr16: randomFillSync(new Uint8Array(48)) };
  await t.rejects(checkRootKey(options, wrong), { code: 'PRECONDITION_FAILED', facts: { rules: 'charter' } });
});
