/** What all kinds of private objects that belong to an epoch have in common when they are read at start. */
import { KmsError } from '../../common/errors.ts';
import type { RequestId } from '../../wire/ids.ts';
import type { EpochScopedType, PrivateVault } from './private-vault.ts';

/** Hands every object of a kind to `take`, one after the other; its content is wiped afterwards. @throws KmsError as `PrivateVault.read`. */
export async function readEach(
  vault: PrivateVault,
  type: EpochScopedType,
  take: (content: Uint8Array, epochId: RequestId, id: RequestId) => void,
): Promise<void> {
  for (const path of await vault.list(type)) {
    const [, epochId, id] = path;
    await vault.read(path, (content) => take(content, epochId, id));
  }
}

/** What an object is found by: its id means something only within its epoch. */
export function nameOf(epochId: RequestId, id: RequestId): string {
  return `${epochId}/${id}`;
}

/** Refuses an object that lies under another id than its own. @throws KmsError `STATE_INVALID`. */
export function requireSame(id: RequestId, found: RequestId): void {
  if (found !== id) throw invalid('it holds another id');
}

/** The failure of an object that does not belong where it lies. */
export function invalid(why: string): KmsError {
  return new KmsError('STATE_INVALID', why);
}
