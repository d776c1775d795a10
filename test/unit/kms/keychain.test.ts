import t from 'tap';
import { verifyLiveDocument } from '../../../attestation/document/index.ts';
import { equalBytes, toHex } from '../../../common/bytes.ts';
import { systemClock } from '../../../common/clock.ts';
import { AWS_KMS, asymmetricKeyring, symmetricKeyring } from '../../../enclave/keychain/aws-kms.ts';
import { bindingDigest, encryptionContextOf, kmsUserData } from '../../../enclave/keychain/data-keys.ts';
import type { KmsCallerOptions } from '../../../enclave/keychain/kms-caller.ts';
import { BINDING, CHARTER, makeRootKey, OTHERS, ourPolicy, scene } from '../../helpers/kms-scene.ts';

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
  const small = await makeRootKey(kms.client('admin'), await ourPolicy(kms), {
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
  const otherArn = await makeRootKey(kms.client('admin'), await ourPolicy(kms));
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
