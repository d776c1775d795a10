/** Stands for a private vault that is gone: it holds nothing, and takes nothing. */
import { KmsError } from '../../common/errors.ts';
import type { ObjectKeeper } from '../vault/object-keeper.ts';

/** See the file comment. */
export const NO_VAULT: ObjectKeeper = {
  name: 'none',
  put: refuse,
  has: async () => false,
  open: refuse,
  list: async () => [],
  delete: async () => false,
};

async function refuse(): Promise<never> {
  throw new KmsError('PRECONDITION_FAILED', 'the private vault is gone: restore it from a backup');
}
