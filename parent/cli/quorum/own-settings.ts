/**
 * The environment overrides configuration files, for every process alike: what must differ between the parties of a quorum
 * cannot be set there.
 */
import type { NodeConfig } from '../../../common/node-config.ts';
import { loadNodeConfig } from '../config/check-config.ts';
import { failure } from '../framework/failure.ts';

/** Settings of which each party needs a value of its own, by their keys. */
const OWN: Readonly<Record<string, (config: NodeConfig) => unknown>> = {
  'service.listen_port': ({ service }) => service.listen_port,
  'service.admin_socket_path': ({ service }) => service.admin_socket_path,
  'threshold.listen_port': ({ threshold }) => threshold?.listen_port,
  'public_http.listen_port': ({ public_http }) => public_http.listen_port,
  'telemetry.metrics_bind_address': ({ telemetry }) => telemetry.metrics_bind_address,
  'engine.socket_path': ({ engine }) => engine.socket_path,
  'mesh.connector_socket_path': ({ mesh }) => mesh.connector_socket_path,
  'state.path': ({ state }) => state.path,
  private_vault: ({ private_vault }) => JSON.stringify(private_vault),
  public_vault: ({ public_vault }) => JSON.stringify(public_vault),
  attestation: ({ attestation }) => JSON.stringify(attestation),
  developer_mode: ({ developer_mode }) => developer_mode,
};

/**
 * Reads the configuration of a party as its processes do.
 *
 * @throws {@link KmsError} `CONFIG_INVALID` naming what the environment sets for all parties alike.
 */
export function loadPartyConfig(file: string, env: NodeJS.ProcessEnv): NodeConfig {
  const config = loadNodeConfig(file, env);
  const written = loadNodeConfig(file, {});
  const overridden = Object.entries(OWN).filter(([, read]) => read(config) !== read(written));
  if (overridden.length === 0) return config;
  const keys = overridden.map(([key]) => key).join(', ');
  const what = `the environment sets ${keys} for all parties, and each needs its own`;
  throw failure('CONFIG_INVALID', what, 'unset those KMS_CORE__… variables; ports are options of arca dev', { keys });
}
