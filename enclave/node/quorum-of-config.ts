/**
 * What makes a node one party of a quorum, out of its configuration: the mesh over TCP, the governed record in its file, the
 * public objects that evaluation keys are loaded from.
 */
import { join } from 'node:path';
import { parseTcpAddress, tcpDial, tcpTransport } from '../../attestation/mesh/transport-tcp.ts';
import { readGovernedFiles } from '../../attestation/node/node-files.ts';
import type { Logger } from '../../common/log.ts';
import type { NodeConfig } from '../../common/node-config.ts';
import { openVaultStorage } from '../../storage/open-storage.ts';
import type { ThresholdOptions } from '../engine-options.ts';
import { fetchedPublicFiles, type PublicFiles, publicFilesAt } from '../keys/public-files.ts';
import { openPeerNetwork } from '../peers/peer-network.ts';

/** Returns the options of a configuration's quorum, or undefined for a centralized node. */
export function configuredQuorum(
  config: NodeConfig,
  log: Logger,
  { makeDefaultEpoch }: Pick<ThresholdOptions, 'makeDefaultEpoch'>,
): ThresholdOptions | undefined {
  const { threshold } = config;
  if (!threshold) return undefined;
  const transport = tcpTransport({ host: threshold.listen_address, port: threshold.listen_port });
  const dial = (endpoint: string) => tcpDial(parseTcpAddress(endpoint));
  return {
    readRecord: async () => (await readGovernedFiles(config)).record,
    network: (options) => openPeerNetwork({ ...options, transport, dial }),
    makeDefaultEpoch,
    roundTimeoutMs: threshold.round_timeout_secs * 1_000,
    publicFiles: publicFiles(config, log),
  };
}

/** What anyone may read needs no keys: the engine has none for the public vault, and cannot write there. */
function publicFiles({ public_vault: { storage }, aws }: NodeConfig, log: Logger): PublicFiles {
  const { file } = storage;
  if (file) return publicFilesAt((type, id) => join(file.path, file.prefix, type, id));
  return fetchedPublicFiles(() => openVaultStorage(storage, { aws, folderMode: 0o755, log, credentials: 'anonymous' }));
}
