/**
 * The custodian contexts of a node as its vault keeps them: `Custodians/<id of the signing key>`. Public, all of it; it stands
 * in the vault so that the manifest says which context is in force, and not whoever lists the backup storage.
 *
 * Format: docs/formats/custodian-keys.md.
 */
import { equalBytes } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import { ID_BYTES, idBytes, idFromBytes, type RequestId, SIGNING_KEY_ID } from '../../wire/ids.ts';
import { decodeSafe, encodeSafe } from '../../wire/safe-serialize.ts';
import type { PrivateVault } from '../vault/private-vault.ts';

/** One custodian context. */
export interface KeptContext {
  readonly contextId: RequestId;
  readonly mpcContextId: RequestId;
  readonly createdMs: number;
  /** Whether a recovery has brought its key together: nothing is sealed under it any more. */
  readonly spent: boolean;
  /** Signed recovery material, in its published form. */
  readonly material: Uint8Array;
}

/** All of them. */
export interface CustodianBook {
  /** One more with each change. */
  readonly sequence: number;
  /** The one in force, also when it is spent; undefined before the first. */
  readonly active: RequestId | undefined;
  /** In the order in which they were made. */
  readonly contexts: readonly KeptContext[];
}

/** A node that has had no custodians yet. */
export const EMPTY_BOOK: CustodianBook = { sequence: 0, active: undefined, contexts: [] };

const TYPE_NAME = 'arca::Custodians';
const VERSION = 0;
const PATH = ['Custodians', SIGNING_KEY_ID] as const;

/** Name of the book among the objects of a vault. */
export const BOOK_NAME: string = PATH.join('/');

const LEAST_CONTEXT_BYTES = 2 * ID_BYTES + 8 + 1 + 8;

/** Reads the book of a vault, an empty one if there is none. Throws `STATE_INVALID` for one that is damaged. */
export async function loadBook(vault: Pick<PrivateVault, 'has' | 'read'>): Promise<CustodianBook> {
  return (await vault.has(PATH)) ? await vault.read(PATH, decodeBook) : EMPTY_BOOK;
}

/** Writes the book; it is in force once this returns. */
export async function saveBook(vault: Pick<PrivateVault, 'put'>, book: CustodianBook): Promise<void> {
  await vault.put(PATH, encodeBook(book), { replace: true });
}

/** Returns the context of an id. */
export function contextOf(book: CustodianBook, contextId: RequestId | undefined): KeptContext | undefined {
  return book.contexts.find((context) => context.contextId === contextId);
}

/** Returns the book with a context whose key was brought together. */
export function spentBook(book: CustodianBook, contextId: RequestId | undefined): CustodianBook {
  const contexts = book.contexts.map((kept) => (kept.contextId === contextId ? { ...kept, spent: true } : kept));
  return { ...book, contexts };
}

/** Returns the stored form. */
export function encodeBook({ sequence, active, contexts }: CustodianBook): Uint8Array {
  const sizeBytes = contexts.reduce((sum, { material }) => sum + LEAST_CONTEXT_BYTES + material.byteLength, 0);
  return encodeSafe(TYPE_NAME, 4 + 8 + ID_BYTES + 8 + sizeBytes, (writer) => {
    writer.u32(VERSION).u64(sequence);
    writer.raw(active === undefined ? new Uint8Array(ID_BYTES) : idBytes(active)).u64(contexts.length);
    for (const { contextId, mpcContextId, createdMs, spent, material } of contexts) {
      writer.raw(idBytes(contextId)).raw(idBytes(mpcContextId)).u64(createdMs).bool(spent).vec(material);
    }
  });
}

/**
 * Reads the stored form; what it returns is a copy.
 *
 * @throws KmsError `REQUEST_INVALID`, `STATE_INVALID` saying what is wrong.
 */
export function decodeBook(bytes: Uint8Array): CustodianBook {
  const book = decodeSafe(bytes, TYPE_NAME, (reader): CustodianBook => {
    reader.expectU32(VERSION, 'Custodians version');
    const sequence = reader.u64();
    const id = reader.raw(ID_BYTES);
    const active = equalBytes(id, new Uint8Array(ID_BYTES)) ? undefined : idFromBytes(id, 'active');
    const contexts = reader.list(LEAST_CONTEXT_BYTES, () => ({
      contextId: idFromBytes(reader.raw(ID_BYTES), 'context_id'),
      mpcContextId: idFromBytes(reader.raw(ID_BYTES), 'mpc_context_id'),
      createdMs: reader.u64(),
      spent: reader.bool(),
      material: Uint8Array.from(reader.vec()),
    }));
    return { sequence, active, contexts };
  });
  const ids = new Set(book.contexts.map(({ contextId }) => contextId));
  if (ids.size !== book.contexts.length) throw new KmsError('STATE_INVALID', 'it names a custodian context twice');
  if (book.active !== undefined && !ids.has(book.active)) {
    throw new KmsError('STATE_INVALID', 'the custodian context in force is not in it');
  }
  return book;
}
