/**
 * What a node says when it is ready: where it listens, what it is, and what it must not be used for.
 */
import { formatMs } from '../framework/progress.ts';
import type { RunningNode } from './run-node.ts';

/** Printed wherever keys with test parameters are made. */
export const TEST_PARAMS_WARNING =
  "test parameters are NOT secure: for production parameters use '--params default' (a key takes about a minute)";

/** Returns the banner of a node that is ready. */
export function banner({ dir, node, readyMs }: RunningNode): string {
  const lines = [
    '',
    `  arca ${node.version} is ready (${formatMs(readyMs)})`,
    '',
    `  clients           ${node.clientUrl}   (gRPC)`,
    `  public material   ${node.publicUrl}`,
    `  metrics, health   ${node.opsUrl}`,
    `  node address      ${node.address}`,
    `  state folder      ${dir}`,
    `  attested          yes: network ${node.network}, release ${node.release}`,
    `  policy            ${node.authorizationPolicy}${policyNote(node.authorizationPolicy)}`,
    '',
  ];
  return lines.join('\n');
}

/** Returns the warnings that belong to a node, the gravest first. */
export function nodeWarnings({ node, releaseWarnings }: RunningNode): string[] {
  const developer = node.developerMode
    ? [
        'developer mode: keys stand in clear files and attestation has a root of this machine; never use them for real data',
      ]
    : [];
  return [...developer, ...releaseWarnings, ...(node.params === 'test' ? [TEST_PARAMS_WARNING] : [])];
}

function policyNote(policy: string): string {
  return policy === 'operator-trusted' ? ': the engine decrypts whatever this machine asks of it' : '';
}
