/**
 * The engine of a production image: sealed vault, no insecure operation.
 *
 * This file and main-dev.ts are the only ones that name trust anchor, keychain and insecure operations. The keychain
 * of production, AWS KMS with attestation, is not part of this release, and no other may stand in for it.
 */
import { KmsError } from '../common/errors.ts';
import { runServiceProcess } from '../common/service-process.ts';

await runServiceProcess('engine', false, () => {
  throw new KmsError(
    'CONFIG_INVALID',
    'sealed vaults need the AWS KMS keychain, which this release does not have; `arca dev` runs without one',
  );
});
