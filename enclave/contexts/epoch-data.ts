/**
 * An epoch as the vault keeps it: `EpochData/<epoch id>`, with this party's mask keys.
 *
 * Secret, so the encoding lies in an ArrayBuffer of its own, which the caller wipes, and a decoded epoch is a view of
 * the bytes it was read from, which end with them. Format: docs/formats/private-objects.md.
 */
import { KmsError } from '../../common/errors.ts';
import { ID_BYTES, idBytes, idFromBytes, type RequestId } from '../../wire/ids.ts';
import { decodeSafe, encodeSafe } from '../../wire/safe-serialize.ts';
import { partySets } from '../mpc/party-sets.ts';
import { thresholdOf } from './governed-context.ts';

/** What is kept of an epoch. */
export interface EpochData {
  readonly contextId: RequestId;
  readonly n: number;
  readonly t: number;
  readonly party: number;
  /** Names the set-up, the same at all parties and never used for two. */
  readonly setUpId: Uint8Array;
  /** Whether this party knows that all others have stored it, too; only the default epoch waits for that. */
  readonly settled: boolean;
  /** Secret: 32 bytes for each set of n - t parties that holds this one, in lexicographic order. */
  readonly keys: readonly Uint8Array[];
}

const TYPE_NAME = 'arca::EpochData';
const VERSION = 0;
const SET_UP_ID_BYTES = 32;
const KEY_BYTES = 32;
const FIXED_BYTES = 4 + ID_BYTES + 3 * 4 + SET_UP_ID_BYTES + 1 + 8;

/** Returns the stored form; the caller wipes it. */
export function encodeEpochData(data: EpochData): Uint8Array {
  const { contextId, n, t, party, setUpId, settled, keys } = data;
  return encodeSafe(TYPE_NAME, FIXED_BYTES + keys.length * KEY_BYTES, (writer) => {
    writer.u32(VERSION).raw(idBytes(contextId)).u32(n).u32(t).u32(party);
    writer.raw(setUpId).bool(settled).u64(keys.length);
    for (const key of keys) writer.raw(key);
  });
}

/**
 * Reads the stored form. Keys are views of `bytes`.
 *
 * @throws KmsError `REQUEST_INVALID`, `STATE_INVALID` saying what is wrong.
 */
export function decodeEpochData(bytes: Uint8Array): EpochData {
  const data = decodeSafe(bytes, TYPE_NAME, (reader): EpochData => {
    reader.expectU32(VERSION, 'EpochData version');
    return {
      contextId: idFromBytes(reader.raw(ID_BYTES), 'context_id'),
      n: reader.u32(),
      t: reader.u32(),
      party: reader.u32(),
      setUpId: Uint8Array.from(reader.raw(SET_UP_ID_BYTES)),
      settled: reader.bool(),
      keys: reader.list(KEY_BYTES, () => reader.raw(KEY_BYTES)),
    };
  });
  const { n, t, party, keys } = data;
  const isQuorum = t > 0 && thresholdOf(n) === t && party >= 1 && party <= n;
  if (!isQuorum || keys.length !== partySets(n, t).filter((set) => set.includes(party)).length) {
    throw new KmsError('STATE_INVALID', 'its parties and keys are not those of a quorum');
  }
  return data;
}
