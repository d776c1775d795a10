/**
 * A running node as the other commands see it: from its configuration and from what its engine says of itself.
 */
import { decodeSignedReleaseSet, expiryBanner, releaseWarnings } from '../../../attestation/governance/index.ts';
import { systemClock } from '../../../common/clock.ts';
import type { NodeConfig } from '../../../common/node-config.ts';
import { vaultPrefix } from '../../../common/node-config-vaults.ts';
import { packageVersion } from '../../../common/package-version.ts';
import { readIfThere } from './developer-trust.ts';
import { EngineFacts, type NodeFile } from './node-file.ts';

/**
 * Returns what `node.json` says of a node.
 *
 * @param file - Its configuration, which `config` was read from.
 * @param engineFacts - The ready line of its engine.
 */
export function describeNode(
  { config, file, params }: { readonly config: NodeConfig; readonly file: string; readonly params: NodeFile['params'] },
  engineFacts: unknown,
): NodeFile {
  const { service, public_http: publicHttp, telemetry } = config;
  const prefix = vaultPrefix(config.public_vault);
  return {
    pid: process.pid,
    clientUrl: `${service.tls ? 'https' : 'http'}://${hostPort(service.listen_address, service.listen_port)}`,
    publicUrl: `http://${hostPort(publicHttp.listen_address, publicHttp.listen_port)}/${publicHttp.bucket}/${prefix}`,
    opsUrl: `http://${telemetry.metrics_bind_address}`,
    params,
    engineSocket: config.engine.socket_path,
    ...(service.admin_socket_path === undefined ? {} : { adminSocket: service.admin_socket_path }),
    configFile: file,
    startedAt: new Date(systemClock.nowMs()).toISOString(),
    version: packageVersion(),
    ...EngineFacts.parse(engineFacts),
  };
}

/** A wildcard address is no address to call: the node's own machine answers on loopback. */
function hostPort(address: string, port: number): string {
  const host = address === '0.0.0.0' ? '127.0.0.1' : address === '::' ? '::1' : address;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Returns what is to be said of the end of the release that runs, by the set in the node's files. */
export async function warningsOf({ attestation }: NodeConfig, { release }: NodeFile): Promise<readonly string[]> {
  const bytes = await readIfThere(attestation.releases_path);
  if (!bytes) return [];
  const { body } = decodeSignedReleaseSet(bytes);
  const nowMs = systemClock.nowMs();
  return expiryBanner((['engine', 'core'] as const).flatMap((role) => releaseWarnings(body, nowMs, { release, role })));
}
