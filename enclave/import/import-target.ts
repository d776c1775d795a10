/**
 * A node that a key is imported into: what it is, by what its vault holds, and how its share of the import is written.
 *
 * The node is stopped: whoever imports has its vaults alone. Shares and keys are secret, in native memory.
 */
import { toHex } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import { NodeKey } from '../../native/engine/index.ts';
import type { Storage } from '../../storage/storage.ts';
import { type RequestId, SIGNING_KEY_ID } from '../../wire/ids.ts';
import { decodePrivateSigKey } from '../../wire/signing-keys.ts';
import { decodeEpochData, type EpochData } from '../contexts/epoch-data.ts';
import type { EpochScopedType, PrivateVault } from '../vault/private-vault.ts';

/** One node. */
export interface ImportTarget {
  /** For people: where its configuration stands. */
  readonly name: string;
  /** Its number, by its charter. */
  readonly party: number;
  /** Whether it is configured as a party of a quorum. */
  readonly threshold: boolean;
  readonly vault: PrivateVault;
  readonly publicVault: Storage;
  /** The vault was never used, and has got the moved-in signing key when it was opened. */
  readonly hasAdopted?: boolean | undefined;
}

/** A target that has to be closed. */
export type OpenedTarget = ImportTarget & AsyncDisposable;

/** The parties that a key is split for. */
export interface QuorumShape {
  readonly n: number;
  readonly t: number;
  readonly contextId: RequestId;
}

const KEY_TYPES: readonly EpochScopedType[] = ['FhePrivateKey', 'FheKeyInfo', 'DecompressionKeyInfo'];

/**
 * Checks that nodes can take a key of this id, and returns the quorum that they are; undefined for one centralized node.
 *
 * @throws KmsError `PRECONDITION_FAILED` with everything that is missing; `ALREADY_EXISTS` naming who has such a key;
 *   `STATE_INVALID` for nodes that are not one quorum, or whose vaults are damaged.
 */
export async function requireTargets(
  targets: readonly ImportTarget[],
  epochId: RequestId,
  keyId: RequestId,
): Promise<QuorumShape | undefined> {
  const missing: string[] = [];
  const existing: string[] = [];
  for (const { name, vault, threshold } of targets) {
    await vault.checkKinds();
    if (!(await vault.has(['SigningKey', SIGNING_KEY_ID]))) missing.push(`${name} has no identity`);
    else if (threshold && !(await vault.has(['EpochData', epochId]))) missing.push(`${name} has no epoch ${epochId}`);
    for (const type of KEY_TYPES) if (await vault.has([type, epochId, keyId])) existing.push(`${name} (${type})`);
  }
  if (missing.length > 0) {
    const message = `${missing.join(', ')}: start the nodes, make the epoch if it is to be another than the default, and stop them`;
    throw new KmsError('PRECONDITION_FAILED', message);
  }
  if (existing.length > 0) {
    throw new KmsError('ALREADY_EXISTS', `a key of this id exists already in ${existing.join(', ')}`, { keyId });
  }
  return await quorumOf(targets, epochId);
}

async function quorumOf(targets: readonly ImportTarget[], epochId: RequestId): Promise<QuorumShape | undefined> {
  const [first] = targets;
  if (targets.length === 1 && first && !first.threshold) return undefined;
  if (!first || targets.some(({ threshold }) => !threshold)) throw notOne('not all of them have [threshold]');
  const epochs = new Map<number, Omit<EpochData, 'keys'>>();
  for (const { vault, party } of targets) {
    const { keys: _wiped, ...epoch } = await vault.read(['EpochData', epochId], decodeEpochData);
    if (epoch.party !== party) throw notOne(`party ${party} is party ${epoch.party} in the epoch`);
    epochs.set(party, epoch);
  }
  const [epoch, ...others] = epochs.values();
  if (!epoch) throw notOne('there is none');
  const { n, t, contextId } = epoch;
  const all = Array.from({ length: n }, (_, index) => index + 1);
  const absent = all.filter((party) => !epochs.has(party));
  if (absent.length > 0 || targets.length !== n) throw notOne(`they are ${targets.length}, it has ${n} parties`);
  const setUp = ({ setUpId, contextId: id }: typeof epoch) => `${id} ${toHex(setUpId)}`;
  if (others.some((other) => setUp(other) !== setUp(epoch))) throw notOne('they have other set-ups of the epoch');
  return { n, t, contextId };
}

/** Opens the key that a node signs with. The caller disposes of it. */
export async function openSigningKey({ vault }: ImportTarget): Promise<NodeKey> {
  return await vault.read(['SigningKey', SIGNING_KEY_ID], (content) => NodeKey.fromBytes(decodePrivateSigKey(content)));
}

function notOne(why: string): KmsError {
  return new KmsError('STATE_INVALID', `the nodes are not one whole quorum: ${why}`);
}
