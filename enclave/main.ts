/**
 * The engine of a production image: the AWS Nitro root, sealed vault, no insecure operation.
 *
 * This file and main-dev.ts are the only ones that name trust anchor, keychain and insecure operations. The keychain
 * of production, AWS KMS with attestation, is not part of this release, and no other may stand in for it.
 */
import { AWS_NITRO_ROOT } from '../attestation/document/index.ts';
import { readNodeFiles } from '../attestation/node/node-files.ts';
import { KmsError } from '../common/errors.ts';
import { runServiceProcess } from '../common/service-process.ts';

await runServiceProcess('engine', false, async (config) => {
  const { charter } = await readNodeFiles(config, AWS_NITRO_ROOT);
  throw new KmsError(
    'CONFIG_INVALID',
    `network ${charter.network}: sealed vaults need the AWS KMS keychain, which this release does not have; \`arca dev\` runs without one`,
  );
});
