/**
 * Reading for the `check` commands: every fault of an object is a line of the result, not one long error.
 */
import { faultsOf } from '../../../attestation/governance/index.ts';
import { EXIT } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { type GovernedObjects, type ObjectKind, readObject } from './object-files.ts';

/**
 * Reads a file that must hold an object of one kind. If the object has faults, they become the result of the
 * command, with exit code 1, and undefined is returned.
 *
 * @throws {@link KmsError} if the file cannot be read or holds something else.
 */
export async function readChecked<K extends ObjectKind>(
  path: string,
  kind: K,
  output: Output,
): Promise<GovernedObjects[K] | undefined> {
  try {
    return await readObject(path, kind);
  } catch (error) {
    const faults = faultsOf(error);
    if (faults === undefined) throw error;
    output.result({ ok: false, faults }, faults.map((fault) => `fault: ${fault}`).join('\n'));
    process.exitCode = EXIT.failed;
    return undefined;
  }
}
