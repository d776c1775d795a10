/**
 * A real node for a test: engine and core as processes of their own, in a temporary folder, on free ports, with test
 * parameters. The test process is their supervisor, as `arca dev` is.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LogLevel } from '../../common/log.ts';
import { loadEvaluationKeys } from '../../native/engine/public.ts';
import { DEFAULT_DOMAIN, requestDomain } from '../../parent/cli/client/domain.ts';
import { generateKey, type KeyFacts } from '../../parent/cli/client/keys.ts';
import { withNode } from '../../parent/cli/client/session.ts';
import type { NodeFile } from '../../parent/cli/supervise/node-file.ts';
import { type Params, startDeveloperNode } from '../../parent/cli/supervise/run-node.ts';
import { type KmsClient, openKmsClient } from '../../parent/grpc/client.ts';
import { QUIET } from './quiet-output.ts';
import { type Teardown, tempDir } from './temp-dir.ts';

/** A node that runs until the test ends, or until it is stopped. */
export interface Party {
  /** State folder. */
  readonly dir: string;
  readonly node: NodeFile;
  readonly client: KmsClient;
  /** Process ids by name: `engine`, `core`. */
  pids(): Readonly<Record<string, number>>;
  /** All that engine and core have logged. */
  readLog(): string;
  /** Path of an object of the public vault. */
  publicFile(type: string, id: string): string;
  /** Generates a key through the client service, with test parameters unless others are asked for. */
  generateKey(params?: Params): Promise<KeyFacts>;
  stop(): Promise<void>;
}

/** The EIP-712 domain of all test requests. */
export const TEST_DOMAIN = requestDomain(DEFAULT_DOMAIN);

/** Settings of {@link startParty}. */
export interface PartyOptions {
  /** An existing state folder; a new one if absent. */
  readonly dir?: string;
  readonly logLevel?: LogLevel;
  /** How long certificates of the attesters live; three hours if absent. */
  readonly leafLifeMs?: number;
  /** Vaults in emulated AWS. */
  readonly aws?: boolean;
  /** What seals backups there; AWS KMS if absent. */
  readonly backup?: 'aws-kms' | 'custodians' | undefined;
}

/** Starts a node and stops it when the test ends. */
export async function startParty(
  t: Teardown,
  { dir = tempDir(t), logLevel = 'debug', leafLifeMs, aws = false, backup }: PartyOptions = {},
): Promise<Party> {
  const running = await startDeveloperNode(
    {
      dir,
      params: 'test',
      reset: false,
      clientPort: 0,
      publicPort: 0,
      opsPort: 0,
      anyPorts: true,
      logLevel,
      treatV0ExtraDataAsEmpty: false,
      leafLifeMs,
      aws,
      backup,
    },
    QUIET,
  );
  const client = openKmsClient(running.node.clientUrl);
  let stopping: Promise<void> | undefined;
  const stop = () => {
    client.close();
    stopping ??= running.stop();
    return stopping;
  };
  t.teardown(stop);
  return {
    dir,
    node: running.node,
    client,
    pids: running.pids,
    readLog: () => readFileSync(join(dir, 'node.log'), 'utf8'),
    publicFile: (type, id) => join(dir, 'public/PUB', type, id),
    generateKey: (params = 'test') =>
      withNode({ dir }, (session) =>
        generateKey(session, params, { domain: TEST_DOMAIN, extraData: new Uint8Array() }),
      ),
    stop,
  };
}

/** Encrypts values as clients do, under a key of the party. `format` 2 is BigCompressed. */
export async function encryptFor(
  party: Party,
  keyId: string,
  values: readonly { readonly value: bigint; readonly fheType: number; readonly format?: number }[],
): Promise<Uint8Array[]> {
  using keys = await loadEvaluationKeys({ compressedXofKeySetPath: party.publicFile('CompressedXofKeySet', keyId) });
  const ciphertexts: Uint8Array[] = [];
  for (const { value, fheType, format = 2 } of values) ciphertexts.push(await keys.encrypt(value, fheType, format));
  return ciphertexts;
}
