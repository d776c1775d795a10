/**
 * Checks a configuration file exactly as a node does when it starts.
 */
import { loadConfig } from '../../../common/config.ts';
import { isKmsError } from '../../../common/errors.ts';
import { NodeConfig, redactNodeConfig } from '../../../common/node-config.ts';
import { failure } from '../framework/failure.ts';

/**
 * Returns the effective configuration, fit to be shown.
 *
 * @throws {@link KmsError} `CONFIG_INVALID` listing every fault.
 */
export function checkConfig(file: string, env: NodeJS.ProcessEnv): unknown {
  try {
    return redactNodeConfig(loadConfig(NodeConfig, { file, env }));
  } catch (error) {
    if (!isKmsError(error, 'CONFIG_INVALID')) throw error;
    throw failure('CONFIG_INVALID', error.message, "correct the file; 'arca config explain KEY' explains a key");
  }
}
