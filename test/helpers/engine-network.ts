/**
 * Engines of one network in the test's own process: real keys, attesters, memories of governance and attested
 * connections over Unix sockets; what has nothing to do with the network of engines is left out.
 *
 * The network is one of production, with 4 governance and 4 release keys of which 3 sign, and 72 hours of delay;
 * only the root under which its documents verify is the test's own.
 */
import { createHash, createPrivateKey, type KeyObject } from 'node:crypto';
import { join } from 'node:path';
import { makeDeveloperRoot } from '../../attestation/developer/chain.ts';
import {
  AWS_ANCHOR,
  encodeSigned,
  type GovernedRecord,
  makeCharter,
  makeRecord,
  makeReleaseSet,
  type ReleaseEntry,
  rawPublicKey,
  signRecord,
  signReleaseSet,
  withApproval,
} from '../../attestation/governance/index.ts';
import { unixDial, unixTransport } from '../../attestation/mesh/transport-unix.ts';
import { type Clock, systemClock } from '../../common/clock.ts';
import { createLogger } from '../../common/log.ts';
import { systemRandom } from '../../common/random.ts';
import { type GovernanceMemory, openGovernanceMemory } from '../../enclave/governance/governance-memory.ts';
import { bindCharter } from '../../enclave/mesh/bind-charter.ts';
import { type EngineMesh, openEngineMesh } from '../../enclave/mesh/engine-mesh.ts';
import { openPeerNetwork, type PeerNetwork, type PeerNetworkOptions } from '../../enclave/peers/peer-network.ts';
import { clearKeeper } from '../../enclave/vault/clear-keychain.ts';
import { PrivateVault } from '../../enclave/vault/private-vault.ts';
import { NodeKey } from '../../native/engine/index.ts';
import { openMemoryStorage } from '../../storage/memory-storage.ts';
import { present } from './present.ts';
import { startTestAttester, testPcrs } from './software-nsm.ts';
import { type Teardown, tempDir } from './temp-dir.ts';

/** One line of a party's log. */
export interface LogLine {
  readonly event?: string;
  readonly [fact: string]: unknown;
}

/** An engine that runs. */
export interface NetworkedEngine {
  readonly party: number;
  readonly network: PeerNetwork;
  readonly mesh: EngineMesh;
  readonly governance: GovernanceMemory;
  readonly log: readonly LogLine[];
  /** Ends it as the end of its process would. */
  stop(): Promise<void>;
}

/** What of one engine varies. */
export interface EngineStart {
  /** Signed objects that it knows; record and release set of version 1 if absent. */
  readonly knows?: { readonly record: Uint8Array; readonly releases: Uint8Array };
  readonly leafLifeMs?: number;
  readonly clock?: Clock;
  readonly peers?: Partial<PeerNetworkOptions>;
}

/** See the file comment. */
export interface EngineNetwork {
  readonly parties: readonly number[];
  /** Signed by 3 of the 4 governance keys, or those given. */
  record(version: number, change?: Partial<GovernedRecord>, keys?: readonly KeyObject[]): Uint8Array;
  /** Signed by 3 of the 4 release keys and 3 of the 4 governance keys; trusts the test's engines and whoever is added. */
  releases(version: number, added?: readonly string[], keys?: readonly KeyObject[]): Uint8Array;
  /** Where a party listens. */
  endpoint(party: number): string;
  /** Starts a party, as often as a test wants: its key and its incarnation are kept. */
  start(party: number, options?: EngineStart): Promise<NetworkedEngine>;
  startAll(options?: EngineStart): Promise<readonly NetworkedEngine[]>;
}

const NETWORK = 'test-1';
const DAY_MS = 86_400_000;

const keysOf = (purpose: string): readonly KeyObject[] =>
  [1, 2, 3, 4].map((number) => {
    const seed = createHash('sha256').update(`${purpose} ${number}`).digest();
    const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]);
    return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  });
/** Governance keys of the network. */
export const GOVERNANCE_KEYS = keysOf('governance');
const RELEASE_KEYS = keysOf('release');

/** Makes a network of `n` parties; nothing runs yet. */
export function engineNetwork(t: Teardown, n: number): EngineNetwork {
  const dir = tempDir(t);
  const parties = Array.from({ length: n }, (_, index) => index + 1);
  const madeMs = systemClock.nowMs();
  const root = makeDeveloperRoot({ nowMs: madeMs - DAY_MS });
  const anchor = { name: 'test root', certificate: root.certificate };
  const nodeKeys = new Map(parties.map((party) => [party, NodeKey.generate()]));
  t.teardown(() => {
    for (const key of nodeKeys.values()) key.dispose();
  });
  const incarnations = new Map<number, number>();
  const governance = { keys: GOVERNANCE_KEYS.map(rawPublicKey), threshold: 3 };
  const charterOf = (party: number) => makeCharter({ network: NETWORK, party, governance, anchor: AWS_ANCHOR });
  const endpoint = (party: number): string => join(dir, `${party}`, 's');

  const record: EngineNetwork['record'] = (version, change = {}, keys = GOVERNANCE_KEYS.slice(0, 3)) => {
    const unsigned = makeRecord({
      version,
      network: NETWORK,
      releaseKeys: RELEASE_KEYS.map(rawPublicKey),
      parties: parties.map((party) => ({
        party,
        address: present(nodeKeys.get(party)).address,
        endpoint: endpoint(party),
      })),
      context: new Uint8Array(32).fill(5),
      authorizationPolicy: 'published',
      eip712Domains: [{ name: 'Decryption', version: '1', chainId: 1, verifyingContract: new Uint8Array(20).fill(7) }],
      ...change,
    });
    return encodeSigned(keys.reduce(signRecord, unsigned));
  };
  const releases: EngineNetwork['releases'] = (version, added = [], keys = GOVERNANCE_KEYS.slice(0, 3)) => {
    const entry = (release: string): ReleaseEntry => ({
      release,
      platform: 'enclave',
      role: 'engine',
      pcrs: testPcrs('engine', release),
      notBeforeMs: madeMs - DAY_MS,
      notAfterMs: madeMs + 90 * DAY_MS,
    });
    const unsigned = makeReleaseSet({ version, network: NETWORK, entries: ['test', ...added].map(entry) });
    const signed = RELEASE_KEYS.slice(0, 3).reduce((sum, key) => signReleaseSet(sum, key), unsigned);
    return encodeSigned(keys.reduce((sum, key) => withApproval('release-set', sum, key), signed));
  };

  const first = { record: record(1), releases: releases(1) };
  const start: EngineNetwork['start'] = async (
    party,
    { knows = first, leafLifeMs, clock = systemClock, peers } = {},
  ) => {
    const lines: LogLine[] = [];
    const destination = { write: (line: string) => void lines.push(JSON.parse(line)) };
    const log = createLogger({ name: `engine ${party}`, level: 'info', destination });
    const charter = charterOf(party);
    const instanceId = `i-${String(party).padStart(17, '0')}`;
    const life = leafLifeMs === undefined ? {} : { leafLifeMs };
    const { nsm } = await startTestAttester({ role: 'engine', root, instanceId, clock, ...life });
    const document = await bindCharter(nsm, charter, { anchor, clock });
    const vault = new PrivateVault(clearKeeper(openMemoryStorage()));
    const memory = await openGovernanceMemory({ vault, charter, clock, log });
    await memory.offer({ kind: 'record', content: knows.record });
    await memory.offer({ kind: 'release-set', content: knows.releases });
    const incarnation = (incarnations.get(party) ?? 0) + 1;
    incarnations.set(party, incarnation);
    const key = present(nodeKeys.get(party));
    const mesh = await openEngineMesh({ nsm, anchor, document, key, governance: memory, incarnation, clock, log });
    const network = await openPeerNetwork({
      mesh,
      governance: memory,
      transport: unixTransport(endpoint(party)),
      dial: unixDial,
      random: systemRandom,
      clock,
      log,
      ...peers,
    });
    let stopped: Promise<void> | undefined;
    const stop = (): Promise<void> => {
      stopped ??= network
        .close()
        .then(() => mesh.endpoint.close())
        .then(() => memory.close());
      return stopped;
    };
    t.teardown(stop);
    return { party, network, mesh, governance: memory, log: lines, stop };
  };
  return {
    parties,
    record,
    releases,
    endpoint,
    start,
    startAll: (options) => Promise.all(parties.map((party) => start(party, options))),
  };
}

/** Waits until something is so; the test's own time-out ends it. */
export async function until(what: () => boolean): Promise<void> {
  while (!what()) await new Promise((resolve) => setTimeout(resolve, 2));
}
