/**
 * Decodes request messages off the link. Byte fields are views into the frame, so a ciphertext is never copied here.
 */
import { type DescMessage, fromBinary, type MessageShape } from '@bufbuild/protobuf';
import { KmsError } from '../common/errors.ts';

/** Fields that nobody knows would only be carried along. */
const OPTIONS = { readUnknownFields: false } as const;

/**
 * Decodes `body`.
 *
 * @throws KmsError `REQUEST_INVALID` if it is not such a message.
 */
export function decodeRequest<Desc extends DescMessage>(schema: Desc, body: Uint8Array): MessageShape<Desc> {
  try {
    return fromBinary(schema, body, OPTIONS);
  } catch {
    // The library's error may quote what it read.
    throw new KmsError('REQUEST_INVALID', `not an encoded ${schema.typeName}`);
  }
}
