/**
 * What `arca kms rewrap` does.
 */
import { withAdmin } from '../client/admin-client.ts';
import { explain, type NodeSelection } from '../client/session.ts';
import type { Output } from '../framework/output.ts';

/** A whole vault goes through the engine, object by object. */
const TIMEOUT_MS = 30 * 60_000;

/** `arca kms rewrap`. */
export async function runRewrap(options: NodeSelection, output: Output): Promise<void> {
  const { keyId, rewrapped, kept } = await withAdmin(options, async ({ client, address }) => {
    const progress = output.progress('sealing the vault anew');
    try {
      const report = await client.admin('RewrapVault', {}, { timeoutMs: TIMEOUT_MS });
      progress.done();
      return report;
    } catch (error) {
      progress.failed();
      throw explain(error, 'RewrapVault', { clientUrl: address });
    }
  });
  const lines = [
    `ok: the whole vault lies under ${keyId}`,
    `  sealed anew  ${rewrapped}`,
    `  was there    ${kept}`,
    'Once the backup follows (arca backup status), the key before it may be disabled.',
  ];
  output.result({ keyId, rewrapped, kept }, lines.join('\n'));
}
