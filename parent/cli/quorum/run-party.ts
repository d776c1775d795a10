/**
 * One party of a developer quorum: folder, lock, log, engine and Core under a supervisor of their own, so that it can be
 * taken down and started again while the others go on.
 */

import type { DeveloperRoot } from '../../../attestation/developer/developer-root.ts';
import type { MeasuredProgram } from '../../../attestation/developer/measure-program.ts';
import { type Clock, systemClock } from '../../../common/clock.ts';
import type { NodeConfig } from '../../../common/node-config.ts';
import type { Output } from '../framework/output.ts';
import { parseLogLine } from '../supervise/child.ts';
import { describeNode } from '../supervise/describe-node.ts';
import { type DeviceEvent, deviceMakers } from '../supervise/developer-devices.ts';
import type { FolderLock } from '../supervise/folder-lock.ts';
import { type NodeFile, removeNodeFile, writeNodeFile } from '../supervise/node-file.ts';
import { type NodeLog, openNodeLog } from '../supervise/node-log.ts';
import { nodePrograms, withDevices } from '../supervise/node-programs.ts';
import { describeDeviceEvent, reporter } from '../supervise/reporter.ts';
import { type Supervisor, supervise } from '../supervise/supervisor.ts';
import type { EnclaveEngine } from './running-quorum.ts';

/** What one party is started from. */
export interface PartyOptions {
  readonly party: number;
  readonly dir: string;
  /** Held by this process; released by {@link PartyProcesses.close}. */
  readonly lock: FolderLock;
  readonly config: NodeConfig;
  /** The file that `config` stands in. */
  readonly file: string;
  readonly params: NodeFile['params'];
  /** What `node.json` says beside what the configuration does. */
  readonly addresses: Pick<NodeFile, 'party' | 'publicUrl' | 'attestationUrl'>;
  readonly root: DeveloperRoot;
  readonly instanceId: string;
  /** Measured once for all parties, engine and Core in this order. */
  readonly measured: readonly MeasuredProgram[];
  /** Its engine runs in an enclave. */
  readonly enclave?: EnclaveEngine | undefined;
  readonly leafLifeMs?: number | undefined;
  /** How long both processes may take until they are ready. */
  readonly startLimitMs: number;
  /** Whether that begins again: another party waits for a person, and this one for that party. */
  readonly mayStartLate: () => boolean;
  /** Every line of the party's log that is one of ours. */
  readonly onFacts: (facts: Readonly<Record<string, unknown>>) => void;
  /** The sources were edited under a party that is starting: whoever waits for it would wait in vain. */
  readonly onEdited: (text: string) => void;
  readonly clock?: Clock;
}

/** The processes of one party. */
export interface PartyProcesses {
  /** Starts both and returns when the Core is ready; `node.json` is written then. */
  start(): Promise<NodeFile>;
  /** Stops both, or kills them. The party can be started again. */
  stop(hard: boolean): Promise<void>;
  /** Kills at once, without waiting. */
  kill(): void;
  /** Closes log and lock, after a stop. */
  close(): Promise<void>;
  pids(): Readonly<Record<string, number>>;
}

/** Opens the log of a party whose folder is locked; nothing runs yet. */
export async function openParty(options: PartyOptions, output: Output): Promise<PartyProcesses> {
  const { party, dir, lock, clock = systemClock } = options;
  const log = await openNodeLog(dir);
  const prefixed: Output = {
    ...output,
    note: (text) => output.note(named(text)),
    warn: (text) => output.warn(named(text)),
  };
  const tell = reporter(prefixed);
  let supervisor: Supervisor | undefined;
  /** Only while the party is up is a child's word worth a line on the terminal; its log has all of them. */
  let isUp = false;

  function named(text: string): string {
    return `party ${party}: ${text}`;
  }

  function onDevice(event: DeviceEvent): void {
    log.write(JSON.stringify({ level: 'error', time: new Date(clock.nowMs()).toISOString(), ...event }));
    const text = describeDeviceEvent(event);
    if (isUp) prefixed.warn(text);
    else if (event.event === 'attestation.files-changed') options.onEdited(named(text));
  }

  async function start(): Promise<NodeFile> {
    let engineFacts: unknown;
    const running = supervise(programsOf(options, onDevice, clock), {
      clock,
      startLimitMs: options.startLimitMs,
      mayStartLate: options.mayStartLate,
      onEvent: (event) => {
        if (event.kind === 'line') take(event.line, log);
        if (event.kind === 'ready' && event.name === 'engine') engineFacts = event.facts;
        if (isUp || event.kind === 'crashed') tell(event);
      },
    });
    supervisor = running;
    await running.ready;
    const node = { ...describeNode(options, engineFacts), ...options.addresses };
    await writeNodeFile(dir, node);
    isUp = true;
    return node;
  }

  function take(line: string, to: NodeLog): void {
    to.write(line);
    const facts = parseLogLine(line);
    if (facts !== undefined) options.onFacts(facts);
  }

  async function stop(hard: boolean): Promise<void> {
    isUp = false; // what the children say from here on is about their end
    await removeNodeFile(dir);
    if (hard) supervisor?.kill();
    await supervisor?.stop();
  }

  return {
    start,
    stop,
    kill: () => supervisor?.kill(),
    close: async () => {
      await log.close();
      lock.release();
    },
    pids: () => supervisor?.pids() ?? {},
  };
}

/** Each start gets modules that are fresh, as after boot. */
function programsOf(options: PartyOptions, onEvent: (event: DeviceEvent) => void, clock: Clock) {
  const { file, config, root, instanceId, measured, enclave, leafLifeMs } = options;
  const programs = nodePrograms({ threshold: true, configFile: file });
  const attested = withDevices(
    programs,
    deviceMakers({ root, instanceId, programs, measured, onEvent, clock, leafLifeMs }),
  );
  if (enclave === undefined) return attested;
  // An enclave has a module of its own.
  const start = enclave.start({ config, root, instanceId });
  return attested.map((program) => (program.name === 'engine' ? { name: program.name, start } : program));
}
