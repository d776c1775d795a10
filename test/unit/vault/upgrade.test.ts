/**
 * From one release of the engine to the next: the next root key names both, the engine that the old key admits seals the
 * vault anew, and the new engine goes on. Each needs a release set that says so.
 */
import t from 'tap';
import { symmetricKeyring } from '../../../enclave/keychain/aws-kms.ts';
import { checkRootKey } from '../../../enclave/keychain/check-root-key.ts';
import type { KmsCallerOptions } from '../../../enclave/keychain/kms-caller.ts';
import { RootKeyrings } from '../../../enclave/keychain/root-keyrings.ts';
import { rewrapVault } from '../../../enclave/vault/rewrap-vault.ts';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import { makeKeyPolicy } from '../../../wire/key-policy/make.ts';
import { ACCOUNT, ADMIN_ARN, ENGINE_ARN } from '../../helpers/aws-kms.ts';
import { CHARTER, expected, makeRootKey, scene } from '../../helpers/kms-scene.ts';
import { startTestAttester, testPcrs } from '../../helpers/software-nsm.ts';
import { fill, isWhole, openServer, rootsOf } from './rewrap-scene.ts';

t.test('the old engine rewraps for both, and the new one goes on alone', async (t) => {
  const { kms, admin, options, keyArn: oldKey } = await scene(t);
  const pcrs = testPcrs('engine', 'next');
  const nextEnclave = await startTestAttester({ role: 'engine', root: kms.root, pcrs, charterDigest: CHARTER });
  const old = await expected(kms);
  const both = { ...old, releases: [...old.releases, { release: 'next', pcrs }] };
  const newKey = await makeRootKey(
    admin,
    makeKeyPolicy({ ...both, account: ACCOUNT, adminRole: ADMIN_ARN, engineRole: ENGINE_ARN }),
  );
  const oldEngine = options;
  const newEngine: KmsCallerOptions = { ...options, nsm: nextEnclave.nsm };
  const root = (engine: KmsCallerOptions, keyArn: string) => {
    const keyring = symmetricKeyring({ ...engine, keyArn });
    t.teardown(() => keyring.close());
    return { keyId: keyArn, keyring };
  };
  const storage = openMemoryStorage();
  await fill(await openServer(storage, 1, new RootKeyrings(root(oldEngine, oldKey), [])));

  const early = await openServer(storage, 2, new RootKeyrings(root(newEngine, newKey), [root(newEngine, oldKey)]));
  await t.rejects(isWhole(early), { code: 'PERMISSION_DENIED', message: /PCR0/ }, 'the old key admits no new engine');
  const unnamed = checkRootKey({ ...oldEngine, keyArn: newKey }, old);
  await t.rejects(
    unnamed,
    { code: 'PRECONDITION_FAILED', facts: { rules: 'unknown-measurement' } },
    'no key for more than the release set in force',
  );
  t.same((await checkRootKey({ ...oldEngine, keyArn: newKey }, both)).warnings, []);

  const between = await openServer(storage, 3, new RootKeyrings(root(oldEngine, newKey), [root(oldEngine, oldKey)]));
  t.same(await rewrapVault(between.parts), { keyId: newKey, rewrapped: 3, kept: 0 });
  const after = await openServer(storage, 4, new RootKeyrings(root(newEngine, newKey), []));
  t.ok(await isWhole(after));
  t.same(await rootsOf(after), new Set([newKey]));
});
