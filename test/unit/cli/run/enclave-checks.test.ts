/** What stands in the way of an enclave is told at once, each with a cure; and how much memory it gets. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parseConfig } from '../../../../common/config.ts';
import { enclaveMemoryNeedMb } from '../../../../common/enclave-memory.ts';
import { NodeConfig } from '../../../../common/node-config.ts';
import type { EnclaveBackend, EnclaveNeed } from '../../../../images/boot/backend.ts';
import { checkEnclave, enclaveOf, requireReady } from '../../../../parent/cli/run/enclave-checks.ts';
import { smallImage } from '../../../helpers/enclave-scene.ts';
import { tempDir } from '../../../helpers/temp-dir.ts';

const S3 = `
[aws]
region = "eu-west-1"
role_arn = "arn:aws:iam::111122223333:role/engine"
instance_role = true
[public_vault.storage.s3]
bucket = "pub"
[private_vault]
storage.s3.bucket = "priv"
keychain.aws_kms = {}
`;
const FILES = `
[public_vault.storage.file]
path = "/pub"
[private_vault.storage.file]
path = "/priv"
`;

const configOf = (enclave: string, vaults = S3): NodeConfig =>
  parseConfig(NodeConfig, {
    text: `
[engine]
socket_path = "/run/arca/engine.sock"
[attestation]
charter_path = "/c"
record_path = "/r"
releases_path = "/s"
[state]
path = "/core.sqlite"
${vaults}
${enclave}
`,
    env: {},
    name: 'node.toml',
  });

/** A machine that has everything; it remembers what it was asked for. */
function machine() {
  const asked: EnclaveNeed[] = [];
  const backend: EnclaveBackend = {
    name: 'nitro-cli',
    check: async (need) => {
      asked.push(need);
      return [{ name: 'device', ok: true, found: 'there' }];
    },
    start: () => Promise.reject(new Error('nothing is started here')),
  };
  return { asked, backend };
}

t.test('a good image on a good machine passes, with the memory that it needs', async (t) => {
  const image = join(tempDir(t), 'engine.eif');
  writeFileSync(image, smallImage('x'.repeat(3_000_000)));
  const { asked, backend } = machine();
  const { findings, memoryMb } = await checkEnclave(configOf(`[enclave]\nimage_path = "${image}"`), backend);
  t.same(
    findings.filter(({ ok }) => !ok),
    [],
  );
  t.doesNotThrow(() => requireReady(findings));
  t.equal(memoryMb, 1408);
  t.same(asked, [{ image, memoryMb: 1408, cpus: 2, cid: 16 }]);
});

t.test('image, memory and configuration that cannot be right are all named', async (t) => {
  const image = join(tempDir(t), 'engine.eif');
  const bytes = smallImage('engine');
  bytes[bytes.length - 1] = 0;
  writeFileSync(image, bytes);
  const config = configOf(`[enclave]\nimage_path = "${image}"\nmemory_mb = 512`, FILES);
  const { findings } = await checkEnclave(config, machine().backend);
  t.match(
    findings.filter(({ ok }) => !ok),
    [
      { name: 'configuration', found: /private_vault.storage needs s3; private_vault.keychain needs aws_kms; public_/ },
      { name: 'image', found: /checksum/ },
      { name: 'memory of the enclave', found: '512 MB, needs 1408 MB', cure: /memory_mb to 1408/ },
    ],
  );
  t.throws(() => requireReady(findings), {
    code: 'PRECONDITION_FAILED',
    message: /configuration: .*; image: .*; memory of the enclave: /,
    facts: { cure: /configuration: .*; image: .*; memory of the enclave: / },
  });
});

t.test(
  'an image of another machine, and one that is not there, are named before the machine is looked at',
  async (t) => {
    const { asked, backend } = machine();
    const absent = await checkEnclave(configOf('[enclave]\nimage_path = "/nowhere.eif"'), backend);
    t.match(
      absent.findings.find(({ ok }) => !ok),
      { name: 'image', found: /cannot be read/ },
    );
    t.same(asked, []);
    const image = join(tempDir(t), 'engine.eif');
    const other = smallImage('engine');
    other[7] = (other[7] ?? 0) ^ 1;
    writeFileSync(image, other);
    const { findings } = await checkEnclave(configOf(`[enclave]\nimage_path = "${image}"`), backend);
    t.match(
      findings.find(({ name }) => name === 'image'),
      { ok: false },
    );
  },
);

t.test('a token file is no source of credentials for an enclave', async (t) => {
  const image = join(tempDir(t), 'engine.eif');
  writeFileSync(image, smallImage('engine'));
  const vaults = S3.replace('instance_role = true', 'web_identity_token_path = "/token"');
  const { findings } = await checkEnclave(configOf(`[enclave]\nimage_path = "${image}"`, vaults), machine().backend);
  t.match(findings[0], { ok: false, found: /instance_role/ });
});

t.test('without [enclave] there is nothing to run', async (t) => {
  t.throws(() => enclaveOf(configOf('')), { code: 'CONFIG_INVALID', facts: { cure: /image_path/ } });
  for (const [why, lines] of [
    ['an address of the hypervisor', 'cid = 3'],
    ['a relative path', 'image_path = "x"'],
    ['no port', 'egress = ["host"]'],
    ['a pattern', 'egress = ["*.example:443"]'],
    ['authorities of emulators outside of developer mode', 'developer_authorities_path = "/x"'],
  ] as const) {
    const section = lines.startsWith('image_path') ? lines : `image_path = "/x"\n${lines}`;
    t.throws(() => configOf(`[enclave]\n${section}`), { code: 'CONFIG_INVALID' }, why);
  }
});

t.test('the need of memory grows with the image, and is four times its size at least', async (t) => {
  const need = (imageMb: number, threshold: boolean) =>
    enclaveMemoryNeedMb({ imageBytes: imageMb * 1024 * 1024, threshold });
  t.equal(need(120, true), 1920);
  t.equal(need(120, false), 1664);
  t.equal(need(1000, true), 4032, 'four times the image');
});
