/**
 * What the starter of a node holds of it, whatever its engine runs in.
 */
import { systemClock } from '../../../common/clock.ts';
import type { NodeConfig } from '../../../common/node-config.ts';
import { warningsOf } from './describe-node.ts';
import type { NodeFile } from './node-file.ts';
import type { RunningNode } from './run-node.ts';
import type { Supervisor } from './supervisor.ts';

/** Settings of {@link runningNode}. */
export interface RunningNodeParts {
  readonly dir: string;
  readonly node: NodeFile;
  readonly config: NodeConfig;
  /** When its start began, by the monotonic clock. */
  readonly startedAt: number;
  readonly supervisor: Pick<Supervisor, 'pids' | 'kill'>;
  /** Stops all; called once at most. */
  readonly stop: () => Promise<void>;
}

/** Returns a node that is ready. */
export async function runningNode(parts: RunningNodeParts): Promise<RunningNode> {
  const { dir, node, config, startedAt, supervisor, stop } = parts;
  let stopping: Promise<void> | undefined;
  return {
    dir,
    node,
    releaseWarnings: await warningsOf(config, node),
    readyMs: systemClock.monotonicMs() - startedAt,
    isSealed: config.private_vault.keychain !== undefined,
    pids: () => supervisor.pids(),
    stop: () => {
      stopping ??= stop();
      return stopping;
    },
    kill: () => supervisor.kill(),
  };
}
