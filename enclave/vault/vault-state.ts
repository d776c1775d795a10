/**
 * What lies in the storage of a sealed vault, before anything of it is checked: only ever compared with what is checked
 * later. Public.
 */
import { isKmsError, KmsError } from '../../common/errors.ts';
import type { Storage } from '../../storage/storage.ts';
import { SIGNING_KEY_ID } from '../../wire/ids.ts';
import { type Manifest, type ObjectWriting, peekManifest } from '../seal/manifest.ts';

/** Path of the node's key, the first object of a vault. */
export const SIGNING_KEY_PATH = ['SigningKey', SIGNING_KEY_ID] as const;

/** See the file comment. */
export interface VaultState {
  /** Undefined: a vault that was never used. */
  readonly manifest: Manifest | undefined;
  /** Where the manifest says that the node's key lies. */
  readonly signingKey: { readonly version: number; readonly writing: ObjectWriting } | undefined;
}

/**
 * Reads it.
 *
 * @throws KmsError `STATE_INVALID` naming what is there without the other: manifest and objects come and go together.
 */
export async function readVaultState(storage: Pick<Storage, 'get' | 'list'>): Promise<VaultState> {
  const bytes = await storage.get(['Manifest', 'head']).catch((error: unknown) => {
    if (isKmsError(error, 'NOT_FOUND')) return undefined;
    throw error;
  });
  if (bytes === undefined) {
    // A key alone is what a first start leaves that was cut before its manifest: it has signed nothing.
    const objects = (await storage.list([])).filter((name) => name !== 'Manifest' && name !== SIGNING_KEY_PATH[0]);
    if (objects.length === 0) return { manifest: undefined, signingKey: undefined };
    throw new KmsError(
      'STATE_INVALID',
      `the private vault holds ${objects.join(', ')} but no manifest: restore Manifest/head, or the vault from a backup`,
      { fault: 'no-manifest' },
    );
  }
  const manifest = peekManifest(bytes);
  if (manifest === undefined) {
    const message =
      "the vault's manifest is refused: it is not as the format says; restore it, or the vault from a backup";
    throw new KmsError('STATE_INVALID', message, { fault: 'malformed', faults: 'malformed' });
  }
  const { version, writing } = manifest.entries.get(SIGNING_KEY_PATH.join('/')) ?? {};
  const signingKey = version === undefined || writing === undefined ? undefined : { version, writing };
  return { manifest, signingKey };
}
