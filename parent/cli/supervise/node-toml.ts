/**
 * The configuration that `arca dev` gives its two processes, written to `node.toml` of the state folder.
 */
import { rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { stringify } from 'smol-toml';
import { DEVELOPER_ROOT_FILES } from '../../../attestation/developer/developer-root.ts';
import type { LogLevel } from '../../../common/log.ts';
import { BUCKETS, EMULATED } from './aws/aws-file.ts';
import type { PartyAws } from './aws/emulated-aws.ts';
import { ADMIN_SOCKET_NAME } from './socket-path.ts';
import { STATE_FILES } from './state-folder.ts';

/** What of a developer node's configuration varies. */
export interface DeveloperSettings {
  /** Absolute path of the state folder. */
  readonly dir: string;
  readonly socketPath: string;
  readonly clientPort: number;
  readonly publicPort: number;
  readonly opsPort: number;
  readonly logLevel: LogLevel;
  readonly treatV0ExtraDataAsEmpty: boolean;
  /** Absent for a node that is all there is of its network. */
  readonly party?: PartySettings | undefined;
  /** Its vaults lie in emulated AWS; absent: in files, in clear. */
  readonly aws?: PartyAws | undefined;
}

/** What makes a node one party of a quorum. */
export interface PartySettings {
  /** 1-based number. */
  readonly number: number;
  readonly meshPort: number;
  /** Sends wrong shares. */
  readonly lies: boolean;
  /** Folder of root and governance key, which all parties have in common. */
  readonly trustFolder: string;
}

const HEADER = `# Written by 'arca dev' at each start: edits are lost.
# To run a node of your own making, copy this file and start it with 'arca node --config FILE'.
# Every key: 'arca config explain'.

`;

/** Returns the TOML text of a developer node's configuration. */
export function developerConfig(settings: DeveloperSettings): string {
  const { dir, party } = settings;
  const ownFolder = join(dir, STATE_FILES.governance);
  const trustFolder = party?.trustFolder ?? ownFolder;
  const suffix = party === undefined ? '' : `-p${party.number}`;
  const config = {
    developer_mode: true,
    service: {
      listen_address: '127.0.0.1',
      listen_port: settings.clientPort,
      admin_socket_path: join(dirname(settings.socketPath), ADMIN_SOCKET_NAME),
    },
    engine: {
      socket_path: settings.socketPath,
      treat_v0_extra_data_as_empty: settings.treatV0ExtraDataAsEmpty,
    },
    attestation: {
      charter_path: join(ownFolder, 'charter.cbor'),
      record_path: join(ownFolder, 'record.cbor'),
      releases_path: join(ownFolder, 'releases.cbor'),
      developer_root_path: join(trustFolder, DEVELOPER_ROOT_FILES.certificate),
      developer_governance_key_path: join(trustFolder, 'governance-key.pem'),
    },
    ...(settings.aws ? awsVaults(settings.aws, suffix) : fileVaults(dir, suffix)),
    public_http: { listen_address: '127.0.0.1', listen_port: settings.publicPort, bucket: 'kms' },
    state: { path: join(dir, STATE_FILES.core) },
    telemetry: { metrics_bind_address: `127.0.0.1:${settings.opsPort}`, log_level: settings.logLevel },
    ...(party === undefined
      ? {}
      : { threshold: { listen_address: '127.0.0.1', listen_port: party.meshPort, developer_lie: party.lies } }),
  };
  return `${HEADER}${stringify(config)}\n`;
}

function fileVaults(dir: string, suffix: string): object {
  const { publicVault, privateVault } = STATE_FILES;
  return {
    public_vault: { storage: { file: { path: join(dir, publicVault), prefix: `PUB${suffix}` } } },
    private_vault: { storage: { file: { path: join(dir, privateVault), prefix: `PRIV${suffix}` } } },
  };
}

/** As production has them, but for where the services are found and who calls them. */
function awsVaults({ access, role, s3Url, kmsUrl, backup }: PartyAws, suffix: string): object {
  const keychain = { aws_kms: {} };
  const backups = backup === 'custodians' ? { custodians: {} } : keychain;
  return {
    aws: {
      region: EMULATED.region,
      role_arn: role,
      developer_access_key_id: access.accessKeyId,
      developer_secret_access_key: access.secretAccessKey,
      developer_s3_endpoint: s3Url,
      developer_kms_endpoint: kmsUrl,
    },
    public_vault: { storage: { s3: { bucket: BUCKETS.public, prefix: `PUB${suffix}` } } },
    private_vault: { storage: { s3: { bucket: BUCKETS.private, prefix: `PRIV${suffix}` } }, keychain },
    backup_vault: { storage: { s3: { bucket: BUCKETS.backup, prefix: `BACKUP${suffix}` } }, keychain: backups },
  };
}

/** Writes `node.toml` in one step and returns its path. */
export async function writeDeveloperConfig(settings: DeveloperSettings): Promise<string> {
  const path = join(settings.dir, STATE_FILES.config);
  await writeFile(`${path}.new`, developerConfig(settings), { mode: 0o600 });
  await rename(`${path}.new`, path);
  return path;
}
