/**
 * From what lies in the storage to a vault whose head this engine holds: the node's key first, which shows by itself who
 * signed the rest. SECRET: the node's key, on its way into native memory.
 */
import { equalBytes } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import type { RandomSource } from '../../common/random.ts';
import type { NodeKey } from '../../native/engine/index.ts';
import type { Storage } from '../../storage/storage.ts';
import { formatAddress } from '../../wire/addresses.ts';
import { decodePrivateSigKey, encodePrivateSigKey } from '../../wire/signing-keys.ts';
import type { DataKeyring } from '../keychain/data-keys.ts';
import { type ManifestOwner, type ManifestPoint, manifestDigest, manifestSigner } from '../seal/manifest.ts';
import { ManifestHead } from '../seal/manifest-head.ts';
import { objectSigner } from '../seal/object-signatures.ts';
import { openWhole } from '../seal/open-object.ts';
import { peekHead } from '../seal/peek-head.ts';
import { sealFault } from '../seal/seal-faults.ts';
import type { Sealer } from '../seal/seal-object.ts';
import { SealedStore } from '../seal/sealed-store.ts';
import type { PutBack, VaultParts } from './open-vault.ts';
import type { PartyInRecord } from './party-in-record.ts';
import { type FoundVault, foundVault, putBackFault } from './remembered-vault.ts';
import { sealedKeeper } from './sealed-keeper.ts';
import { storedObject } from './stored-object.ts';
import { SIGNING_KEY_PATH, type VaultState } from './vault-state.ts';

/** What the head is opened with. */
export interface HeadParts {
  readonly parts: VaultParts;
  readonly owner: ManifestOwner;
  readonly inRecord: PartyInRecord;
  readonly storage: Storage;
  readonly keyring: DataKeyring;
  readonly random: RandomSource;
  readonly remembered: ManifestPoint | undefined;
  /** Makes the node's key for a vault without a manifest; a new one unless given. */
  readonly firstKey?: (() => Promise<NodeKey>) | undefined;
}

/** A vault whose head this engine holds. */
export interface SealedParts {
  readonly key: NodeKey;
  readonly head: ManifestHead;
  readonly store: SealedStore;
  readonly sealer: Sealer;
  readonly incarnation: number;
  /** The state before this start; undefined for a vault without a manifest. */
  readonly found: FoundVault | undefined;
}

/** A vault whose head this engine has left alone: somebody remembers a newer one. */
export interface PutBackVault {
  readonly putBack: PutBack;
  /** Of the node whose vault it is. */
  readonly address: Uint8Array;
}

const NAME = SIGNING_KEY_PATH.join('/');
const MAX_KEY_BYTES = 4096;

/**
 * See the file comment. A vault without a manifest gets the node's key as its first object; one that was put back stays as it
 * is, so that no number of starts makes it look newer.
 *
 * @throws KmsError `ABORTED` if another server moved the head meanwhile; `STATE_INVALID` naming what cannot be used.
 */
export async function openHead(state: VaultState, parts: HeadParts): Promise<SealedParts | PutBackVault> {
  const { native } = parts.parts;
  const { manifest } = state;
  const { firstKey = async () => native.NodeKey.generate() } = parts;
  const key = await (manifest === undefined ? firstKey() : openKey(state, parts));
  try {
    if (manifest === undefined && parts.firstKey !== undefined) await requireNewcomer(key, parts);
    const incarnation = (manifest?.incarnation ?? 0) + 1;
    const sealed = await openStore(key, incarnation, parts, manifest === undefined);
    const { head, store, sealer } = sealed;
    const found = head.point?.digest;
    const isAsSeen = manifest === undefined ? found === undefined : equalBytes(found ?? NONE, manifestDigest(manifest));
    if (!isAsSeen) throw moved();
    if (manifest === undefined) {
      await storeKey(key, { head, store, owner: parts.owner, name: sealer.keyring.name });
      return { key, incarnation, found: undefined, ...sealed };
    }
    const before = foundVault(manifest);
    const why = putBackFault(before, (await parts.parts.recall?.(key)) ?? []);
    if (why !== undefined) {
      // Not if another server writes at this moment, of which the memory knows already.
      await head.check();
      const address = Uint8Array.from(key.address);
      key.dispose();
      return { putBack: { why, digest: before.digest }, address };
    }
    const memory = parts.parts.memoryAtStart?.(head.memory, before);
    if (memory !== undefined) head.remember(memory);
    // Also a takeover: whoever held the head before has lost it now.
    await head.advance();
    return { key, incarnation, found: before, ...sealed };
  } catch (error) {
    key.dispose();
    throw error;
  }
}

/**
 * A key moves in once: nobody remembers a vault of it, and it is the one that governance has named, if that has named one.
 * Whoever empties the vault could else start the node anew from what it once came from.
 */
async function requireNewcomer(key: NodeKey, { parts, inRecord }: HeadParts): Promise<void> {
  checkAddress(key, inRecord.address);
  const [memory] = (await parts.recall?.(key)) ?? [];
  if (memory === undefined) return;
  const message = `the private vault is empty, and ${memory.by} knows a vault of the key that would move in`;
  throw new KmsError('STATE_INVALID', `${message}: restore it from there`, { fault: 'moved-in-before' });
}

const NONE = new Uint8Array(0);

async function openStore(
  key: NodeKey,
  incarnation: number,
  { parts, owner, storage, keyring, random, remembered }: HeadParts,
  isFirst: boolean,
): Promise<Pick<SealedParts, 'head' | 'store' | 'sealer'>> {
  const signer = manifestSigner(key);
  const asked = { ...owner, signer: signer.publicKey, remembered };
  const { onLost, log } = parts;
  const head = await ManifestHead.open({ storage, signer, asked, incarnation, needsFence: false, onLost }).catch(
    (error: unknown) => {
      // There was none a moment ago: it is that of another server's first start.
      throw isFirst && error instanceof KmsError && error.facts.fault === 'forged' ? moved(error) : error;
    },
  );
  const sealer: Sealer = { signer: objectSigner(key), keyring, random };
  const onLeftover = (path: readonly string[], err: unknown): void =>
    log.warn({ event: 'vault.leftover', object: path.join('/'), err });
  return { head, store: new SealedStore({ storage, head, sealer, onLeftover }), sealer };
}

async function storeKey(
  key: NodeKey,
  keeper: Pick<SealedParts, 'head' | 'store'> & { readonly owner: ManifestOwner; readonly name: string },
): Promise<void> {
  const secret = key.secretBytes();
  const content = encodePrivateSigKey(secret);
  try {
    await sealedKeeper(keeper).put(SIGNING_KEY_PATH, content, false);
  } finally {
    secret.fill(0);
    content.fill(0);
  }
}

/** Opens the key that the manifest names; it has to have sealed itself, and to be the one that governance named. */
async function openKey(
  { signingKey }: VaultState,
  { parts, owner, inRecord, storage, keyring }: HeadParts,
): Promise<NodeKey> {
  if (signingKey === undefined) {
    const message = `the vault's manifest names no ${NAME}: restore the vault from a backup`;
    throw new KmsError('STATE_INVALID', message, { fault: 'no-signing-key' });
  }
  const { version, writing } = signingKey;
  const path = [...NAME.split('/'), writing.place];
  const object = storedObject(SIGNING_KEY_PATH, owner);
  const claimed = await peekHead(storage, path).catch((error: unknown) => {
    if (!(error instanceof KmsError && error.code === 'NOT_FOUND')) throw error;
    const message = `the vault's manifest names ${NAME}, but it is not there: restore the vault from a backup`;
    throw new KmsError('STATE_INVALID', message, { fault: 'no-signing-key' }, error);
  });
  if (claimed === undefined) throw sealFault(NAME, ['not-sealed']);
  const asked = { ...object, signer: claimed.signer, notBefore: version, digest: writing.digest };
  const { stream } = await storage.open(path);
  const content = await openWhole(stream, asked, { keyring, maxBytes: MAX_KEY_BYTES });
  let key: NodeKey;
  try {
    key = parts.native.NodeKey.fromBytes(decodePrivateSigKey(content));
  } finally {
    content.fill(0);
  }
  try {
    if (!equalBytes(objectSigner(key).publicKey, claimed.signer)) throw sealFault(NAME, ['other-signer']);
    checkAddress(key, inRecord.address);
    return key;
  } catch (error) {
    key.dispose();
    throw error;
  }
}

function checkAddress({ address }: NodeKey, named: Uint8Array | undefined): void {
  if (named === undefined || equalBytes(address, named)) return;
  const [found, expected] = [formatAddress(address), formatAddress(named)];
  const message = `the private vault is that of ${found}, and the governed record names ${expected} as this party: check bucket and prefix`;
  throw new KmsError('STATE_INVALID', message, { fault: 'other-node', found, expected });
}

function moved(cause?: unknown): KmsError {
  return new KmsError('ABORTED', 'another server of this party has taken over while this one started', {}, cause);
}
