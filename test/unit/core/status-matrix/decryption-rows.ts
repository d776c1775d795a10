/** Rows of the status matrix: both kinds of decryption, which differ in names only. */

import { KmsError } from '../../../../common/errors.ts';
import type { SigningSchemeType } from '../../../../proto/gen/kms_pb.js';
import { ENGINE_METHOD } from '../../../../wire/frames.ts';
import { DOMAIN, idBody, newEpoch, publicDecryption, userDecryption } from '../requests.ts';
import type { TestCore } from '../test-core.ts';
import {
  A,
  all,
  B,
  BAD_ID,
  C,
  EMPTY,
  engineGone,
  engineNeverThere,
  GARBAGE,
  NO_TOKENS,
  never,
  ok,
  type Row,
  row,
  SHORT,
  say,
  settled,
  ZERO_ID,
} from './situations.ts';

/** The rows of both kinds of decryption: they differ in names only. */
export function decryptionRows(kind: 'public_decrypt' | 'user_decrypt'): Row[] {
  const isPublic = kind === 'public_decrypt';
  const start = isPublic ? 'PublicDecrypt' : 'UserDecrypt';
  const sync = `${start}Sync`;
  const result = isPublic ? 'GetPublicDecryptionResult' : 'GetUserDecryptionResult';
  const method = isPublic ? ENGINE_METHOD.publicDecrypt : ENGINE_METHOD.userDecrypt;
  const request = (id: string, change: Parameters<typeof publicDecryption>[1] = {}): Uint8Array =>
    isPublic ? publicDecryption(id, change) : userDecryption(id, change as Parameters<typeof userDecryption>[1]);
  const noItems = isPublic ? publicDecryption(A, { ciphertexts: [] }) : userDecryption(A, { typedCiphertexts: [] });
  const done = all(ok(start, request(A)), settled(kind, A));
  const failing = say(method, new KmsError('CIPHERTEXT_INVALID', 'not a ciphertext'));
  const failed = all(failing, ok(start, request(A)), settled(kind, A));
  const hanging = ({ engine }: TestCore): void => void engine.answers.set(method, never);

  const starts = [start, sync].flatMap((rpc): Row[] => [
    row(rpc, 'all is well', 'OK', request(A)),
    row(rpc, 'the id is upper case with 0x', 'OK', request(` 0x${A.toUpperCase()} `)),
    row(rpc, 'the bucket is empty, and the request no request', 'RESOURCE_EXHAUSTED', GARBAGE, { options: NO_TOKENS }),
    row(rpc, 'the request is no request', 'INVALID_ARGUMENT', GARBAGE),
    row(rpc, 'it is empty', 'INVALID_ARGUMENT', EMPTY),
    row(rpc, 'the id is malformed', 'INVALID_ARGUMENT', request(BAD_ID)),
    row(rpc, 'the id is zero', 'INVALID_ARGUMENT', request(ZERO_ID)),
    row(rpc, 'the key id is missing', 'INVALID_ARGUMENT', request(A, { keyId: undefined })),
    row(rpc, 'the domain is missing', 'INVALID_ARGUMENT', request(A, { domain: undefined })),
    row(
      rpc,
      'the salt has 31 bytes',
      'INVALID_ARGUMENT',
      request(A, { domain: { ...DOMAIN, salt: new Uint8Array(31) } }),
    ),
    row(
      rpc,
      'a signing scheme is unknown',
      'INVALID_ARGUMENT',
      request(A, { signingSchemes: [9 as SigningSchemeType] }),
    ),
    row(rpc, 'there is nothing to decrypt', 'INVALID_ARGUMENT', noItems),
    row(rpc, 'the context is malformed', 'INVALID_ARGUMENT', request(A, { contextId: { requestId: 'x' } })),
    row(rpc, 'the context is unknown', 'NOT_FOUND', request(A, { contextId: { requestId: B } })),
    row(rpc, 'the epoch is unknown', 'NOT_FOUND', request(A, { epochId: { requestId: B } })),
    row(rpc, 'the key is unknown', 'NOT_FOUND', request(A, { keyId: { requestId: B } })),
    row(rpc, 'the key is a decompression key', 'NOT_FOUND', request(A, { keyId: { requestId: B } }), {
      before: ({ engine }) => engine.setKeys([C], [], [B]),
    }),
    row(rpc, 'the key is of another epoch', 'NOT_FOUND', request(A, { epochId: { requestId: C } }), {
      before: ok('NewMpcEpoch', newEpoch(C)),
    }),
    row(rpc, 'the engine is away', 'UNAVAILABLE', request(A), { before: engineGone }),
    row(rpc, 'the engine was never there', 'UNAVAILABLE', request(A), { before: engineNeverThere }),
    row(rpc, 'another request has the id', 'ALREADY_EXISTS', request(A, { extraData: Uint8Array.of(1) }), {
      before: done,
    }),
    row(rpc, 'another request failed under the id', 'ALREADY_EXISTS', request(A, { extraData: Uint8Array.of(1) }), {
      before: failed,
    }),
    row(rpc, 'the store is full of requests that run', 'RESOURCE_EXHAUSTED', request(A), {
      options: { capacity: { decCapacity: 1, minDecCache: 0 } },
      before: all(hanging, ok(start, request(B))),
    }),
    row(rpc, 'the store is full of requests too fresh to go', 'RESOURCE_EXHAUSTED', request(A), {
      options: { capacity: { decCapacity: 1, minDecCache: 1 } },
      before: all(ok(start, request(B)), settled(kind, B)),
    }),
    row(rpc, 'the store is full of requests that may go', 'OK', request(A), {
      options: { capacity: { decCapacity: 1, minDecCache: 0 } },
      before: all(ok(start, request(B)), settled(kind, B)),
    }),
  ]);
  return [
    ...starts,
    row(start, 'the id is running', 'ALREADY_EXISTS', request(A), { before: all(hanging, ok(start, request(A))) }),
    row(start, 'the id is done', 'ALREADY_EXISTS', request(A), { before: done }),
    row(start, 'the id has failed: it runs again', 'OK', request(A), { before: failed }),
    row(start, 'the ciphertext is bad: that shows later', 'OK', request(A), { before: failing }),
    row(sync, 'the ciphertext is bad', 'INTERNAL', request(A), { before: failing }),
    row(sync, 'the engine breaks', 'INTERNAL', request(A), { before: say(method, new KmsError('INTERNAL', 'x')) }),
    row(sync, 'the engine aborts', 'ABORTED', request(A), { before: say(method, new KmsError('ABORTED', 'x')) }),
    row(sync, 'the engine goes away', 'UNAVAILABLE', request(A), {
      before: say(method, new KmsError('UNAVAILABLE', 'x')),
    }),
    row(sync, 'the engine has too much to do', 'RESOURCE_EXHAUSTED', request(A), {
      before: say(method, new KmsError('RESOURCE_EXHAUSTED', 'x')),
    }),
    row(sync, 'it takes too long', 'UNAVAILABLE', request(A), { options: SHORT, before: hanging }),
    row(sync, 'the id is running and takes too long', 'UNAVAILABLE', request(A), {
      options: SHORT,
      before: all(hanging, ok(start, request(A))),
    }),
    row(sync, 'the id is done: its result', 'OK', request(A), { before: done }),
    row(sync, 'the id is done and the engine away', 'OK', request(A), { before: all(done, engineGone) }),
    row(sync, 'the id has failed and fails again', 'INTERNAL', request(A), { before: failed }),
    row(sync, 'the id has failed and now succeeds', 'OK', request(A), {
      before: all(failed, ({ engine }) => void engine.answers.set(method, () => EMPTY)),
    }),
    row(result, 'it is done', 'OK', idBody(A), { before: done }),
    row(result, 'it is done and asked for in another form', 'OK', idBody(`0x${A.toUpperCase()}`), { before: done }),
    row(result, 'it came by a sync call', 'OK', idBody(A), { before: ok(sync, request(A)) }),
    row(result, 'the id is malformed', 'INVALID_ARGUMENT', idBody(BAD_ID)),
    row(result, 'the request is no request', 'INVALID_ARGUMENT', GARBAGE),
    row(result, 'the id is unknown', 'NOT_FOUND', idBody(A)),
    row(result, 'the id is of the other kind of decryption', 'NOT_FOUND', idBody(A), {
      before: ok(isPublic ? 'UserDecrypt' : 'PublicDecrypt', isPublic ? userDecryption(A) : publicDecryption(A)),
    }),
    row(result, 'it was dropped', 'NOT_FOUND', idBody(A), {
      options: { capacity: { decCapacity: 1, minDecCache: 0 } },
      before: all(done, ok(sync, request(B))),
    }),
    row(result, 'it still runs', 'UNAVAILABLE', idBody(A), {
      options: SHORT,
      before: all(hanging, ok(start, request(A))),
    }),
    row(result, 'it has failed', 'INTERNAL', idBody(A), { before: failed }),
    row(result, 'it was aborted', 'ABORTED', idBody(A), {
      before: all(say(method, new KmsError('ABORTED', 'x')), ok(start, request(A)), settled(kind, A)),
    }),
  ];
}
