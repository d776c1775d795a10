/**
 * A developer quorum under one supervisor: n parties, each an engine and a Core in a folder of its own, which trust each
 * other's attestation and hold shares of keys that nobody has.
 */
import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { systemClock } from '../../../common/clock.ts';
import { loadNodeConfig } from '../config/check-config.ts';
import { failure, usageFailure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import type { EmulatedAws } from '../supervise/aws/emulated-aws.ts';
import { warningsOf } from '../supervise/describe-node.ts';
import type { FolderLock } from '../supervise/folder-lock.ts';
import type { NodeFile } from '../supervise/node-file.ts';
import { partyFolder } from '../supervise/state-folder.ts';
import { takeStateFolder } from '../supervise/take-state-folder.ts';
import { clearDownMark, markDown } from './down-mark.ts';
import { watchEnrolment } from './enrolment.ts';
import { readPartyStatus } from './party-status.ts';
import {
  configureParty,
  HOST,
  numbersTo,
  type OpenOptions,
  prepareTrust,
  requirePartyCount,
  startQuorumAws,
  takePartyFolder,
} from './prepare-quorum.ts';
import { startPublicRelay } from './public-relay.ts';
import { lostLine } from './quorum-banner.ts';
import { chooseQuorumPorts, type PartyPorts } from './quorum-ports.ts';
import { instanceIdOf, readMeshPorts } from './quorum-trust.ts';
import { openParty, type PartyProcesses } from './run-party.ts';
import type { DeveloperQuorumOptions, RunningParty, RunningQuorum } from './running-quorum.ts';

/** Engine and Core of a party, which share the machine with those of all others. */
const START_LIMIT_MS = 120_000;
/** An enclave boots a kernel first, and under emulation everything in it takes ten times as long. */
const ENCLAVE_START_LIMIT_MS = 900_000;
const CONNECT_LIMIT_MS = 5000;
const CONNECT_POLL_MS = 50;

/** A party with all that belongs to it. */
interface OpenParty {
  readonly ports: PartyPorts;
  readonly dir: string;
  readonly processes: PartyProcesses;
}

/**
 * Starts a developer quorum and returns when all parties are ready: the default context and epoch are there, and every
 * Core serves clients.
 *
 * @throws {@link KmsError} with exit code 2 for numbers that do not fit; `STATE_INVALID` (folder), `PRECONDITION_FAILED` (in
 *   use, port taken), `UNAVAILABLE` (a process died), `DEADLINE_EXCEEDED`.
 */
export async function startDeveloperQuorum(options: DeveloperQuorumOptions, output: Output): Promise<RunningQuorum> {
  const startedAt = systemClock.monotonicMs();
  requireNumbers(options);
  const dir = resolve(options.dir);
  /** What is undone, last first, when the start fails or the quorum stops. */
  const held = new AsyncDisposableStack();
  try {
    const lock = await takeStateFolder(dir, { ...options, aws: options.aws === true }, output);
    held.defer(() => lock.release());
    const aws = options.aws === true ? await startQuorumAws(dir, options, output) : undefined;
    held.defer(() => aws?.stop());
    let awaitsRestore = false;
    const mayStartLate = (): boolean => awaitsRestore;
    const { parties, broken } = await openParties({ ...options, emulated: aws }, { dir, held, mayStartLate }, output);
    const started = Promise.all(
      parties.map(async ({ ports: { party }, processes }) => {
        const node = await processes.start();
        if (node.awaitsRestore) {
          awaitsRestore = true;
          output.note(lostLine(dir, party));
        }
        return node;
      }),
    );
    const nodes = await Promise.race([started, broken]);
    await untilConnected(nodes);
    return await describeQuorum({ dir, parties, nodes, held, startedAt, aws });
  } catch (error) {
    await held.disposeAsync();
    throw error;
  }
}

/**
 * The parties of a quorum that was there before serve at once: their engines are still connecting to each other. Nobody fails
 * for want of a connection, so the wait is bounded and its end no condition.
 */
async function untilConnected(nodes: readonly NodeFile[]): Promise<void> {
  const endAtMs = systemClock.monotonicMs() + CONNECT_LIMIT_MS;
  while (systemClock.monotonicMs() < endAtMs) {
    const statuses = await Promise.all(nodes.map(readPartyStatus));
    if (statuses.every((status) => status.state !== 'down' && status.attested >= nodes.length)) return;
    await delay(CONNECT_POLL_MS);
  }
}

/** Where parties are opened, what is undone with them, and whether those that wait for others may go on waiting. */
interface OpenedIn {
  readonly dir: string;
  readonly held: AsyncDisposableStack;
  readonly mayStartLate: () => boolean;
}

/** Prepares everything but the processes. `broken` rejects when a start that is under way cannot succeed. */
async function openParties(
  options: OpenOptions,
  { dir, held, mayStartLate }: OpenedIn,
  output: Output,
): Promise<{ readonly parties: readonly OpenParty[]; readonly broken: Promise<never> }> {
  const numbers = numbersTo(options.parties);
  const locks = new Map<number, FolderLock>();
  for (const party of numbers) {
    const lock = await takePartyFolder(partyFolder(dir, party));
    held.defer(() => lock.release());
    locks.set(party, lock);
  }
  const { publicPort, parties: ports } = await chooseQuorumPorts({
    ...options,
    lastMeshPorts: await readMeshPorts(dir, numbers),
  });
  const { trust, measured } = await prepareTrust(options, dir, ports);
  const targets = new Map(ports.map((party) => [party.party, party.publicPort]));
  const relay = await startPublicRelay({ port: publicPort, targets });
  held.defer(() => relay.close());
  const enrolment = watchEnrolment(dir, trust);
  const edited = Promise.withResolvers<never>();
  const parties: OpenParty[] = [];
  held.defer(() => closeAll(parties));
  for (const party of ports) {
    const lock = locks.get(party.party);
    if (lock === undefined) continue;
    const node = await configureParty(options, dir, party);
    const processes = await openParty(
      {
        ...options,
        ...node,
        party: party.party,
        lock,
        addresses: {
          party: party.party,
          publicUrl: `http://${HOST}:${relay.port}/kms/PUB-p${party.party}`,
          attestationUrl: `http://${HOST}:${relay.port}/attestation?party=${party.party}`,
        },
        root: trust.root,
        instanceId: instanceIdOf(trust.charter, party.party),
        measured,
        enclave: options.enclaves?.get(party.party),
        startLimitMs: options.enclaves === undefined ? START_LIMIT_MS : ENCLAVE_START_LIMIT_MS,
        mayStartLate,
        onFacts: (facts) => enrolment.onFacts(party.party, facts),
        onEdited: (text) => edited.reject(failure('ABORTED', text, 'start it again')),
      },
      output,
    );
    parties.push({ ports: party, dir: node.dir, processes });
  }
  const broken = Promise.race([edited.promise, enrolment.failed]);
  broken.catch(() => {}); // the start looks at it; later nobody has to
  return { parties, broken };
}

interface Started {
  readonly aws: EmulatedAws | undefined;
  readonly dir: string;
  readonly parties: readonly OpenParty[];
  readonly nodes: readonly NodeFile[];
  readonly held: AsyncDisposableStack;
  readonly startedAt: number;
}

async function describeQuorum({ aws, dir, parties, nodes, held, startedAt }: Started): Promise<RunningQuorum> {
  const running = parties.map(({ ports, dir: own, processes }, at): RunningParty => {
    const node = nodes[at];
    if (node === undefined) throw failure('INTERNAL', `party ${ports.party} started without a word`, 'start it again');
    return { party: ports.party, dir: own, node, meshPort: ports.meshPort, pids: processes.pids };
  });
  const [first] = running;
  const file = first?.node.configFile;
  const releaseWarnings =
    first === undefined || file === undefined ? [] : await warningsOf(loadNodeConfig(file, process.env), first.node);
  const memberOf = (party: number): OpenParty => {
    const found = parties.find(({ ports }) => ports.party === party);
    if (found !== undefined) return found;
    throw failure('REQUEST_INVALID', `there is no party ${party}`, `name one of 1 to ${parties.length}`);
  };
  let stopping: Promise<void> | undefined;
  return {
    dir,
    threshold: (parties.length - 1) / 3,
    parties: running,
    readyMs: systemClock.monotonicMs() - startedAt,
    releaseWarnings,
    aws,
    stopParty: async (party, hard = false) => {
      const { dir: own, processes } = memberOf(party);
      await processes.stop(hard);
      await markDown(own);
    },
    startParty: async (party) => {
      const { dir: own, processes } = memberOf(party);
      await clearDownMark(own);
      await processes.start();
    },
    stop: () => {
      stopping ??= held.disposeAsync();
      return stopping;
    },
    kill: () => {
      for (const { processes } of parties) processes.kill();
      aws?.kill();
    },
  };
}

/** All at once: a quorum stops as quickly as one party does. */
async function closeAll(parties: readonly OpenParty[]): Promise<void> {
  await Promise.all(
    parties.map(async ({ processes }) => {
      await processes.stop(false);
      await processes.close();
    }),
  );
}

/** Wrong numbers are wrong usage, all of them named at once. */
function requireNumbers({ parties, lyingParties = [] }: DeveloperQuorumOptions): void {
  requirePartyCount(parties);
  const strangers = lyingParties.filter((party) => !Number.isInteger(party) || party < 1 || party > parties);
  if (strangers.length > 0) {
    throw usageFailure(`there is no party ${strangers.join(', ')} of ${parties}`, `name parties of 1 to ${parties}`);
  }
}
