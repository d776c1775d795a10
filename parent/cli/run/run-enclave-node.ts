/**
 * A node whose engine runs in an enclave: checks, enclave with its vsock-proxy, Core, all under one supervisor that starts
 * again what ends. Holds no secret: what it hands to the enclave is public, and the enclave believes none of it.
 */
import { systemClock } from '../../../common/clock.ts';
import { describeFailure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { parseLogLine } from '../supervise/child.ts';
import { describeNode } from '../supervise/describe-node.ts';
import { removeNodeFile, writeNodeFile } from '../supervise/node-file.ts';
import { reporter } from '../supervise/reporter.ts';
import type { Params, RunningNode } from '../supervise/run-node.ts';
import { runningNode } from '../supervise/running-node.ts';
import {
  type BackOff,
  describeExit,
  type Supervisor,
  type SupervisorEvent,
  supervise,
} from '../supervise/supervisor.ts';
import { nodeEnclave, type TakeNodeOptions, type TakenNode, takeEnclaveNode } from './node-enclave.ts';

/** What `arca run` was asked for. */
export interface EnclaveNodeOptions extends TakeNodeOptions {
  readonly params: Params;
  /** Asked for by name: the console shows everything, and peers refuse such an enclave. */
  readonly debug: boolean;
  readonly backOff?: BackOff;
}

/** A first start waits for other parties, and under emulation for everything. */
const START_LIMIT_MS = 600_000;
const DEBUG_WARNING =
  'debug mode: the console of the enclave shows everything, and PCR0, 1 and 2 are zero: peers and AWS KMS refuse it';

/**
 * Starts the node and returns when it is ready.
 *
 * @throws {@link KmsError} `PRECONDITION_FAILED` with everything that stands in the way, `UNAVAILABLE` with the last words of
 *   an enclave that did not come up.
 */
export async function startEnclaveNode(options: EnclaveNodeOptions, output: Output): Promise<RunningNode> {
  const startedAt = systemClock.monotonicMs();
  if (options.debug) output.warn(DEBUG_WARNING);
  const node = await takeEnclaveNode(options, output);
  try {
    return await startAll({ ...options, ...node, startedAt }, output);
  } catch (error) {
    await node.release();
    throw error;
  }
}

interface NodeParts extends EnclaveNodeOptions, TakenNode {
  readonly startedAt: number;
}

async function startAll(parts: NodeParts, output: Output): Promise<RunningNode> {
  const { config, dir, log, enclaveLog, startedAt, backOff, release } = parts;
  let started = false;
  const tell = reporter(output);
  let engineFacts: unknown;
  const { enclave, core, developer } = await nodeEnclave(parts, parts, output);
  const enrol = (facts: Readonly<Record<string, unknown>>): void => {
    developer?.onFacts(facts).catch((error: unknown) => output.warn(`not enrolled: ${describeFailure(error).message}`));
  };
  const supervisor: Supervisor = supervise([enclave, ...core], {
    ...(backOff && { backOff }),
    startLimitMs: START_LIMIT_MS,
    onEvent: (event) => {
      if (event.kind === 'line') (event.name === 'enclave' ? enclaveLog : log).write(event.line);
      else log.write(launcherLine(event));
      if (event.kind === 'ready' && event.name === 'enclave') engineFacts = event.facts;
      if (event.kind === 'line' && event.name === 'enclave') enrol(parseLogLine(event.line) ?? {});
      if (started || event.kind === 'crashed') tell(event);
    },
  });
  try {
    await supervisor.ready;
    const node = describeNode(parts, engineFacts);
    await writeNodeFile(dir, node);
    started = true;
    const stop = async (): Promise<void> => {
      started = false; // what is said from here on is about the end
      await removeNodeFile(dir);
      await supervisor.stop();
      await release();
    };
    return await runningNode({ dir, node, config, startedAt, supervisor, stop });
  } catch (error) {
    await supervisor.stop();
    throw error;
  }
}

/** What becomes of the children, as a line of the log. */
function launcherLine(event: Exclude<SupervisorEvent, { kind: 'line' }>): string {
  const { kind, name: child } = event;
  const what =
    kind === 'ready'
      ? { ms: Math.round(event.ms) }
      : { why: event.why ?? describeExit(event.exit), retryInMs: event.retryInMs };
  const level = kind === 'ready' ? 'info' : 'warn';
  const time = new Date(systemClock.nowMs()).toISOString();
  return JSON.stringify({ level, time, name: 'launcher', event: `launcher.${kind}`, child, ...what });
}
