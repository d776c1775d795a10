/** What an engine asks of its key's policy, and how it goes from one root key to the next. */
import t from 'tap';
import { charterDigest, type ReleaseSet } from '../../../attestation/governance/index.ts';
import { equalBytes } from '../../../common/bytes.ts';
import { asymmetricKeyring, symmetricKeyring } from '../../../enclave/keychain/aws-kms.ts';
import { checkRootKey } from '../../../enclave/keychain/check-root-key.ts';
import { expectedPolicy } from '../../../enclave/keychain/expected-policy.ts';
import { type RootKeyring, RootKeyrings } from '../../../enclave/keychain/root-keyrings.ts';
import { makeKeyPolicy } from '../../../wire/key-policy/make.ts';
import { ACCOUNT, ADMIN_ARN, ENGINE_ARN } from '../../helpers/aws-kms.ts';
import { BINDING, makeRootKey, ourPolicy, scene } from '../../helpers/kms-scene.ts';
import { testPcrs } from '../../helpers/software-nsm.ts';
import { DEV_CHARTER, engineEntry } from '../attestation/governance/fixtures.ts';

const RELEASES: ReleaseSet = {
  version: 4,
  network: DEV_CHARTER.network,
  entries: ['test', 'next'].map((release) => engineEntry(release, { pcrs: testPcrs('engine', release) })),
};
const setting = (releases = RELEASES, pcrs = testPcrs('engine')) => ({
  charter: DEV_CHARTER,
  releases,
  pcrs,
  engineRole: ENGINE_ARN,
});

t.test('an engine asks that its own release can use the key; others that are in force may, too', async (t) => {
  const { admin, options } = await scene(t, {}, { charterDigest: charterDigest(DEV_CHARTER) });
  const expected = expectedPolicy(setting());
  const policyFor = (...names: readonly string[]): string =>
    makeKeyPolicy({
      account: ACCOUNT,
      engineRole: ENGINE_ARN,
      adminRole: ADMIN_ARN,
      releases: names.map((release) => ({ release, pcrs: testPcrs('engine', release) })),
      pcr16: expected.pcr16,
    });
  const check = async (wanted: typeof expected, ...names: readonly string[]) =>
    await checkRootKey({ ...options, keyArn: await makeRootKey(admin, policyFor(...names)) }, wanted);
  t.same((await check(expected, 'test')).warnings, [], 'its own alone');
  t.same((await check(expected, 'test', 'next')).warnings, [], 'the next beside it');
  const unsafe = (rules: string) => ({ code: 'PRECONDITION_FAILED', facts: { rules } });
  await t.rejects(check(expected, 'next'), unsafe('release-missing'), 'it could not open what it seals');
  await t.rejects(check(expected, 'test', 'revoked'), unsafe('unknown-measurement'), 'a release that is not in force');
  const after = expectedPolicy(setting({ ...RELEASES, entries: RELEASES.entries.slice(0, 1) }));
  await t.rejects(check(after, 'test', 'next'), unsafe('unknown-measurement'), 'nor one that was in force');
});

t.test('an engine that is not in force judges no policy', async (t) => {
  const stranger = testPcrs('engine', 'stranger');
  t.throws(() => expectedPolicy(setting(RELEASES, stranger)), {
    code: 'PRECONDITION_FAILED',
    message: /set 4 does not list/,
  });
  t.throws(
    () => expectedPolicy(setting(RELEASES, new Map())),
    { code: 'PRECONDITION_FAILED' },
    'nor without registers',
  );
  const asCore = RELEASES.entries.map((entry) => ({ ...entry, role: 'core' as const }));
  t.throws(() => expectedPolicy(setting({ ...RELEASES, entries: asCore })), { code: 'PRECONDITION_FAILED' });
});

t.test('new data keys come under the key in force, those of keys before it still open', async (t) => {
  const { kms, admin, options, keyArn } = await scene(t);
  const policy = await ourPolicy(kms);
  const next = await makeRootKey(admin, policy);
  const root = (arn: string): RootKeyring => ({ keyId: arn, keyring: symmetricKeyring({ ...options, keyArn: arn }) });
  const before = new RootKeyrings(root(keyArn));
  const keyrings = new RootKeyrings(root(next), [root(keyArn)]);
  for (const one of [before, keyrings]) t.teardown(() => one.close());
  const old = await before.generate(BINDING);
  t.equal(old.wrapped.keyId, keyArn);
  t.equal(keyrings.primaryId, next);
  const fresh = await keyrings.generate(BINDING);
  t.equal(fresh.wrapped.keyId, next);
  for (const { wrapped, dataKey } of [old, fresh]) t.ok(equalBytes(await keyrings.unwrap(wrapped, BINDING), dataKey));
  await t.rejects(before.unwrap(fresh.wrapped, BINDING), { code: 'STATE_INVALID', message: /does not name/ });

  const strange = { ...old.wrapped, keyId: await makeRootKey(admin, policy) };
  const calls = kms.calls.length;
  await t.rejects(keyrings.unwrap(strange, BINDING), { code: 'STATE_INVALID', message: /does not name/ });
  t.equal(kms.calls.length, calls, 'a key that nobody named is not even asked');
  await t.rejects(keyrings.unwrap({ ...old.wrapped, keyId: next }, BINDING), { code: 'STATE_INVALID' });
});

t.test('symmetric and asymmetric root keys follow one another', async (t) => {
  const { kms, admin, options, keyArn } = await scene(t);
  const rsa = await makeRootKey(admin, await ourPolicy(kms), { KeySpec: 'RSA_4096', KeyUsage: 'ENCRYPT_DECRYPT' });
  const before = { keyId: keyArn, keyring: symmetricKeyring(options) };
  const old = await before.keyring.generate(BINDING);
  const keyrings = new RootKeyrings({ keyId: rsa, keyring: asymmetricKeyring({ ...options, keyArn: rsa }) }, [before]);
  t.teardown(() => keyrings.close());
  const fresh = await keyrings.generate(BINDING);
  for (const { wrapped, dataKey } of [old, fresh]) t.ok(equalBytes(await keyrings.unwrap(wrapped, BINDING), dataKey));
});
