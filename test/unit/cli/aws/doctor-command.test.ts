/** `arca doctor` itself, on the folder of a node whose vaults are in S3. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { EMULATED, BUCKETS as EMULATED_BUCKETS } from '../../../../parent/cli/supervise/aws/aws-file.ts';
import { acquireFolderLock } from '../../../../parent/cli/supervise/folder-lock.ts';
import { writeNodeFile } from '../../../../parent/cli/supervise/node-file.ts';
import { writeDeveloperConfig } from '../../../../parent/cli/supervise/node-toml.ts';
import { createStateFolder, writeFormat } from '../../../../parent/cli/supervise/state-folder.ts';
import { credentialsOf, ENGINE_ARN } from '../../../helpers/aws-kms.ts';
import { runArca } from '../../../helpers/cli-script.ts';
import { startS3 } from '../../../helpers/s3.ts';
import { tempDir } from '../../../helpers/temp-dir.ts';

t.test('the command names the right that the role lacks, and looks at nothing behind it', async (t) => {
  const s3 = await startS3(t, { region: EMULATED.region, credentials: [credentialsOf('engine')] });
  for (const name of Object.values(EMULATED_BUCKETS)) s3.emulator.createBucket(name);
  s3.fault = ({ operation, bucket }) =>
    operation === 'DeleteObject' && bucket === EMULATED_BUCKETS.private
      ? { kind: 'error', code: 'AccessDenied' }
      : undefined;
  const { code, stdout, stderr } = await runArca([
    'doctor',
    '--dir',
    await runningFolder(t, s3.emulator.url),
    '--json',
  ]);
  t.equal(code, 1);
  t.match(JSON.parse(stdout), { error: { code: 'PERMISSION_DENIED', message: /allow s3:DeleteObject to this role/ } });
  const steps = stderr.split('\n').filter((line) => /^[✓✗]/.test(line));
  t.match(steps.at(-1), /^✗ private bucket/);
  t.match(steps.at(-3), /^✓ public bucket/);
});

t.test(
  'before the first start, what governance put into the state folder is no fault, and the way to start is named',
  async (t) => {
    const dir = tempDir(t);
    const file = join(dir, 'node.toml');
    const vault = 'storage.s3.bucket = "vaults"';
    writeFileSync(
      file,
      `[engine]
socket_path = "${dir}/run/engine.sock"
[enclave]
image_path = "${dir}/engine.eif"
[aws]
region = "eu-west-1"
role_arn = "${ENGINE_ARN}"
instance_role = true
[public_vault]
${vault}
[private_vault]
${vault}
keychain.aws_kms = {}
[attestation]
charter_path = "${dir}/charter.cbor"
record_path = "${dir}/record.cbor"
releases_path = "${dir}/releases.cbor"
[state]
path = "${dir}/core.sqlite"
`,
    );
    writeFileSync(join(dir, 'record.cbor'), '');
    const { code, stderr } = await runArca(['doctor', '--dir', dir, '--config', file]);
    t.equal(code, 1);
    t.match(stderr, `✓ folder: ${dir} is empty: 'arca run --config ${file}' will make it`);
    t.match(stderr, /✗ parent instance\n.*engine\.eif cannot be read/s, 'and what comes after it is looked at');
  },
);

/** A state folder whose node has its vaults at an S3 server; this process says that it is the node. */
async function runningFolder(t: Test, s3Url: string): Promise<string> {
  const dir = join(tempDir(t), 'state');
  await createStateFolder(dir);
  await writeFormat(dir);
  const lock = acquireFolderLock(dir);
  t.teardown(() => lock.release());
  const { accessKeyId, secretAccessKey } = credentialsOf('engine');
  const aws = { access: { accessKeyId, secretAccessKey }, role: ENGINE_ARN, s3Url, kmsUrl: s3Url } as const;
  const socketPath = join(dir, 'run', 'engine.sock');
  const ports = { clientPort: 1, publicPort: 2, opsPort: 3 };
  const configFile = await writeDeveloperConfig({
    dir,
    socketPath,
    ...ports,
    logLevel: 'info',
    treatV0ExtraDataAsEmpty: false,
    aws: { ...aws, backup: 'aws-kms' },
  });
  await writeNodeFile(dir, {
    pid: process.pid,
    clientUrl: 'http://127.0.0.1:1',
    publicUrl: 'http://127.0.0.1:1/kms/PUB',
    opsUrl: 'http://127.0.0.1:1',
    params: 'test',
    engineSocket: socketPath,
    configFile,
    startedAt: new Date(0).toISOString(),
    version: '0.0.0',
    developerMode: true,
    authorizationPolicy: 'operator-trusted',
    address: '0x6370eF2f4Db3611D657b90667De398a2Cc2a370C',
    network: 'dev:test',
    release: 'test',
  });
  return dir;
}
