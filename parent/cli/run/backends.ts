/** The back ends that a configuration can name. Each is loaded by those who use it. */
import type { NodeConfig } from '../../../common/node-config.ts';
import type { EnclaveBackend } from '../../../images/boot/backend.ts';
import { enclaveOf } from './enclave-checks.ts';

/**
 * Returns the back end of a configuration.
 *
 * @param instanceId - What an emulated machine calls the instance around the enclave; a real one has its own.
 */
export async function backendOf(config: NodeConfig, instanceId?: string): Promise<EnclaveBackend> {
  if (enclaveOf(config).backend === 'qemu') {
    const { qemuBackend } = await import('../../../images/boot/qemu.ts');
    return qemuBackend({ parentId: instanceId });
  }
  const { nitroCliBackend } = await import('../../../images/boot/nitro-cli.ts');
  return nitroCliBackend();
}
