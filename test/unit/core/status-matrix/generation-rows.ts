/** Rows of the status matrix: preprocessing, keys and CRSs, secure and insecure. */

import { KmsError } from '../../../../common/errors.ts';
import type { FheParameter } from '../../../../proto/gen/kms_pb.js';
import { ENGINE_METHOD } from '../../../../wire/frames.ts';
import { crsGeneration, idBody, keyGeneration, preprocessing } from '../requests.ts';
import type { TestCore } from '../test-core.ts';
import {
  A,
  abortable,
  all,
  B,
  BAD_ID,
  C,
  crsRunning,
  engineGone,
  engineNeverThere,
  GARBAGE,
  generated,
  generating,
  NO_TOKENS,
  never,
  ok,
  preprocessed,
  type Row,
  row,
  say,
  settled,
} from './situations.ts';

export function preprocessingRows(insecure: boolean): Row[] {
  const rpc = insecure ? 'InsecureKeyGenPreproc' : 'KeyGenPreproc';
  const result = insecure ? 'GetInsecureKeyGenPreprocResult' : 'GetKeyGenPreprocResult';
  const other = insecure ? 'KeyGenPreproc' : 'InsecureKeyGenPreproc';
  const hanging = ({ engine }: TestCore): void => void engine.answers.set(ENGINE_METHOD.keyGenPreproc, never);
  const failing = say(ENGINE_METHOD.keyGenPreproc, new KmsError('PRECONDITION_FAILED', 'x'));
  const done = all(ok(rpc, preprocessing(A)), settled('preproc', A));
  return [
    row(rpc, 'all is well', 'OK', preprocessing(A)),
    row(rpc, 'the bucket has room for no other', 'RESOURCE_EXHAUSTED', GARBAGE, {
      before: all(hanging, ok(rpc, preprocessing(B)), ok(rpc, preprocessing(C))),
    }),
    row(rpc, 'the request is no request', 'INVALID_ARGUMENT', GARBAGE),
    row(rpc, 'it is larger than any such request', 'RESOURCE_EXHAUSTED', new Uint8Array(256 * 1024 + 1)),
    row(rpc, 'the id is malformed', 'INVALID_ARGUMENT', preprocessing(BAD_ID)),
    row(rpc, 'the domain is missing', 'INVALID_ARGUMENT', preprocessing(A, { domain: undefined })),
    row(rpc, 'the parameters are unknown', 'INVALID_ARGUMENT', preprocessing(A, { params: 2 as FheParameter })),
    row(rpc, 'the context is unknown', 'NOT_FOUND', preprocessing(A, { contextId: { requestId: B } })),
    row(rpc, 'the epoch is unknown', 'NOT_FOUND', preprocessing(A, { epochId: { requestId: B } })),
    row(rpc, 'the id is running', 'ALREADY_EXISTS', preprocessing(A), {
      before: all(hanging, ok(rpc, preprocessing(A))),
    }),
    row(rpc, 'the id is done', 'ALREADY_EXISTS', preprocessing(A), { before: done }),
    row(rpc, 'the id has failed', 'ALREADY_EXISTS', preprocessing(A), {
      before: all(failing, ok(rpc, preprocessing(A)), settled('preproc', A)),
    }),
    row(rpc, 'the engine is away', 'UNAVAILABLE', preprocessing(A), { before: engineGone }),
    row(result, 'it is done', 'OK', idBody(A), { before: done }),
    row(result, 'it is used up', 'OK', idBody(A), { before: all(done, ok('KeyGen', keyGeneration(B, A))) }),
    row(result, 'the id is malformed', 'INVALID_ARGUMENT', idBody(BAD_ID)),
    row(result, 'the id is unknown', 'NOT_FOUND', idBody(A)),
    row(result, 'it still runs', 'UNAVAILABLE', idBody(A), { before: all(hanging, ok(rpc, preprocessing(A))) }),
    row(result, 'it has failed', 'INTERNAL', idBody(A), {
      before: all(failing, ok(rpc, preprocessing(A)), settled('preproc', A)),
    }),
    row(result, 'it was aborted', 'ABORTED', idBody(A), {
      before: all(hanging, abortable, ok(rpc, preprocessing(A)), ok('AbortKeyGen', idBody(A))),
    }),
    row(result, 'it is of the other kind', 'FAILED_PRECONDITION', idBody(A), {
      before: all(ok(other, preprocessing(A)), settled('preproc', A)),
    }),
  ];
}

export function keyGenRows(insecure: boolean): Row[] {
  const rpc = insecure ? 'InsecureKeyGen' : 'KeyGen';
  const result = insecure ? 'GetInsecureKeyGenResult' : 'GetKeyGenResult';
  const useExisting = { standardKeysetConfig: { secretKeyConfig: 1 } };
  const failing = ({ generations }: TestCore): void => {
    generations.onRun = () => Promise.reject(new KmsError('STORAGE_FULL', 'public storage is full'));
  };
  const failed = all(preprocessed, failing, ok(rpc, keyGeneration(B, A)), settled('keygen', B));
  return [
    row(rpc, 'all is well', 'OK', keyGeneration(B, A), { before: preprocessed }),
    row(rpc, 'the bucket is empty', 'RESOURCE_EXHAUSTED', GARBAGE, { options: NO_TOKENS }),
    row(rpc, 'the request is no request', 'INVALID_ARGUMENT', GARBAGE),
    row(rpc, 'the id is malformed', 'INVALID_ARGUMENT', keyGeneration(BAD_ID, A), { before: preprocessed }),
    row(rpc, 'no preprocessing is named', 'INVALID_ARGUMENT', keyGeneration(B, A, { preprocId: undefined }), {
      before: preprocessed,
    }),
    row(rpc, 'the domain is missing', 'INVALID_ARGUMENT', keyGeneration(B, A, { domain: undefined }), {
      before: preprocessed,
    }),
    row(
      rpc,
      'an existing key is to be used and none is named',
      'INVALID_ARGUMENT',
      keyGeneration(B, A, { keysetConfig: useExisting }),
      { before: preprocessed },
    ),
    row(
      rpc,
      'an existing key is to be used and is unknown',
      'NOT_FOUND',
      keyGeneration(B, A, { keysetConfig: useExisting, keysetAddedInfo: { existingKeysetId: { requestId: C } } }),
      { before: preprocessed },
    ),
    row(
      rpc,
      'the existing key is a decompression key',
      'NOT_FOUND',
      keyGeneration(B, A, { keysetConfig: useExisting, keysetAddedInfo: { existingKeysetId: { requestId: C } } }),
      { before: all(preprocessed, ({ engine }) => engine.setKeys([], [], [C])) },
    ),
    row(rpc, 'the engine has a decompression key of that id', 'ALREADY_EXISTS', keyGeneration(B, A), {
      before: all(preprocessed, ({ engine }) => engine.setKeys([], [], [B])),
    }),
    row(rpc, 'the preprocessing is unknown', 'NOT_FOUND', keyGeneration(B, A)),
    row(rpc, 'the preprocessing is running', 'UNAVAILABLE', keyGeneration(B, A), {
      before: all(
        ({ engine }) => void engine.answers.set(ENGINE_METHOD.keyGenPreproc, never),
        ok('KeyGenPreproc', preprocessing(A)),
      ),
    }),
    row(rpc, 'the preprocessing is used up', 'ALREADY_EXISTS', keyGeneration(C, A), { before: generated }),
    row(rpc, 'the preprocessing is being used', 'ALREADY_EXISTS', keyGeneration(C, A), { before: generating }),
    row(rpc, 'the context is unknown', 'NOT_FOUND', keyGeneration(B, A, { contextId: { requestId: C } }), {
      before: preprocessed,
    }),
    row(rpc, 'the epoch is unknown', 'NOT_FOUND', keyGeneration(B, A, { epochId: { requestId: C } }), {
      before: preprocessed,
    }),
    row(rpc, 'the key is known', 'ALREADY_EXISTS', keyGeneration(B, A), { before: generated }),
    row(rpc, 'the key has failed', 'ALREADY_EXISTS', keyGeneration(B, A), { before: failed }),
    row(rpc, 'the engine has the key', 'ALREADY_EXISTS', keyGeneration(B, A), {
      before: all(preprocessed, ({ engine }) => engine.setKeys([B])),
    }),
    row(rpc, 'the engine is away', 'UNAVAILABLE', keyGeneration(B, A), { before: all(preprocessed, engineGone) }),
    row(rpc, 'the engine was never there', 'UNAVAILABLE', keyGeneration(B, A), {
      before: all(preprocessed, engineNeverThere),
    }),
    row(result, 'it is done', 'OK', idBody(B), { before: generated }),
    row(result, 'the engine has the key and the store has never heard of it', 'OK', idBody(B), {
      before: ({ engine }) => engine.setKeys([B]),
    }),
    row(result, 'the id is malformed', 'INVALID_ARGUMENT', idBody(BAD_ID)),
    row(result, 'the id is unknown', 'NOT_FOUND', idBody(B)),
    row(result, 'it still runs', 'UNAVAILABLE', idBody(B), { before: generating }),
    row(result, 'it has failed', 'INTERNAL', idBody(B), { before: failed }),
    row(result, 'it was aborted', 'ABORTED', idBody(B), { before: all(generating, ok('AbortKeyGen', idBody(A))) }),
  ];
}

export function crsRows(insecure: boolean): Row[] {
  const rpc = insecure ? 'InsecureCrsGen' : 'CrsGen';
  const result = insecure ? 'GetInsecureCrsGenResult' : 'GetCrsGenResult';
  const failing = ({ generations }: TestCore): void => {
    generations.onRun = () => Promise.reject(new KmsError('TASK_FAILED', 'engine stopped'));
  };
  return [
    row(rpc, 'all is well', 'OK', crsGeneration(A)),
    row(rpc, 'the bucket is empty', 'RESOURCE_EXHAUSTED', GARBAGE, { options: NO_TOKENS }),
    row(rpc, 'the request is no request', 'INVALID_ARGUMENT', GARBAGE),
    row(rpc, 'the id is malformed', 'INVALID_ARGUMENT', crsGeneration(BAD_ID)),
    row(rpc, 'the domain is missing', 'INVALID_ARGUMENT', crsGeneration(A, { domain: undefined })),
    row(rpc, 'the size is no power of two', 'INVALID_ARGUMENT', crsGeneration(A, { maxNumBits: 63 })),
    row(rpc, 'the size is too large', 'INVALID_ARGUMENT', crsGeneration(A, { maxNumBits: 4096 })),
    row(rpc, 'the context is unknown', 'NOT_FOUND', crsGeneration(A, { contextId: { requestId: C } })),
    row(rpc, 'the epoch is unknown', 'NOT_FOUND', crsGeneration(A, { epochId: { requestId: C } })),
    row(rpc, 'the id is running', 'ALREADY_EXISTS', crsGeneration(A), { before: crsRunning }),
    row(rpc, 'the id has failed', 'ALREADY_EXISTS', crsGeneration(A), {
      before: all(failing, ok(rpc, crsGeneration(A)), settled('crsgen', A)),
    }),
    row(rpc, 'the engine has the CRS', 'ALREADY_EXISTS', crsGeneration(A), {
      before: ({ engine }) => engine.setKeys([], [A]),
    }),
    row(rpc, 'the engine is away', 'UNAVAILABLE', crsGeneration(A), { before: engineGone }),
    row(rpc, 'the engine was never there', 'UNAVAILABLE', crsGeneration(A), { before: engineNeverThere }),
    row(result, 'it is done', 'OK', idBody(A), { before: all(ok(rpc, crsGeneration(A)), settled('crsgen', A)) }),
    row(result, 'the engine has the CRS and the store has never heard of it', 'OK', idBody(A), {
      before: ({ engine }) => engine.setKeys([], [A]),
    }),
    row(result, 'the id is malformed', 'INVALID_ARGUMENT', idBody(BAD_ID)),
    row(result, 'the id is unknown', 'NOT_FOUND', idBody(A)),
    row(result, 'it still runs', 'UNAVAILABLE', idBody(A), { before: crsRunning }),
    row(result, 'it has failed', 'INTERNAL', idBody(A), {
      before: all(failing, ok(rpc, crsGeneration(A)), settled('crsgen', A)),
    }),
    row(result, 'it was aborted', 'ABORTED', idBody(A), { before: all(crsRunning, ok('AbortCrsGen', idBody(A))) }),
  ];
}
