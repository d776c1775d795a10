/**
 * An import as an engine of its node: under the node's configuration and charter, with the charter bound and all registers
 * locked before AWS KMS is asked for anything.
 */
import type { Nsm } from '../../attestation/attester/attester.ts';
import type { TrustAnchor, VerifiedDocument } from '../../attestation/document/index.ts';
import { charterDigest } from '../../attestation/governance/index.ts';
import { type NodeFiles, readNodeFiles } from '../../attestation/node/node-files.ts';
import { systemClock } from '../../common/clock.ts';
import { loadConfig } from '../../common/config.ts';
import { KmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import { NodeConfig } from '../../common/node-config.ts';
import type { Storage } from '../../storage/storage.ts';
import type { OpenBackup } from '../backup/open-backup.ts';
import { bindCharter } from '../mesh/bind-charter.ts';
import type { ObjectKeeper } from '../vault/object-keeper.ts';
import type { VaultJob } from './import-job.ts';

/** What the main module decides. */
export interface ImportProgram {
  /** Keeps private objects in clear. */
  readonly clearKeeper: (storage: Storage) => ObjectKeeper;
  readonly readAnchor: (config: NodeConfig) => Promise<TrustAnchor>;
  /** Opens this process's security module. */
  readonly openNsm: () => Nsm;
  /** Returns how the backup vault of a sealed one is opened; undefined if there is none. */
  readonly backupOf: (config: NodeConfig, log: Logger) => Promise<OpenBackup | undefined>;
}

/** Whose import it is. */
export interface AttestedImportOptions extends Pick<VaultJob, 'emulators'> {
  /** Configuration file of the node. */
  readonly file: string;
  readonly program: ImportProgram;
  readonly log: Logger;
}

/** What AWS KMS is asked with. */
export interface ImportingEngine {
  readonly nsm: Nsm;
  readonly document: VerifiedDocument;
  readonly charterDigest: Uint8Array;
  readonly party: number;
}

/** See the file comment. Whoever opens no sealed vault needs no security module. */
export class AttestedImport {
  readonly config: NodeConfig;
  readonly #options: AttestedImportOptions;
  #engine: Promise<ImportingEngine> | undefined;

  /** @throws KmsError `CONFIG_INVALID` for a configuration of production. */
  constructor(options: AttestedImportOptions) {
    this.#options = options;
    this.config = readDeveloperConfig(options.file, options.emulators);
  }

  /** Path of the configuration. */
  get file(): string {
    return this.#options.file;
  }

  /** Reads charter, record and release set. @throws KmsError as `readNodeFiles`. */
  async files(): Promise<NodeFiles> {
    return await readNodeFiles(this.config, await this.#options.program.readAnchor(this.config));
  }

  /** Binds the charter, once. @throws KmsError as `bindCharter`. */
  async engine(): Promise<ImportingEngine> {
    this.#engine ??= this.#bind();
    return await this.#engine;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const engine = await this.#engine?.catch(() => undefined);
    await engine?.nsm.close();
  }

  async #bind(): Promise<ImportingEngine> {
    const { charter } = await this.files();
    const { program } = this.#options;
    const anchor = await program.readAnchor(this.config);
    const nsm = program.openNsm();
    const document = await bindCharter(nsm, charter, { anchor, clock: systemClock });
    return { nsm, document, charterDigest: charterDigest(charter), party: charter.party };
  }
}

/**
 * Reads the configuration of a developer node.
 *
 * @param emulators - Where they are now, if that is not where the node had them last.
 * @throws KmsError `CONFIG_INVALID`.
 */
export function readDeveloperConfig(file: string, emulators?: VaultJob['emulators']): NodeConfig {
  const config = loadConfig(NodeConfig, { file, env: {} });
  if (!config.developer_mode) {
    throw new KmsError(
      'CONFIG_INVALID',
      `${file}: needs developer_mode = true: no other vault takes what was made elsewhere`,
    );
  }
  if (config.aws === undefined || emulators === undefined) return config;
  const { s3Url: developer_s3_endpoint, kmsUrl: developer_kms_endpoint } = emulators;
  return { ...config, aws: { ...config.aws, developer_s3_endpoint, developer_kms_endpoint } };
}
