/**
 * Reads a configuration file exactly as a node does when it starts.
 */
import { loadConfig } from '../../../common/config.ts';
import { isKmsError } from '../../../common/errors.ts';
import { NodeConfig, redactNodeConfig } from '../../../common/node-config.ts';
import { failure } from '../framework/failure.ts';

/**
 * Returns the configuration of a node.
 *
 * @throws {@link KmsError} `CONFIG_INVALID` listing every fault, and where to read on.
 */
export function loadNodeConfig(file: string, env: NodeJS.ProcessEnv): NodeConfig {
  try {
    return loadConfig(NodeConfig, { file, env });
  } catch (error) {
    if (!isKmsError(error, 'CONFIG_INVALID')) throw error;
    throw failure('CONFIG_INVALID', error.message, "correct it; 'arca config explain KEY' explains a key");
  }
}

/** Returns the effective configuration, fit to be shown. Throws as {@link loadNodeConfig}. */
export function checkConfig(file: string, env: NodeJS.ProcessEnv): unknown {
  return redactNodeConfig(loadNodeConfig(file, env));
}
