/** Sealed objects over AWS KMS: only the enclave of the key policy opens them, and only as what they are. */
import t from 'tap';
import { toHex } from '../../../common/bytes.ts';
import { asymmetricKeyring, symmetricKeyring } from '../../../enclave/keychain/aws-kms.ts';
import type { KmsCallerOptions } from '../../../enclave/keychain/kms-caller.ts';
import { CHARTER, makeRootKey, ourPolicy, scene } from '../../helpers/kms-scene.ts';
import { askedFor, CLAIMS, faultsOf, fixedRandom, fixedSealer, openBytes, sealBytes } from './seal-scene.ts';

const claims = { ...CLAIMS, party: 1, charterDigest: CHARTER };
const content = fixedRandom(1)(70_000);

for (const [kind, make, spec] of [
  ['symmetric', symmetricKeyring, {}],
  ['asymmetric', asymmetricKeyring, { KeySpec: 'RSA_4096', KeyUsage: 'ENCRYPT_DECRYPT' }],
] as const) {
  t.test(`a ${kind} root key: sealed by one start of the engine, opened by another`, async (t) => {
    const { kms, options, keyArn } = await scene(t, {}, {}, spec);
    const keyringOf = (change: Partial<KmsCallerOptions> = {}) => {
      const keyring = make({ ...options, ...change });
      t.teardown(() => keyring.close());
      return keyring;
    };
    const sealer = { ...fixedSealer(1), keyring: keyringOf() };
    const sealed = await sealBytes(content, { claims, sealer });
    const asked = askedFor(claims);
    const opened = await openBytes(sealed, { asked, keyring: keyringOf() });
    t.ok(Buffer.from(opened).equals(content));
    t.equal(Buffer.from(sealed).indexOf(keyArn) > 0, true, 'the root key is named in the head');

    const before = kms.calls.length;
    const elsewhere = { ...asked, epochId: 'ba'.repeat(32) };
    t.equal(await faultsOf(openBytes(sealed, { asked: elsewhere, keyring: keyringOf() })), 'other-epoch');
    const changed = sealed.slice();
    const at = Buffer.from(sealed).indexOf('wrapped') + 12;
    changed[at] = (changed[at] ?? 0) ^ 1;
    t.equal(await faultsOf(openBytes(changed, { asked, keyring: keyringOf() })), 'head-forged');
    t.equal(kms.calls.length, before, 'AWS is not asked for either');

    const otherArn = await makeRootKey(kms.client('admin'), await ourPolicy(kms), spec);
    await t.rejects(
      openBytes(sealed, { asked, keyring: keyringOf({ keyArn: otherArn }) }),
      { code: 'STATE_INVALID', message: /another root key/ },
      'another root key',
    );
  });
}

t.test('every object has a data key of its own, asked for once', async (t) => {
  const { kms, options } = await scene(t);
  const keyring = symmetricKeyring(options);
  t.teardown(() => keyring.close());
  const sealer = { ...fixedSealer(1), keyring };
  const seen = new Set<string>();
  for (let i = 0; i < 3; i++)
    seen.add(toHex((await sealBytes(content, { claims, sealer })).subarray(-70_000, -69_900)));
  t.equal(seen.size, 3);
  t.equal(kms.calls.filter(({ operation }) => operation === 'GenerateDataKey').length, 3);
});
