/** A root key that does not answer is told for as long as it does not. */
import t from 'tap';
import { AwsError } from '../../../emulators/aws-kms/aws-error.ts';
import { symmetricKeyring } from '../../../enclave/keychain/aws-kms.ts';
import { RootKeyrings } from '../../../enclave/keychain/root-keyrings.ts';
import { BINDING, scene } from '../../helpers/kms-scene.ts';

t.test('throttled calls leave their reason behind, and the next that succeeds takes it away', async (t) => {
  const seen: (string | undefined)[] = [];
  const { kms, keyArn, options } = await scene(t, { onRetry: () => seen.push(keyring.trouble()) });
  const keyring: RootKeyrings = new RootKeyrings({ keyId: keyArn, keyring: symmetricKeyring(options) });
  t.teardown(() => keyring.close());
  t.equal(keyring.trouble(), undefined);
  const throttled = () => new AwsError('ThrottlingException', 'Rate exceeded');
  kms.planned.push(throttled());
  await keyring.generate(BINDING);
  t.match(seen, [/asks for fewer requests/], 'while it is tried again');
  t.equal(keyring.trouble(), undefined, 'it succeeded in the end');
  kms.planned.push(...Array.from({ length: 5 }, throttled));
  await t.rejects(keyring.generate(BINDING), { code: 'UNAVAILABLE' });
  t.match(keyring.trouble(), /asks for fewer requests/);
  await keyring.generate(BINDING);
  t.equal(keyring.trouble(), undefined);
});
