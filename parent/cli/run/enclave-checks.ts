/**
 * What is looked at before an enclave is started: that the configuration is one that an enclave can live with, that the image
 * boots and has enough memory, and that the machine has what it needs. All faults are told at once.
 */
import { readFile, stat } from 'node:fs/promises';
import { type Clock, systemClock } from '../../../common/clock.ts';
import { enclaveMemoryNeedMb } from '../../../common/enclave-memory.ts';
import { systemErrorCode } from '../../../common/errors.ts';
import type { NodeConfig } from '../../../common/node-config.ts';
import type { EnclaveConfig } from '../../../common/node-config-enclave.ts';
import type { EnclaveBackend, Finding } from '../../../images/boot/backend.ts';
import { bootFaults } from '../../../images/boot/boot-faults.ts';
import { failure } from '../framework/failure.ts';

/** What was found, and how much memory the enclave gets. */
export interface EnclaveCheck {
  readonly findings: readonly Finding[];
  readonly memoryMb: number;
}

/** Larger than any image that boots in the memory of an enclave that we size. */
const MAX_IMAGE_BYTES = 1024 * 1024 * 1024;

/**
 * Returns the section that `arca run` needs.
 *
 * @throws {@link KmsError} `CONFIG_INVALID` if it is not there.
 */
export function enclaveOf({ enclave }: NodeConfig): EnclaveConfig {
  if (enclave) return enclave;
  throw failure('CONFIG_INVALID', 'the configuration has no section [enclave]', 'add it, with image_path');
}

/** Looks at everything; see the file comment. */
export async function checkEnclave(
  config: NodeConfig,
  backend: EnclaveBackend,
  clock: Clock = systemClock,
): Promise<EnclaveCheck> {
  const { image_path: image, memory_mb: wanted, cpus, cid } = enclaveOf(config);
  const imageBytes = await sizeOf(image);
  const needMb = enclaveMemoryNeedMb({ imageBytes: imageBytes ?? 0, threshold: config.threshold !== undefined });
  const memoryMb = wanted ?? needMb;
  const own = [
    configurationFinding(config),
    await imageFinding(image, imageBytes, clock),
    memoryNeedFinding(memoryMb, needMb),
  ];
  const machine = imageBytes === undefined ? [] : await backend.check({ image, memoryMb, cpus, cid });
  // A back end may look at the image too: one word on it is enough.
  const names = new Set(own.map(({ name }) => name));
  return { findings: [...own, ...machine.filter(({ name }) => !names.has(name))], memoryMb };
}

/**
 * Throws unless everything is as it should be.
 *
 * @throws {@link KmsError} `PRECONDITION_FAILED` with all faults and what to do about each.
 */
export function requireReady(findings: readonly Finding[]): void {
  const faults = findings.filter(({ ok }) => !ok);
  if (faults.length === 0) return;
  const what = faults.map(({ name, found }) => `${name}: ${found}`).join('; ');
  const cures = faults.flatMap(({ name, cure }) => (cure === undefined ? [] : [`${name}: ${cure}`])).join('; ');
  throw failure('PRECONDITION_FAILED', `the enclave cannot be started: ${what}`, cures);
}

/** An enclave has no disk and no clear vault: what it keeps, it keeps in S3, sealed. */
function configurationFinding(config: NodeConfig): Finding {
  const { public_vault: publicVault, private_vault: privateVault, backup_vault: backupVault, aws } = config;
  const faults = [
    ...(privateVault.storage.s3 ? [] : ['private_vault.storage needs s3']),
    ...(privateVault.keychain?.aws_kms ? [] : ['private_vault.keychain needs aws_kms']),
    ...(publicVault.storage.s3 ? [] : ['public_vault.storage needs s3']),
    ...(backupVault && !backupVault.storage.s3 ? ['backup_vault.storage needs s3'] : []),
    ...(aws?.web_identity_token_path === undefined
      ? []
      : ['aws needs instance_role: no token file reaches an enclave']),
  ];
  const name = 'configuration';
  if (faults.length === 0) return { name, ok: true, found: 'an enclave can live with it' };
  return { name, ok: false, found: faults.join('; '), cure: 'correct the configuration: an enclave has no disk' };
}

async function imageFinding(image: string, imageBytes: number | undefined, clock: Clock): Promise<Finding> {
  const name = 'image';
  if (imageBytes === undefined) {
    return {
      name,
      ok: false,
      found: `${image} cannot be read`,
      cure: 'build it with `arca image build`, or copy it here',
    };
  }
  const tooLarge = `it has ${imageBytes} bytes, at most ${MAX_IMAGE_BYTES} are taken`;
  const faults =
    imageBytes > MAX_IMAGE_BYTES ? [tooLarge] : bootFaults(await readFile(image), process.arch, clock.nowMs());
  if (faults.length === 0) return { name, ok: true, found: `${image}, ${imageBytes} bytes` };
  const cure = 'take the image as it was published, or build and sign it anew';
  return { name, ok: false, found: `${image}: ${faults.join('; ')}`, cure };
}

function memoryNeedFinding(memoryMb: number, needMb: number): Finding {
  const name = 'memory of the enclave';
  if (memoryMb >= needMb) return { name, ok: true, found: `${memoryMb} MB, needs ${needMb} MB` };
  const cure = `set [enclave] memory_mb to ${needMb} or more, or leave it out`;
  return { name, ok: false, found: `${memoryMb} MB, needs ${needMb} MB`, cure };
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    const found = await stat(path);
    return found.isFile() ? found.size : undefined;
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    return undefined;
  }
}
