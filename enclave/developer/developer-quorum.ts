/**
 * What makes a developer node one party of a quorum: the mesh over TCP, the governed record in its file, the default
 * epoch by itself, and, if it is asked for, lies.
 */
import { join } from 'node:path';
import { parseTcpAddress, tcpDial, tcpTransport } from '../../attestation/mesh/transport-tcp.ts';
import { readGovernedFiles } from '../../attestation/node/node-files.ts';
import type { Logger } from '../../common/log.ts';
import type { NodeConfig } from '../../common/node-config.ts';
import { systemRandom } from '../../common/random.ts';
import { openVaultStorage } from '../../storage/open-storage.ts';
import type { ThresholdOptions } from '../engine-options.ts';
import { fetchedPublicFiles, type PublicFiles, publicFilesAt } from '../keys/public-files.ts';
import { openPeerNetwork } from '../peers/peer-network.ts';
import { lyingMasks } from './lying-shares.ts';

/** Returns the options of a configuration's quorum, or undefined for a centralized node. */
export function developerQuorum(config: NodeConfig, log: Logger): ThresholdOptions | undefined {
  const { threshold } = config;
  if (!threshold) return undefined;
  const transport = tcpTransport({ host: threshold.listen_address, port: threshold.listen_port });
  const dial = (endpoint: string) => tcpDial(parseTcpAddress(endpoint));
  if (threshold.developer_lie) {
    log.warn({ event: 'engine.lies' }, 'threshold.developer_lie is set: every share of this party is wrong');
  }
  return {
    readRecord: async () => (await readGovernedFiles(config)).record,
    network: (options) => openPeerNetwork({ ...options, transport, dial }),
    makeDefaultEpoch: true,
    roundTimeoutMs: threshold.round_timeout_secs * 1_000,
    publicFiles: publicFiles(config, log),
    ...(threshold.developer_lie && { masksOf: lyingMasks(systemRandom) }),
  };
}

/** What anyone may read needs no keys: the engine has none for the public vault, and cannot write there. */
function publicFiles({ public_vault: { storage }, aws }: NodeConfig, log: Logger): PublicFiles {
  const { file } = storage;
  if (file) return publicFilesAt((type, id) => join(file.path, file.prefix, type, id));
  return fetchedPublicFiles(() => openVaultStorage(storage, { aws, folderMode: 0o755, log, credentials: 'anonymous' }));
}
