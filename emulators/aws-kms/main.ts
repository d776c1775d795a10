/**
 * The emulated AWS KMS as a program: `node emulators/aws-kms/main.ts --config FILE`. One JSON line when it listens, one for each
 * call. docs/developers/kms-emulator.md.
 */
import { printLine, runEmulator } from '../run-emulator.ts';
import { readEmulatorConfig } from './config.ts';
import { startKmsEmulator } from './server.ts';

const USAGE = `Usage: node emulators/aws-kms/main.ts --config FILE

Serves AWS KMS and STS AssumeRoleWithWebIdentity over HTTP, for developers and tests. Keys are not protected.
FILE is JSON: docs/developers/kms-emulator.md.
`;

await runEmulator(USAGE, async (file) => {
  const options = readEmulatorConfig(file);
  const emulator = await startKmsEmulator({ ...options, onCall: (call) => printLine({ event: 'kms.call', ...call }) });
  printLine({ event: 'kms.ready', url: emulator.url, region: options.region, account: options.account });
  return emulator;
});
