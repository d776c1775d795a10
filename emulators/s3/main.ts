/**
 * The S3 emulator as a program: `node emulators/s3/main.ts --config FILE`. One JSON line when it listens.
 * docs/developers/s3-emulator.md.
 */
import { printLine, runEmulator } from '../run-emulator.ts';
import { readEmulatorConfig } from './config.ts';
import { parsePolicy } from './policy.ts';
import { startS3Emulator } from './server.ts';

const USAGE = `Usage: node emulators/s3/main.ts --config FILE

Serves S3 over HTTP on the loopback address, for developers and tests. What it keeps is not protected.
FILE is JSON: docs/developers/s3-emulator.md.
`;

await runEmulator(USAGE, async (file) => {
  const { options, buckets } = readEmulatorConfig(file);
  const emulator = await startS3Emulator(options);
  for (const { name, versioning, policy } of buckets) {
    const bucket = emulator.createBucket(name);
    if (versioning !== (bucket.versioning === 'Enabled')) bucket.versioning = versioning ? 'Enabled' : 'Suspended';
    bucket.policy = policy === undefined ? undefined : parsePolicy(policy);
  }
  printLine({ event: 's3.ready', url: emulator.url, region: options.region });
  return emulator;
});
