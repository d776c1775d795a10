/** Vaults of the published layout under root keys of AWS KMS: opened for an attested importer, and for no other. */
import t from 'tap';
import { foreignKeys } from '../../../enclave/keychain/aws-kms.ts';
import { ADMIN_MAY_ALL, attested, engineMay, makeKey, startTestKms, USE } from '../../helpers/aws-kms.ts';
import { testKeySet } from '../../helpers/fhe-key-set.ts';
import { CRS, newNode, oldNode, opened, takeOver, written } from '../../helpers/foreign-node.ts';
import { appKeyBlob, asymmetricKeys, symmetricKeys } from '../../helpers/foreign-vault.ts';
import { CHARTER, callerOf } from '../../helpers/kms-scene.ts';

const compressed = await testKeySet(t);
const COMPRESSED = ['PublicKey', 'CompressedXofKeySet'] as const;

t.test('vaults under root keys of AWS KMS open for the attested importer, symmetric and asymmetric', async (t) => {
  const kms = await startTestKms(t, { charterDigest: CHARTER });
  const admin = kms.client('admin');
  const policy = JSON.stringify({
    Version: '2012-10-17',
    Statement: [ADMIN_MAY_ALL, engineMay([...USE, 'kms:GetKeyPolicy'], attested(kms))],
  });
  for (const [spec, change, make] of [
    ['symm', {}, symmetricKeys],
    ['asymm', { KeySpec: 'RSA_4096', KeyUsage: 'ENCRYPT_DECRYPT' }, asymmetricKeys],
  ] as const) {
    const keyArn = await makeKey(admin, policy, change);
    const seal = (object: Uint8Array) => appKeyBlob(keyArn.split('/')[1] ?? '', object, make(admin, keyArn));
    const old = await oldNode(t, compressed, COMPRESSED, { seal });
    const keys = foreignKeys(spec, callerOf(kms, keyArn));
    t.teardown(() => keys.close());
    const source = old.vault({ keyArn, keys });
    const target = await newNode({ isEmpty: true });
    t.equal((await takeOver(source, target)).identity, 'adopted', spec);
    t.match(await opened(target, compressed, 9n), { value: 9n, provenance: 'imported', crs: [CRS] });

    await t.rejects(takeOver(old.vault(), await newNode()), { code: 'REQUEST_INVALID' }, 'as one in clear: refused');
    const clear = await oldNode(t, compressed, COMPRESSED);
    const inClear = takeOver(clear.vault({ keyArn, keys }), await newNode());
    await t.rejects(
      inClear,
      { code: 'REQUEST_INVALID', message: /SigningKey/ },
      'one in clear as a sealed one: refused',
    );

    const other = await makeKey(admin, policy, change);
    const otherKeys = foreignKeys(spec, callerOf(kms, other));
    t.teardown(() => otherKeys.close());
    const wrong = takeOver(old.vault({ keyArn: other, keys: otherKeys }), await newNode());
    await t.rejects(wrong, { code: 'STATE_INVALID', message: /another root key/ });

    const damaged = await oldNode(t, compressed, COMPRESSED, {
      seal: async (object) => {
        const blob = await seal(object);
        const at = blob.length - 50; // the last bytes of the ciphertext
        blob[at] = (blob[at] ?? 0) ^ 1;
        return blob;
      },
    });
    const nodes = await newNode();
    await t.rejects(takeOver(damaged.vault({ keyArn, keys }), nodes), {
      code: 'STATE_INVALID',
      message: /does not open/,
    });
    t.same(await written(nodes), []);
  }
});

t.test('an importer that is not in the policy of the root key gets nothing', async (t) => {
  const kms = await startTestKms(t, { charterDigest: CHARTER });
  const admin = kms.client('admin');
  const policy = JSON.stringify({
    Version: '2012-10-17',
    Statement: [
      ADMIN_MAY_ALL,
      engineMay([...USE], attested(kms, { 'kms:RecipientAttestation:PCR0': 'ab'.repeat(48) })),
      engineMay(['kms:GetKeyPolicy']),
    ],
  });
  const keyArn = await makeKey(admin, policy);
  const old = await oldNode(t, compressed, COMPRESSED, {
    seal: (object) => appKeyBlob(keyArn, object, symmetricKeys(admin, keyArn)),
  });
  const keys = foreignKeys('symm', callerOf(kms, keyArn));
  t.teardown(() => keys.close());
  const target = await newNode();
  await t.rejects(takeOver(old.vault({ keyArn, keys }), target), {
    code: 'PERMISSION_DENIED',
    message: /refuses this engine/,
  });
  t.same(await written(target), []);
});
