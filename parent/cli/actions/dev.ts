/**
 * What `arca dev` and `arca node` do: start, say so, run until told to stop.
 */
import { systemClock } from '../../../common/clock.ts';
import type { LogLevel } from '../../../common/log.ts';
import { usageFailure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import type { BackupKeychainName } from '../supervise/aws/aws-file.ts';
import { banner, nodeWarnings } from '../supervise/banner.ts';
import { type Params, type RunningNode, startConfiguredNode, startDeveloperNode } from '../supervise/run-node.ts';

/** Options that `arca dev` and `arca start` share. */
export interface DevOptions {
  readonly dir: string;
  readonly params: Params;
  readonly reset?: true | undefined;
  /** First of its ports if there are several; the usual one if absent. */
  readonly port?: number | undefined;
  readonly publicPort: number;
  readonly opsPort: number;
  readonly logLevel: LogLevel;
  readonly v0ExtraDataAsEmpty?: true | undefined;
  /** How many parties: 1 is a node of its own. */
  readonly parties?: number | undefined;
  readonly meshPort?: number | undefined;
  readonly killParty?: readonly number[] | undefined;
  readonly lieParty?: readonly number[] | undefined;
  /** Vaults lie in emulated S3, sealed under keys of an emulated AWS KMS. */
  readonly aws?: true | undefined;
  readonly backup?: BackupKeychainName | undefined;
}

/** Where a single node has its clients unless another port is asked for. */
const CLIENT_PORT = 50_051;

/** Starts the node of `arca dev`; `anyPorts` takes free ports where the wanted ones are taken. */
export function startDevNode(options: DevOptions, anyPorts: boolean, output: Output): Promise<RunningNode> {
  return startDeveloperNode(
    {
      dir: options.dir,
      params: options.params,
      reset: options.reset === true,
      clientPort: options.port ?? CLIENT_PORT,
      publicPort: options.publicPort,
      opsPort: options.opsPort,
      anyPorts,
      logLevel: options.logLevel,
      treatV0ExtraDataAsEmpty: options.v0ExtraDataAsEmpty === true,
      aws: options.aws === true,
      backup: options.backup,
    },
    output,
  );
}

/** `arca dev`. */
export async function runDev(options: DevOptions, output: Output): Promise<void> {
  const { parties = 1 } = options;
  if (options.backup !== undefined && options.aws !== true) {
    throw usageFailure('--backup: vaults in files have no backup', 'add --aws');
  }
  if (parties > 1) {
    await (await import('./dev-quorum.ts')).runDevQuorum({ ...options, parties }, output);
    return;
  }
  const pointless = [
    options.killParty && '--kill-party',
    options.lieParty && '--lie-party',
    options.meshPort && '--mesh-port',
  ];
  const named = pointless.filter((option) => typeof option === 'string');
  if (named.length > 0)
    throw usageFailure(`${named.join(', ')}: a single node has no other parties`, 'add --parties 4');
  await serve(await startDevNode(options, false, output), output);
}

/** `arca node --config FILE`. */
export async function runConfigured(
  options: { readonly config: string; readonly params: Params },
  output: Output,
): Promise<void> {
  await serve(await startConfiguredNode(options.config, options.params, output), output);
}

/** Announces a node that is ready and runs it until a signal. */
export async function serve(running: RunningNode, output: Output): Promise<void> {
  const stopped = stopOnSignal(running, output);
  try {
    announce(running, output);
  } catch (error) {
    await running.stop();
    throw error;
  }
  await stopped;
}

/** Prints banner and warnings, or under `--json` the one object that describes the node. */
function announce(running: RunningNode, output: Output): void {
  for (const warning of nodeWarnings(running)) output.warn(warning);
  const readyMs = Math.round(running.readyMs);
  output.result(
    { ready: true, readyMs, dir: running.dir, ...running.node, pids: running.pids() },
    `${banner(running)}\n  Ctrl-C stops the node. 'arca status' shows it, 'arca key generate' makes a key.\n`,
  );
}

/** Under npm one Ctrl-C arrives twice, from the terminal and from npm: both mean the same. */
const SAME_SIGNAL_MS = 1000;

/** Resolves when a signal has stopped the node. Another one, later, kills it. */
export function stopOnSignal(running: Pick<RunningNode, 'stop' | 'kill'>, output: Output): Promise<void> {
  return new Promise((resolve, reject) => {
    let firstAtMs: number | undefined;
    const stop = (signal: NodeJS.Signals) => {
      const now = systemClock.monotonicMs();
      if (firstAtMs !== undefined) {
        if (now - firstAtMs > SAME_SIGNAL_MS) running.kill();
        return;
      }
      firstAtMs = now;
      output.note(`${signal}: stopping the node (again to kill it)`);
      running.stop().then(() => {
        output.note('stopped');
        resolve();
      }, reject);
    };
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);
  });
}
