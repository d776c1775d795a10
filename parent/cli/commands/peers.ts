/**
 * `arca peers`: whom a node is connected to, or should be, and what they have proven.
 */
import { createNodeCommand, runAction } from '../framework/command.ts';

/** Returns the `peers` command. */
export function peersCommand() {
  return createNodeCommand('peers', 'Show the attested connections of a node: engine, core, other parties.', [
    'arca peers',
    'arca peers --json',
    'arca peers --url https://kms.example.com:50051 --client-cert ops.pem --client-key ops.key',
  ]).action((options) =>
    runAction(options, async (output) => (await import('../actions/peers.ts')).runPeers(options, output)),
  );
}
