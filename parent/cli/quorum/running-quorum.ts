/**
 * What a developer quorum is asked to be and what it is once it runs: n parties, each an engine and a Core, under one
 * supervisor and in one state folder. Nothing here is secret.
 */
import type { DeveloperRoot } from '../../../attestation/developer/developer-root.ts';
import type { LogLevel } from '../../../common/log.ts';
import type { NodeConfig } from '../../../common/node-config.ts';
import type { BackupKeychainName } from '../supervise/aws/aws-file.ts';
import type { EmulatedAws } from '../supervise/aws/emulated-aws.ts';
import type { Startable } from '../supervise/child.ts';
import type { NodeFile } from '../supervise/node-file.ts';

/** Numbers of parties that a quorum may have: 3t + 1. */
export const PARTY_COUNTS = [4, 7, 10, 13] as const;

/** Bases of the ports; 0 = any free ones. Party i: clients +100 (i − 1), mesh +100 (i − 1), operations +100 (i − 1). */
export interface QuorumPorts {
  readonly clientPort: number;
  readonly meshPort: number;
  readonly opsPort: number;
  /** One port for the public material of all parties. */
  readonly publicPort: number;
}

/** What `arca dev --parties` was asked for. */
export interface DeveloperQuorumOptions extends QuorumPorts {
  readonly dir: string;
  /** One of {@link PARTY_COUNTS}. */
  readonly parties: number;
  readonly params: NodeFile['params'];
  readonly reset: boolean;
  /** Takes free ports where the wanted ones are taken. */
  readonly anyPorts: boolean;
  readonly logLevel: LogLevel;
  readonly treatV0ExtraDataAsEmpty: boolean;
  /** Vaults lie in emulated S3, sealed under keys of an emulated AWS KMS, in place of clear files. */
  readonly aws?: boolean | undefined;
  /** What seals backups in emulated AWS; as before if absent. */
  readonly backup?: BackupKeychainName | undefined;
  /** Parties that send wrong shares: shows that the others do not mind. */
  readonly lyingParties?: readonly number[] | undefined;
  /** How long certificates of the attesters live; three hours unless a test wants to see renewals. */
  readonly leafLifeMs?: number | undefined;
  /**
   * Where the other parties are told to find the mesh of `party`, which listens on `port` of 127.0.0.1: `host:port`. A test
   * puts a bad network in between.
   */
  readonly meshEndpoint?: ((party: number, port: number) => string | Promise<string>) | undefined;
  /** Parties whose engine runs in an enclave, by their numbers. */
  readonly enclaves?: ReadonlyMap<number, EnclaveEngine> | undefined;
}

/** The engine of a party that runs in an enclave; its Core runs here as all others do. */
export interface EnclaveEngine {
  /** Registers of its image: what the release set and its root keys admit. */
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
  /** Makes the enclave of a node, which is ready when the engine inside is. */
  readonly start: (node: EnclaveNode) => Startable['start'];
}

/** What an enclave is made for. */
export interface EnclaveNode {
  readonly config: NodeConfig;
  /** Under which documents of a test image are signed. */
  readonly root: DeveloperRoot;
  /** The instance that enclave and Core are both on. */
  readonly instanceId: string;
}

/** One party of a quorum that runs. */
export interface RunningParty {
  readonly party: number;
  /** Its own state folder, below that of the quorum: every command takes it with `--dir`. */
  readonly dir: string;
  readonly node: NodeFile;
  /** Where its mesh listens. */
  readonly meshPort: number;
  /** Process ids by name (`engine`, `core`), of those running now. */
  pids(): Readonly<Record<string, number>>;
}

/** A quorum whose parties are all ready. */
export interface RunningQuorum {
  /** Absolute path of the state folder. */
  readonly dir: string;
  /** t of 3t + 1: how many parties may fail. */
  readonly threshold: number;
  /** Ascending by number. */
  readonly parties: readonly RunningParty[];
  readonly readyMs: number;
  /** What is to be said of the end of its release; empty until two weeks before. */
  readonly releaseWarnings: readonly string[];
  /** Where its vaults are, if that is emulated AWS. */
  readonly aws?: Pick<EmulatedAws, 's3Url' | 'kmsUrl' | 'pids' | 'stop'> | undefined;
  /** Takes both processes of a party down, at once if `hard`; they stay down until {@link startParty}. */
  stopParty(party: number, hard?: boolean): Promise<void>;
  /** Starts a party that was taken down and returns when its Core serves again. */
  startParty(party: number): Promise<void>;
  /** Stops all; may be called twice. */
  stop(): Promise<void>;
  kill(): void;
}
