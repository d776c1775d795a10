/**
 * What makes a node one party of a quorum, out of its configuration: the mesh over TCP or a parent's relay, the governed record in its file, the
 * public objects that evaluation keys are loaded from.
 */
import { join } from 'node:path';
import type { Dial, Transport } from '../../attestation/mesh/transport.ts';
import { parseTcpAddress, tcpDial, tcpTransport } from '../../attestation/mesh/transport-tcp.ts';
import { readGovernedFiles } from '../../attestation/node/node-files.ts';
import type { ConnectingOptions } from '../../common/connecting-agents.ts';
import type { Logger } from '../../common/log.ts';
import type { NodeConfig } from '../../common/node-config.ts';
import { openVaultStorage } from '../../storage/open-storage.ts';
import type { ThresholdOptions } from '../engine-options.ts';
import type { EnrolmentFile } from '../governance/enrol.ts';
import { fetchedPublicFiles, type PublicFiles, publicFilesAt } from '../keys/public-files.ts';
import { openPeerNetwork } from '../peers/peer-network.ts';

/** What the program decides. */
export interface ConfiguredQuorum extends Pick<ThresholdOptions, 'makeDefaultEpoch'>, ConnectingOptions {
  /** How engines reach each other; TCP on the configured address if absent. */
  readonly mesh?: { readonly transport: Transport; readonly dial: (endpoint: string) => Dial } | undefined;
  /** Run before the files of record and release set are read again. */
  readonly refresh?: (() => Promise<void>) | undefined;
}

/** Returns the options of a configuration's quorum, or undefined for a centralized node. */
export function configuredQuorum(
  config: NodeConfig,
  log: Logger,
  { makeDefaultEpoch, mesh = overTcp(config), refresh, connect, ca }: ConfiguredQuorum,
): ThresholdOptions | undefined {
  const { threshold } = config;
  if (!threshold || !mesh) return undefined;
  return {
    ...enrolmentFile(config, refresh),
    network: (options) => openPeerNetwork({ ...options, ...mesh }),
    makeDefaultEpoch,
    roundTimeoutMs: threshold.round_timeout_secs * 1_000,
    publicFiles: publicFiles(config, { log, connect, ca }),
  };
}

/** Returns where a record that names a node will come from: its file. */
export function enrolmentFile(config: NodeConfig, refresh: (() => Promise<void>) | undefined): EnrolmentFile {
  return {
    readRecord: async () => {
      await refresh?.();
      return (await readGovernedFiles(config)).record;
    },
  };
}

function overTcp({ threshold }: NodeConfig): ConfiguredQuorum['mesh'] {
  if (!threshold) return undefined;
  return {
    transport: tcpTransport({ host: threshold.listen_address, port: threshold.listen_port }),
    dial: (endpoint) => tcpDial(parseTcpAddress(endpoint)),
  };
}

/** What anyone may read needs no keys: the engine has none for the public vault, and cannot write there. */
function publicFiles(
  { public_vault: { storage }, aws }: NodeConfig,
  reach: ConnectingOptions & { readonly log: Logger },
): PublicFiles {
  const { file } = storage;
  if (file) return publicFilesAt((type, id) => join(file.path, file.prefix, type, id));
  const options = { aws, folderMode: 0o755, credentials: 'anonymous', ...reach } as const;
  return fetchedPublicFiles(() => openVaultStorage(storage, options));
}
