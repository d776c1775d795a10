/**
 * The emulated AWS KMS as a program: `node emulators/aws-kms/main.ts --config FILE`. One JSON line when it listens, one for each
 * call. docs/developers/kms-emulator.md.
 */
import { parseArgs } from 'node:util';
import { watchSupervisor } from '../../common/supervisor-pipe.ts';
import { readEmulatorConfig } from './config.ts';
import { type KmsEmulator, startKmsEmulator } from './server.ts';

const USAGE = `Usage: node emulators/aws-kms/main.ts --config FILE

Serves AWS KMS and STS AssumeRoleWithWebIdentity over HTTP, for developers and tests. Keys are not protected.
FILE is JSON: docs/developers/kms-emulator.md.
`;

const print = (line: object): boolean => process.stdout.write(`${JSON.stringify(line)}\n`);

/** Returns the running emulator; undefined when only help was asked for. */
async function start(): Promise<KmsEmulator | undefined> {
  const { values } = parseArgs({ options: { config: { type: 'string' }, help: { type: 'boolean', short: 'h' } } });
  if (values.help === true) {
    process.stdout.write(USAGE);
    return undefined;
  }
  if (values.config === undefined) throw new Error(`--config is missing\n\n${USAGE}`);
  const options = readEmulatorConfig(values.config);
  const emulator = await startKmsEmulator({ ...options, onCall: (call) => print({ event: 'kms.call', ...call }) });
  print({ event: 'kms.ready', url: emulator.url, region: options.region, account: options.account });
  return emulator;
}

try {
  const emulator = await start();
  const stop = (): void => {
    // Whatever is left open, a pipe to a supervisor for one, must not keep it.
    void emulator?.close().then(() => process.exit(0));
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop);
  if (emulator) watchSupervisor(stop);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 2;
}
