/**
 * A real quorum for a test: engines and Cores as processes of their own, in a temporary folder, on free ports, with test
 * parameters. The test process is their supervisor, as `arca dev --parties` is.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { loadEvaluationKeys } from '../../native/engine/public.ts';
import type { DeveloperQuorumOptions, RunningQuorum } from '../../parent/cli/quorum/running-quorum.ts';
import type { NodeFile } from '../../parent/cli/supervise/node-file.ts';
import { type KmsClient, openKmsClient } from '../../parent/grpc/client.ts';
import { GrpcError, STATUS } from '../../parent/grpc/status.ts';
import { FheParameter, type KeyGenResult } from '../../proto/gen/kms_pb.js';
import { parseAddress } from '../../wire/addresses.ts';
import { freshId } from './party-requests.ts';
import { present } from './present.ts';
import { TEST_DOMAIN } from './start-party.ts';
import { startQuietQuorum } from './start-quiet-quorum.ts';
import { type Teardown, tempDir } from './temp-dir.ts';

/** One party as its clients see it. */
export interface QuorumMember {
  readonly party: number;
  readonly node: NodeFile;
  /** 20 bytes. */
  readonly address: Uint8Array;
  readonly client: KmsClient;
  /** Processes that run now, by name. */
  pids(): Readonly<Record<string, number>>;
  /** All that its engine and Core have logged. */
  readLog(): string;
  /** Resolves once that is in the log: lines come through a pipe, so what caused one may be seen before it. */
  logged(pattern: RegExp): Promise<void>;
  /** Path of an object of its public vault. */
  publicFile(type: string, id: string): string;
}

/** A quorum that runs until the test ends, or until it is stopped. */
export interface TestQuorum {
  readonly dir: string;
  readonly t: number;
  readonly members: readonly QuorumMember[];
  readonly running: RunningQuorum;
  member(party: number): QuorumMember;
  /** Has all parties make one key, as clients do; their results by party. */
  generateKey(params?: 'test' | 'default'): Promise<readonly KeyGenResult[]>;
  stop(): Promise<void>;
}

/** Starts a quorum and stops it when the test ends. */
export async function startQuorum(
  t: Teardown,
  options: Partial<DeveloperQuorumOptions> & Pick<DeveloperQuorumOptions, 'parties'>,
): Promise<TestQuorum> {
  const { dir = tempDir(t) } = options;
  const running = await startQuietQuorum({ ...options, dir });
  const members = running.parties.map(({ party, dir: folder, node, pids }): QuorumMember => {
    const readLog = () => readFileSync(join(folder, 'node.log'), 'utf8');
    return {
      party,
      node,
      address: parseAddress(node.address, 'address'),
      client: openKmsClient(node.clientUrl),
      pids,
      readLog,
      logged: async (pattern) => {
        while (!pattern.test(readLog())) await delay(20);
      },
      publicFile: (type, id) => publicPath(node, type, id),
    };
  });
  let stopping: Promise<void> | undefined;
  const stop = () => {
    for (const { client } of members) client.close();
    stopping ??= running.stop();
    return stopping;
  };
  t.teardown(stop);
  return {
    dir: running.dir,
    t: running.threshold,
    members,
    running,
    member: (party) => present(members[party - 1]),
    generateKey: (params = 'test') => generateTogether(members, params),
    stop,
  };
}

/** The configuration says where a party's public objects lie. */
function publicPath({ configFile }: NodeFile, type: string, id: string): string {
  const text = readFileSync(present(configFile), 'utf8');
  const section = text.slice(text.indexOf('[public_vault.storage.file]'));
  const value = (name: string) => present(new RegExp(`^${name} = "(.*)"$`, 'm').exec(section)?.[1]);
  return join(value('path'), value('prefix'), type, id);
}

async function generateTogether(
  members: readonly QuorumMember[],
  params: 'test' | 'default',
): Promise<readonly KeyGenResult[]> {
  const preprocId = { requestId: freshId() };
  const requestId = { requestId: freshId() };
  const common = { params: FheParameter[params], domain: TEST_DOMAIN.message, extraData: new Uint8Array() };
  return await Promise.all(
    members.map(async ({ client }) => {
      await client.call('InsecureKeyGenPreproc', { requestId: preprocId, ...common });
      await pollFor(() => client.call('GetInsecureKeyGenPreprocResult', preprocId));
      await client.call('InsecureKeyGen', { requestId, preprocId, ...common });
      return await pollFor(() => client.call('GetInsecureKeyGenResult', requestId), 600_000);
    }),
  );
}

/** Asks until there is a result; clients poll like this. */
export async function pollFor<T>(ask: () => Promise<T>, limitMs = 300_000): Promise<T> {
  const until = performance.now() + limitMs;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      const waits = error instanceof GrpcError && error.status === STATUS.UNAVAILABLE;
      if (!waits || performance.now() > until) throw error;
      await delay(20);
    }
  }
}

/** Encrypts values as clients do, under a key of the quorum. `format` 2 is BigCompressed. */
export async function encryptForQuorum(
  { members }: TestQuorum,
  keyId: string,
  values: readonly { readonly value: bigint; readonly fheType: number; readonly format?: number }[],
): Promise<Uint8Array[]> {
  const path = present(members[0]).publicFile('CompressedXofKeySet', keyId);
  using keys = await loadEvaluationKeys({ compressedXofKeySetPath: path });
  const ciphertexts: Uint8Array[] = [];
  for (const { value, fheType, format = 2 } of values) ciphertexts.push(await keys.encrypt(value, fheType, format));
  return ciphertexts;
}
