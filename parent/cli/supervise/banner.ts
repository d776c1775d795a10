/**
 * What a node says when it is ready: where it listens, what it is, and what it must not be used for.
 */
import type { NodeVersion } from '../client/ops.ts';
import { formatMs } from '../framework/progress.ts';
import type { RunningNode } from './run-node.ts';

/** Printed wherever keys with test parameters are made. */
export const TEST_PARAMS_WARNING =
  "test parameters are NOT secure: for production parameters use '--params default' (a key takes about a minute)";

/** Returns the banner of a node that is ready. */
export function banner({ dir, node, readyMs }: RunningNode, version: NodeVersion): string {
  const lines = [
    '',
    `  arca ${version.version} is ready (${formatMs(readyMs)})`,
    '',
    `  clients           ${node.clientUrl}   (gRPC)`,
    `  public material   ${node.publicUrl}`,
    `  metrics, health   ${node.opsUrl}`,
    `  node address      ${version.address}`,
    `  state folder      ${dir}`,
    `  policy            ${version.authorization_policy}${policyNote(version.authorization_policy)}`,
    '',
  ];
  return lines.join('\n');
}

/** Returns the warnings that belong to a node, the gravest first. */
export function nodeWarnings({ node }: RunningNode, version: NodeVersion): string[] {
  const developer = version.developer_mode
    ? ['developer mode: keys stand in clear files, nothing is attested; never use them for real data']
    : [];
  return node.params === 'test' ? [...developer, TEST_PARAMS_WARNING] : developer;
}

function policyNote(policy: string): string {
  return policy === 'operator-trusted' ? ': the engine decrypts whatever this machine asks of it' : '';
}
