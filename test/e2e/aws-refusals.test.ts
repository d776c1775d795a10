/**
 * What AWS KMS refuses a whole node: one whose engine the root keys do not admit, and one whose documents chain to another root than
 * that of AWS. Its emulators run in the test, its processes as `arca node` starts them.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { AWS_NITRO_ROOT } from '../../attestation/document/index.ts';
import { toHex } from '../../common/bytes.ts';
import { loadConfig } from '../../common/config.ts';
import { NodeConfig } from '../../common/node-config.ts';
import { readEmulatorConfig as readKmsConfig } from '../../emulators/aws-kms/config.ts';
import { type KmsCall, type KmsEmulatorOptions, startKmsEmulator } from '../../emulators/aws-kms/server.ts';
import { readEmulatorConfig as readS3Config } from '../../emulators/s3/config.ts';
import { startS3Emulator } from '../../emulators/s3/server.ts';
import { createOutput } from '../../parent/cli/framework/output.ts';
import { startConfiguredNode } from '../../parent/cli/supervise/run-node.ts';
import { present } from '../helpers/present.ts';
import { startParty } from '../helpers/start-party.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const SILENT = createOutput({ json: false, stdout: { write: () => true }, stderr: { write: () => true } });

/** A node that was started once with `--aws`, and stopped. */
async function stoppedNode(t: Test): Promise<string> {
  const dir = tempDir(t);
  const party = await startParty(t, { dir, aws: true });
  await party.stop();
  return dir;
}

/** Starts it once more, against emulators of the test's own. */
async function startAgain(t: Test, dir: string, change: Partial<KmsEmulatorOptions> = {}) {
  const config = loadConfig(NodeConfig, { file: join(dir, 'node.toml'), env: {} });
  const { port: s3Port } = new URL(present(config.aws?.developer_s3_endpoint));
  const { port: kmsPort } = new URL(present(config.aws?.developer_kms_endpoint));
  const s3 = await startS3Emulator({ ...readS3Config(join(dir, 'aws/s3.json')).options, port: Number(s3Port) });
  t.teardown(() => s3.close());
  const calls: KmsCall[] = [];
  const options = readKmsConfig(join(dir, 'aws/kms.json'));
  const kms = await startKmsEmulator({
    ...options,
    port: Number(kmsPort),
    onCall: (call) => calls.push(call),
    ...change,
  });
  t.teardown(() => kms.close());
  const start = async () => {
    const node = await startConfiguredNode(join(dir, 'node.toml'), 'test', SILENT);
    t.teardown(() => node.stop());
    return node;
  };
  return { calls, start };
}

const causeOf = (error: unknown): string => (error instanceof Error ? `${error.message} ${causeOf(error.cause)}` : '');

t.test('the node serves again where all is as it was', async (t) => {
  const { start, calls } = await startAgain(t, await stoppedNode(t));
  const { node } = await start();
  t.match(node.address, /^0x/);
  t.ok(calls.some(({ operation, outcome }) => operation === 'Decrypt' && outcome === 'ok'));
});

t.test('documents of a developer are worth nothing under the root of AWS', async (t) => {
  const { start, calls } = await startAgain(t, await stoppedNode(t), { anchor: AWS_NITRO_ROOT });
  const error = await start().then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  t.match(causeOf(error), /AWS KMS does not take the attestation document/);
  t.ok(calls.some(({ operation, outcome }) => operation === 'Decrypt' && outcome === 'ValidationException'));
  t.notOk(calls.some(({ operation, outcome }) => operation === 'Decrypt' && outcome === 'ok'));
});

t.test(
  'an engine whose measurements no policy names gets nothing, and says by which register it differs',
  async (t) => {
    const dir = await stoppedNode(t);
    const path = join(dir, 'aws/kms-keys.json');
    const { parties } = JSON.parse(readFileSync(join(dir, 'aws/aws.json'), 'utf8'));
    const [, , pcr2] = parties[0].keys.pcrs;
    writeFileSync(path, readFileSync(path, 'utf8').replaceAll(pcr2, toHex(new Uint8Array(48).fill(0x5a))));
    const { start, calls } = await startAgain(t, dir);
    const error = await start().then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    t.match(causeOf(error), /PCR2/);
    t.notOk(calls.some(({ operation, outcome }) => operation === 'Decrypt' && outcome === 'ok'));
  },
);
