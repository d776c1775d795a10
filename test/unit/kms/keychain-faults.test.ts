import { createServer } from 'node:http';
import { Socket } from 'node:net';
import { DisableKeyCommand } from '@aws-sdk/client-kms';
import t from 'tap';
import { toHex } from '../../../common/bytes.ts';
import { AwsError } from '../../../emulators/aws-kms/aws-error.ts';
import { symmetricKeyring } from '../../../enclave/keychain/aws-kms.ts';
import { checkRootKey } from '../../../enclave/keychain/check-root-key.ts';
import type { KmsCallerOptions } from '../../../enclave/keychain/kms-caller.ts';
import { credentialsOf } from '../../helpers/aws-kms.ts';
import { BINDING, CHARTER, expected, scene } from '../../helpers/kms-scene.ts';
import { startTestAttester, testPcrs } from '../../helpers/software-nsm.ts';
import type { Teardown } from '../../helpers/temp-dir.ts';

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

t.test('what keeps a call from arriving is told apart', async (t) => {
  const { options } = await scene(t);
  const cases: readonly [string, RegExp][] = [
    ['ENOTFOUND', /host name does not exist; check the region/],
    ['EAI_AGAIN', /DNS does not answer/],
    ['ECONNREFUSED', /nothing listens where it should be/],
    ['EHOSTUNREACH', /no way to it/],
    ['ENETUNREACH', /no way to it/],
    ['ECONNRESET', /connection breaks/],
  ];
  for (const [code, message] of cases) {
    const connect = () => {
      const socket = new Socket();
      socket.destroy(Object.assign(new Error(`connect ${code}`), { code }));
      return socket;
    };
    const keyring = symmetricKeyring({ ...options, connect, attempts: 2 });
    await t.rejects(keyring.generate(BINDING), { code: 'UNAVAILABLE', message }, code);
    keyring.close();
  }
});

t.test('a refusal names the operation that was refused', async (t) => {
  let refused = '';
  const intercept = (operation: string) =>
    operation === refused ? new AwsError('AccessDeniedException', 'text of AWS') : undefined;
  const { kms, options, keyArn } = await scene(t, {}, { intercept });
  const keyring = symmetricKeyring(options);
  t.teardown(() => keyring.close());
  const { wrapped } = await keyring.generate(BINDING);
  const wanted = await expected(kms);
  const calls: readonly [string, () => Promise<unknown>][] = [
    ['GenerateDataKey', () => keyring.generate(BINDING)],
    ['Decrypt', () => keyring.unwrap(wrapped, BINDING)],
    ['DescribeKey', async () => await checkRootKey(options, wanted)],
    ['GetKeyPolicy', async () => await checkRootKey(options, wanted)],
    ['ListGrants', async () => await checkRootKey(options, wanted)],
  ];
  for (const [operation, run] of calls) {
    refused = operation;
    const message = new RegExp(`^${operation}: AWS KMS refuses this engine the key`);
    await t.rejects(run(), { code: 'PERMISSION_DENIED', message, facts: { operation, keyArn } }, operation);
  }
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
