/**
 * Whole engines of one developer quorum in the test's own process, as main-dev.ts composes them: real keys, vaults in
 * memory, attested connections between engines over Unix sockets. A link to an engine needs no mesh here.
 *
 * @example
 * const quorum = quorumEngines(t, 4);
 * const engines = await quorum.startAll();
 */
import { createHash, generateKeyPairSync } from 'node:crypto';
import { join } from 'node:path';
import { duplexPair } from 'node:stream';
import { fromBinary } from '@bufbuild/protobuf';
import { makeDeveloperRoot } from '../../attestation/developer/chain.ts';
import {
  encodeSigned,
  type GovernedRecord,
  makeCharter,
  makeRecord,
  makeReleaseSet,
  rawPublicKey,
  signRecord,
  signReleaseSet,
  withApproval,
} from '../../attestation/governance/index.ts';
import { unixDial, unixTransport } from '../../attestation/mesh/transport-unix.ts';
import { systemClock } from '../../common/clock.ts';
import { createLogger } from '../../common/log.ts';
import { operatorTrusted } from '../../enclave/authorization.ts';
import { type Engine, startEngine } from '../../enclave/engine.ts';
import type { EngineOptions, ThresholdOptions } from '../../enclave/engine-options.ts';
import { GenerationQueue } from '../../enclave/fhe/generation-queue.ts';
import { publicFilesAt } from '../../enclave/keys/public-files.ts';
import { openPeerNetwork } from '../../enclave/peers/peer-network.ts';
import type { EngineListener } from '../../enclave/service/engine-listener.ts';
import { clearKeeper } from '../../enclave/vault/clear-keychain.ts';
import { unsealedVault } from '../../enclave/vault/open-vault.ts';
import { type EngineInfo, EngineInfoSchema } from '../../proto/gen/engine_pb.js';
import { openMemoryStorage } from '../../storage/memory-storage.ts';
import type { Storage } from '../../storage/storage.ts';
import { ENGINE_METHOD } from '../../wire/frames.ts';
import { DEFAULT_CONTEXT_ID, idBytes } from '../../wire/ids.ts';
import { EngineTestLink } from './engine-link.ts';
import type { LogLine } from './engine-network.ts';
import { present } from './present.ts';
import { startTestAttester, testPcrs } from './software-nsm.ts';
import { type Teardown, tempDir } from './temp-dir.ts';

/** A party's engine at work. */
export interface QuorumEngine {
  readonly party: number;
  readonly engine: Engine;
  /** As a Core has it; closed with the engine. */
  readonly link: EngineTestLink;
  readonly log: readonly LogLine[];
  describe(): Promise<EngineInfo>;
  /** Ends it as the end of its process would. */
  stop(): Promise<void>;
}

/** What of one engine varies. */
export interface QuorumEngineStart extends Partial<EngineOptions> {
  readonly quorum?: Partial<ThresholdOptions>;
  /** Whether what governance must approve waits for a signature from elsewhere. */
  readonly withoutGovernanceKey?: boolean;
  /** How long its certificates live; connections are renewed at two thirds of that. */
  readonly leafLifeMs?: number;
}

/** See the file comment. */
export interface QuorumEngines {
  readonly parties: readonly number[];
  /** Each party's private vault. */
  readonly storages: ReadonlyMap<number, Storage>;
  /** The record that all parties' files hold, unsigned. */
  record: GovernedRecord;
  /** Where a party's public objects are put, by type and id. */
  publicObject(party: number, type: string, id: string): string;
  /** Starts a party. It is enrolled in the record if the record does not name it. */
  start(party: number, options?: QuorumEngineStart): Promise<QuorumEngine>;
  startAll(options?: QuorumEngineStart): Promise<readonly QuorumEngine[]>;
  /** Ends what runs and starts it again, from its vault. */
  restart(engine: QuorumEngine, options?: QuorumEngineStart): Promise<QuorumEngine>;
}

const NETWORK = 'dev:test';
const DAY_MS = 86_400_000;

/** Makes a quorum of `n` parties; nothing runs yet. */
export function quorumEngines(t: Teardown, n: number): QuorumEngines {
  const dir = tempDir(t);
  const madeMs = systemClock.nowMs();
  const root = makeDeveloperRoot({ nowMs: madeMs - DAY_MS });
  const anchor = { name: 'test root', certificate: root.certificate };
  const governanceKey = generateKeyPairSync('ed25519').privateKey;
  const releaseKey = generateKeyPairSync('ed25519').privateKey;
  const charterOf = (party: number) =>
    makeCharter({
      network: NETWORK,
      party,
      governance: { keys: [rawPublicKey(governanceKey)], threshold: 1 },
      anchor: createHash('sha256').update(root.certificate).digest(),
    });
  const queue = new GenerationQueue({ clock: systemClock, log: createLogger({ name: 'queue', level: 'silent' }) });
  const parties = Array.from({ length: n }, (_, index) => index + 1);
  const storages = new Map(parties.map((party) => [party, openMemoryStorage()]));
  const entries = (['engine', 'core'] as const).map((role) => ({
    release: 'test',
    platform: 'developer' as const,
    role,
    pcrs: testPcrs(role),
    notBeforeMs: madeMs - DAY_MS,
    notAfterMs: madeMs + 90 * DAY_MS,
  }));
  const unsigned = makeReleaseSet({ version: 1, network: NETWORK, entries });
  const releases = encodeSigned(withApproval('release-set', signReleaseSet(unsigned, releaseKey), governanceKey));
  const publicObject = (party: number, type: string, id: string): string => join(dir, `${party}-${type}-${id}`);

  const quorum: QuorumEngines = {
    parties,
    storages,
    publicObject,
    record: {
      version: 1,
      network: NETWORK,
      releaseKeys: [rawPublicKey(releaseKey)],
      parties: parties.map((party) => ({ party, endpoint: join(dir, `${party}`) })),
      context: idBytes(DEFAULT_CONTEXT_ID),
      authorizationPolicy: 'operator-trusted',
    },
    start,
    startAll: (options) => Promise.all(parties.map((party) => start(party, options))),
    restart: async (running, options) => {
      await running.stop();
      return await start(running.party, options);
    },
  };
  const signedRecord = (): Uint8Array => encodeSigned(signRecord(makeRecord(quorum.record), governanceKey));

  /** What the supervisor does with the line of a party that the record does not name, once all have spoken. */
  const waiting = new Map<number, Uint8Array>();
  const enrol = (party: number, address: string): void => {
    waiting.set(party, Buffer.from(address.slice(2), 'hex'));
    const { record } = quorum;
    const isComplete = record.parties.every((entry) => entry.address ?? waiting.has(entry.party));
    if (!isComplete) return;
    const named = record.parties.map((entry) => ({ ...entry, address: waiting.get(entry.party) ?? entry.address }));
    quorum.record = { ...record, version: record.version + 1, parties: named };
  };

  async function start(party: number, options: QuorumEngineStart = {}): Promise<QuorumEngine> {
    const { quorum: changed, withoutGovernanceKey = false, leafLifeMs, ...overrides } = options;
    const lines: LogLine[] = [];
    const destination = {
      write: (text: string) => {
        const line: LogLine = JSON.parse(text);
        lines.push(line);
        if (line.event === 'engine.unenrolled') enrol(Number(line.party), String(line.address));
      },
    };
    const log = createLogger({ name: `engine ${party}`, level: 'info', destination });
    const instanceId = `i-${String(party).padStart(17, '0')}`;
    const { nsm } = await startTestAttester({
      role: 'engine',
      root,
      instanceId,
      ...(leafLifeMs === undefined ? {} : { leafLifeMs }),
    });
    const accepted = Promise.withResolvers<Parameters<EngineListener['listen']>[0]>();
    const engine = await startEngine({
      developerMode: true,
      insecureOperations: true,
      testParameters: true,
      policy: operatorTrusted,
      openVault: unsealedVault(clearKeeper(present(storages.get(party)))),
      listener: () => ({ listen: async (onLink) => accepted.resolve(onLink), close: async () => undefined }),
      attestation: {
        nsm,
        anchor,
        charter: charterOf(party),
        record: signedRecord(),
        releases,
        localGovernance: withoutGovernanceKey ? undefined : { key: governanceKey, keep: async () => undefined },
      },
      threshold: {
        readRecord: async () => signedRecord(),
        network: (options) =>
          openPeerNetwork({ ...options, transport: unixTransport(join(dir, `${party}`)), dial: unixDial }),
        makeDefaultEpoch: true,
        roundTimeoutMs: 20_000,
        publicFiles: publicFilesAt((type, id) => publicObject(party, type, id)),
        ...changed,
      },
      treatV0ExtraDataAsEmpty: true,
      clock: systemClock,
      log,
      queue,
      ...overrides,
    });
    const [near, far] = duplexPair();
    (await accepted.promise)({ stream: far, peer: 'test' });
    const link = await EngineTestLink.open(near);
    let stopped: Promise<void> | undefined;
    const stop = (): Promise<void> => {
      link.close();
      stopped ??= engine.close(500);
      return stopped;
    };
    t.teardown(stop);
    const describe = async (): Promise<EngineInfo> =>
      fromBinary(EngineInfoSchema, await link.call(ENGINE_METHOD.describe));
    return { party, engine, link, log: lines, describe, stop };
  }
  return quorum;
}

/** Waits until all engines have settled: the default epoch is made. */
export async function settled(engines: readonly QuorumEngine[]): Promise<void> {
  for (const { describe } of engines) {
    while (!(await describe()).threshold?.settled) await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
