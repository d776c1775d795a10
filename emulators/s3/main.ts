/**
 * The S3 emulator as a program: `node emulators/s3/main.ts --config FILE`. One JSON line when it listens.
 * docs/developers/s3-emulator.md.
 */
import { parseArgs } from 'node:util';
import { watchSupervisor } from '../../common/supervisor-pipe.ts';
import { readEmulatorConfig } from './config.ts';
import { parsePolicy } from './policy.ts';
import { type S3Emulator, startS3Emulator } from './server.ts';

const USAGE = `Usage: node emulators/s3/main.ts --config FILE

Serves S3 over HTTP on the loopback address, for developers and tests. What it keeps is not protected.
FILE is JSON: docs/developers/s3-emulator.md.
`;

/** Returns the running emulator; undefined when only help was asked for. */
async function start(): Promise<S3Emulator | undefined> {
  const { values } = parseArgs({ options: { config: { type: 'string' }, help: { type: 'boolean', short: 'h' } } });
  if (values.help === true) {
    process.stdout.write(USAGE);
    return undefined;
  }
  if (values.config === undefined) throw new Error(`--config is missing\n\n${USAGE}`);
  const { options, buckets } = readEmulatorConfig(values.config);
  const emulator = await startS3Emulator(options);
  for (const { name, versioning, policy } of buckets) {
    const bucket = emulator.createBucket(name);
    if (versioning !== (bucket.versioning === 'Enabled')) bucket.versioning = versioning ? 'Enabled' : 'Suspended';
    bucket.policy = policy === undefined ? undefined : parsePolicy(policy);
  }
  process.stdout.write(`${JSON.stringify({ event: 's3.ready', url: emulator.url, region: options.region })}\n`);
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
