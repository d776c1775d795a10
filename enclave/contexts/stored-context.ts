/**
 * A context as the vault keeps it: `Context/<context id>`. Public. Format: docs/formats/private-objects.md.
 *
 * The default context stands in the governed record and is not stored, but that it was destroyed is.
 */
import { KmsError } from '../../common/errors.ts';
import { ADDRESS_BYTES } from '../../wire/addresses.ts';
import { ID_BYTES, idBytes, idFromBytes, type RequestId } from '../../wire/ids.ts';
import { decodeSafe, encodeSafe } from '../../wire/safe-serialize.ts';
import type { ContextParty } from './contexts.ts';
import { thresholdOf } from './governed-context.ts';

/** What is kept of a context: who its parties are. Where they listen, the governed record says. */
export interface StoredContext {
  readonly contextId: RequestId;
  /** Ascending from 1 by number; none for the default context once it was destroyed. */
  readonly nodes: readonly Omit<ContextParty, 'endpoint'>[];
}

const TYPE_NAME = 'arca::Context';
const VERSION = 0;
const NODE_BYTES = 4 + ADDRESS_BYTES;

/** Returns the stored form. */
export function encodeContext({ contextId, nodes }: StoredContext): Uint8Array {
  return encodeSafe(TYPE_NAME, 4 + ID_BYTES + 8 + nodes.length * NODE_BYTES, (writer) => {
    writer.u32(VERSION).raw(idBytes(contextId)).u64(nodes.length);
    for (const { party, address } of nodes) writer.u32(party).raw(address);
  });
}

/**
 * Reads the stored form; what it returns is a copy.
 *
 * @throws KmsError `REQUEST_INVALID`, `STATE_INVALID` saying what is wrong.
 */
export function decodeContext(bytes: Uint8Array): StoredContext {
  const context = decodeSafe(bytes, TYPE_NAME, (reader) => {
    reader.expectU32(VERSION, 'Context version');
    const contextId = idFromBytes(reader.raw(ID_BYTES), 'context_id');
    const node = () => ({ party: reader.u32(), address: Uint8Array.from(reader.raw(ADDRESS_BYTES)) });
    return { contextId, nodes: reader.list(NODE_BYTES, node) };
  });
  const { nodes } = context;
  const isQuorum = nodes.length === 0 || thresholdOf(nodes.length) !== undefined;
  if (!isQuorum || nodes.some(({ party }, index) => party !== index + 1)) {
    throw new KmsError('STATE_INVALID', 'its nodes are no quorum');
  }
  return context;
}
