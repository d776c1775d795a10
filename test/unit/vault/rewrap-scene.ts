/** A sealed vault with three objects, and servers of its party that seal it under root keys of choice. */
import type { DataKeyring } from '../../../enclave/keychain/data-keys.ts';
import { ManifestHead } from '../../../enclave/seal/manifest-head.ts';
import { peekHead } from '../../../enclave/seal/peek-head.ts';
import { SealedStore } from '../../../enclave/seal/sealed-store.ts';
import { type PrivatePath, PrivateVault } from '../../../enclave/vault/private-vault.ts';
import { sealedKeeper } from '../../../enclave/vault/sealed-keeper.ts';
import type { Storage } from '../../../storage/storage.ts';
import { parseRequestId } from '../../../wire/ids.ts';
import { CHARTER } from '../../helpers/kms-scene.ts';
import { MANIFEST_SIGNER } from '../seal/manifest-scene.ts';
import { SIGNER } from '../seal/seal-scene.ts';

const OWNER = { purpose: 'private-object', charterDigest: CHARTER, party: 1 } as const;
const id = (byte: string) => parseRequestId(byte.repeat(32));
export const PATHS: readonly PrivatePath[] = [
  ['SigningKey', id('a1')],
  ['Governance', id('a2')],
  ['FheKeyInfo', id('b1'), id('c1')],
];
const contentOf = (index: number): Buffer => Buffer.from(`content ${index} `.repeat(index === 2 ? 20_000 : 30));

/** Opens the vault as a new server of the party. */
export async function openServer(storage: Storage, incarnation: number, keyring: DataKeyring) {
  const asked = { ...OWNER, signer: MANIFEST_SIGNER.publicKey };
  const head = await ManifestHead.open({ storage, signer: MANIFEST_SIGNER, asked, incarnation, needsFence: false });
  await head.advance();
  const sealer = { signer: SIGNER, keyring };
  const store = new SealedStore({ storage, head, sealer, onLeftover: () => {} });
  const vault = new PrivateVault(sealedKeeper({ name: keyring.name, head, store, owner: OWNER }));
  return { vault, parts: { head, store, sealer, storage, owner: OWNER } };
}

type Server = Awaited<ReturnType<typeof openServer>>;

/** Writes the three objects. */
export async function fill({ vault }: Server): Promise<void> {
  for (const [index, path] of PATHS.entries()) await vault.put(path, contentOf(index));
}

/** Whether all three are read as they were written. */
export async function isWhole({ vault }: Server): Promise<boolean> {
  const found = await Promise.all(
    PATHS.map((path, index) => vault.read(path, (content) => contentOf(index).equals(content))),
  );
  return found.every((same) => same);
}

/** Root keys of everything that the manifest names. */
export async function rootsOf({ parts: { head, storage } }: Server): Promise<Set<string | undefined>> {
  const named = [...head.entries()].flatMap(([name, { writing }]) =>
    writing === undefined ? [] : [peekHead(storage, [...name.split('/'), writing.place])],
  );
  return new Set((await Promise.all(named)).map((object) => object?.wrapped.keyId));
}
