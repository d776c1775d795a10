/**
 * Failures as the link carries them. What is not one of ours says nothing about itself: it may quote its input.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { isErrorCode, isKmsError, KmsError } from '../../common/errors.ts';
import { CallErrorSchema } from '../../proto/gen/engine_pb.js';

/** Codes after which the same call may succeed later. */
const RETRY_CODES: ReadonlySet<string> = new Set(['UNAVAILABLE', 'RESOURCE_EXHAUSTED', 'NOT_FOUND']);
const MAX_MESSAGE_CHARACTERS = 1024;

/** Returns an encoded engine.v1.CallError. */
export function encodeCallError(error: unknown): Uint8Array {
  const known = isKmsError(error) ? error : new KmsError('INTERNAL', 'the engine failed');
  const facts = Object.fromEntries(Object.entries(known.facts).map(([name, fact]) => [name, String(fact)]));
  return toBinary(
    CallErrorSchema,
    create(CallErrorSchema, {
      code: known.code,
      message: known.message.slice(0, MAX_MESSAGE_CHARACTERS),
      facts,
      retry: RETRY_CODES.has(known.code),
    }),
  );
}

/** Reads an engine.v1.CallError that a peer sent; codes that do not exist become `INTERNAL`. */
export function decodeCallError(payload: Uint8Array): KmsError {
  const { code, message } = fromBinary(CallErrorSchema, payload);
  return new KmsError(isErrorCode(code) ? code : 'INTERNAL', message.slice(0, MAX_MESSAGE_CHARACTERS));
}
