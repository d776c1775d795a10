/**
 * What makes a developer node one party of a quorum: as everywhere, but for the default epoch by itself and, if it is asked
 * for, lies.
 */
import type { Logger } from '../../common/log.ts';
import type { NodeConfig } from '../../common/node-config.ts';
import { systemRandom } from '../../common/random.ts';
import type { ThresholdOptions } from '../engine-options.ts';
import { configuredQuorum } from '../node/quorum-of-config.ts';
import { lyingMasks } from './lying-shares.ts';

/** Returns the options of a configuration's quorum, or undefined for a centralized node. */
export function developerQuorum(config: NodeConfig, log: Logger): ThresholdOptions | undefined {
  const quorum = configuredQuorum(config, log, { makeDefaultEpoch: true });
  if (!quorum || !config.threshold?.developer_lie) return quorum;
  log.warn({ event: 'engine.lies' }, 'threshold.developer_lie is set: every share of this party is wrong');
  return { ...quorum, masksOf: lyingMasks(systemRandom) };
}
