/**
 * Notes in a vault that custodians have just restored that their context is used up: the node that starts from it seals
 * nothing under a key that was brought together, and asks for a new context.
 */
import { concatBytes } from '../../common/bytes.ts';
import { isKmsError } from '../../common/errors.ts';
import { openRecoveryMaterial } from '../../wire/custodian/recovery-material.ts';
import type { ObjectOwner } from '../backup/object-owner.ts';
import type { RestoreTarget } from '../backup/restore.ts';
import {
  BOOK_NAME,
  type CustodianBook,
  contextOf,
  decodeBook,
  EMPTY_BOOK,
  encodeBook,
  spentBook,
} from '../custodians/custodian-book.ts';
import type { FoundCustodians } from './lost-custodians.ts';

/** See the file comment. The book that was backed up may be older than the context itself. */
export async function markSpent(
  { store }: Pick<RestoreTarget, 'store'>,
  { describe }: Pick<ObjectOwner, 'describe'>,
  found: FoundCustodians,
): Promise<void> {
  const object = describe(BOOK_NAME);
  const book = await store.read(object, readAll).catch((error: unknown) => {
    if (isKmsError(error, 'NOT_FOUND')) return EMPTY_BOOK;
    throw error;
  });
  const content = encodeBook(withSpent(book, found));
  await store.put(object, once(content), { sizeBytes: content.byteLength });
}

function withSpent(book: CustodianBook, { statement, material, verificationKey }: FoundCustodians): CustodianBook {
  const { contextId, sequence } = statement;
  const known = contextOf(book, contextId) !== undefined;
  const { mpcContextId } = openRecoveryMaterial(material, verificationKey);
  const missing = { contextId, mpcContextId, createdMs: 0, spent: true, material };
  const contexts = known ? book.contexts : [...book.contexts, missing];
  return spentBook({ sequence: Math.max(book.sequence, sequence) + 1, active: contextId, contexts }, contextId);
}

async function readAll(content: AsyncIterable<Uint8Array>): Promise<CustodianBook> {
  const pieces: Uint8Array[] = [];
  for await (const piece of content) pieces.push(Uint8Array.from(piece));
  return decodeBook(concatBytes(...pieces));
}

async function* once(content: Uint8Array): AsyncGenerator<Uint8Array> {
  yield content;
}
