/** Rows of the status matrix: aborts, contexts, epochs, custodians, the node's own status. */

import { create, toBinary } from '@bufbuild/protobuf';
import {
  CustodianRecoveryRequestSchema,
  DestroyCustodianContextRequestSchema,
  DestroyMpcContextRequestSchema,
  PartialKeyGenPreprocRequestSchema,
} from '../../../../proto/gen/kms_pb.js';
import { DEFAULT_CONTEXT_ID } from '../../../../wire/ids.ts';
import {
  crsGeneration,
  DOMAIN,
  idBody,
  keyGeneration,
  newContext,
  newCustodianContext,
  newEpoch,
  preprocessing,
  publicDecryption,
} from '../requests.ts';
import {
  A,
  abortable,
  all,
  B,
  BAD_ID,
  C,
  crsRunning,
  EMPTY,
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
  SHORT,
  settled,
  ZERO_ID,
} from './situations.ts';

const partial = (percentageOffline: number): Uint8Array =>
  toBinary(
    PartialKeyGenPreprocRequestSchema,
    create(PartialKeyGenPreprocRequestSchema, {
      baseRequest: { requestId: { requestId: A }, domain: DOMAIN },
      partialParams: { percentageOffline, storeDummyPreprocessing: true },
    }),
  );
const destroyContext = (id: string): Uint8Array =>
  toBinary(DestroyMpcContextRequestSchema, create(DestroyMpcContextRequestSchema, { contextId: { requestId: id } }));
const destroyCustodians = (id: string): Uint8Array =>
  toBinary(
    DestroyCustodianContextRequestSchema,
    create(DestroyCustodianContextRequestSchema, { contextId: { requestId: id } }),
  );
const recovery = (id: string, outputs = 1): Uint8Array =>
  toBinary(
    CustodianRecoveryRequestSchema,
    create(CustodianRecoveryRequestSchema, {
      custodianContextId: { requestId: id },
      custodianRecoveryOutputs: Array.from({ length: outputs }, () => ({ custodianRole: 1n })),
    }),
  );

export const OTHER_ROWS: Row[] = [
  row('AbortKeyGen', 'a key is being generated', 'OK', idBody(A), { before: generating }),
  row('AbortKeyGen', 'it is asked for by the key id', 'NOT_FOUND', idBody(B), { before: generating }),
  row('AbortKeyGen', 'the preprocessing is running', 'OK', idBody(A), {
    before: all(abortable, ok('KeyGenPreproc', preprocessing(A))),
  }),
  row('AbortKeyGen', 'the preprocessing is done and unused', 'NOT_FOUND', idBody(A), { before: preprocessed }),
  row('AbortKeyGen', 'the key is done', 'NOT_FOUND', idBody(A), { before: generated }),
  row('AbortKeyGen', 'it was aborted before', 'NOT_FOUND', idBody(A), {
    before: all(generating, ok('AbortKeyGen', idBody(A))),
  }),
  row('AbortKeyGen', 'the engine had committed', 'NOT_FOUND', idBody(A), {
    before: all(
      preprocessed,
      ({ generations }) => {
        generations.onRun = ({ signal }) =>
          new Promise((resolve) => signal?.addEventListener('abort', () => resolve(EMPTY)));
      },
      ok('KeyGen', keyGeneration(B, A)),
    ),
  }),
  row('AbortKeyGen', 'the engine does not answer', 'OK', idBody(A), {
    options: SHORT,
    before: all(
      preprocessed,
      ({ generations }) => {
        generations.onRun = never;
      },
      ok('KeyGen', keyGeneration(B, A)),
    ),
  }),
  row('AbortKeyGen', 'the id is unknown', 'NOT_FOUND', idBody(A)),
  row('AbortKeyGen', 'the id is malformed', 'INVALID_ARGUMENT', idBody(BAD_ID)),
  row('AbortCrsGen', 'a CRS is being generated', 'OK', idBody(A), { before: crsRunning }),
  row('AbortCrsGen', 'it is done', 'NOT_FOUND', idBody(A), {
    before: all(ok('CrsGen', crsGeneration(A)), settled('crsgen', A)),
  }),
  row('AbortCrsGen', 'the id is unknown', 'NOT_FOUND', idBody(A)),
  row('AbortCrsGen', 'the id is malformed', 'INVALID_ARGUMENT', idBody(ZERO_ID)),
  row('CrsGen', 'the id was aborted', 'ALREADY_EXISTS', crsGeneration(A), {
    before: all(crsRunning, ok('AbortCrsGen', idBody(A))),
  }),
  row('KeyGen', 'the key was aborted', 'ALREADY_EXISTS', keyGeneration(B, C), {
    before: all(generating, ok('AbortKeyGen', idBody(A)), ok('KeyGenPreproc', preprocessing(C)), settled('preproc', C)),
  }),
  row('KeyGenPreproc', 'the id was aborted', 'ALREADY_EXISTS', preprocessing(A), {
    before: all(generating, ok('AbortKeyGen', idBody(A))),
  }),

  row('NewMpcContext', 'all is well', 'OK', newContext(A)),
  row('NewMpcContext', 'it exists', 'ALREADY_EXISTS', newContext(A), { before: ok('NewMpcContext', newContext(A)) }),
  row('NewMpcContext', 'it is the default', 'ALREADY_EXISTS', newContext(DEFAULT_CONTEXT_ID)),
  row('NewMpcContext', 'it was destroyed', 'ALREADY_EXISTS', newContext(A), {
    before: all(ok('NewMpcContext', newContext(A)), ok('DestroyMpcContext', destroyContext(A))),
  }),
  row('NewMpcContext', 'the threshold does not fit', 'INVALID_ARGUMENT', newContext(A, { threshold: 1 })),
  row('NewMpcContext', 'the version is none', 'INVALID_ARGUMENT', newContext(A, { softwareVersion: 'new' })),
  row('NewMpcContext', 'it is empty', 'INVALID_ARGUMENT', EMPTY),
  row('DestroyMpcContext', 'there is another', 'OK', destroyContext(A), { before: ok('NewMpcContext', newContext(A)) }),
  row('DestroyMpcContext', 'it is the default and there is another', 'OK', destroyContext(DEFAULT_CONTEXT_ID), {
    before: ok('NewMpcContext', newContext(A)),
  }),
  row('DestroyMpcContext', 'it is the last', 'FAILED_PRECONDITION', destroyContext(DEFAULT_CONTEXT_ID)),
  row('DestroyMpcContext', 'it was destroyed', 'NOT_FOUND', destroyContext(A), {
    before: all(ok('NewMpcContext', newContext(A)), ok('DestroyMpcContext', destroyContext(A))),
  }),
  row('DestroyMpcContext', 'it is unknown', 'NOT_FOUND', destroyContext(A)),
  row('DestroyMpcContext', 'the id is malformed', 'INVALID_ARGUMENT', destroyContext(BAD_ID)),
  row('PublicDecryptSync', 'the default context was destroyed', 'NOT_FOUND', publicDecryption(B), {
    before: all(ok('NewMpcContext', newContext(A)), ok('DestroyMpcContext', destroyContext(DEFAULT_CONTEXT_ID))),
  }),
  row('NewMpcEpoch', 'all is well', 'OK', newEpoch(A)),
  row('NewMpcEpoch', 'it is the default, for the first time', 'OK', newEpoch(`08${'0'.repeat(61)}1`)),
  row('NewMpcEpoch', 'it is known', 'ALREADY_EXISTS', newEpoch(A), { before: ok('NewMpcEpoch', newEpoch(A)) }),
  row('NewMpcEpoch', 'the bucket is empty', 'RESOURCE_EXHAUSTED', GARBAGE, { options: NO_TOKENS }),
  row('NewMpcEpoch', 'the context is unknown', 'NOT_FOUND', newEpoch(A, { contextId: { requestId: B } })),
  row(
    'NewMpcEpoch',
    'an epoch is to be taken over without a domain',
    'INVALID_ARGUMENT',
    newEpoch(A, { previousEpoch: {} }),
  ),
  row('NewMpcEpoch', 'it is empty', 'INVALID_ARGUMENT', EMPTY),
  row('GetEpochResult', 'asked of a centralized node', 'UNIMPLEMENTED', idBody(A), {
    before: ok('NewMpcEpoch', newEpoch(A)),
  }),
  row('DestroyMpcEpoch', 'asked of a centralized node', 'UNIMPLEMENTED', idBody(A), {
    before: ok('NewMpcEpoch', newEpoch(A)),
  }),

  row(
    'NewCustodianContext',
    'the node has no backup vault',
    'FAILED_PRECONDITION',
    newCustodianContext(A, DEFAULT_CONTEXT_ID),
  ),
  row('NewCustodianContext', 'the context is unknown', 'INVALID_ARGUMENT', newCustodianContext(A, B)),
  row(
    'NewCustodianContext',
    'the threshold is too high',
    'INVALID_ARGUMENT',
    newCustodianContext(A, DEFAULT_CONTEXT_ID, 2),
  ),
  row('NewCustodianContext', 'it is empty', 'INVALID_ARGUMENT', EMPTY),
  row('DestroyCustodianContext', 'it is unknown, as all are', 'NOT_FOUND', destroyCustodians(A)),
  row('DestroyCustodianContext', 'the id is malformed', 'INVALID_ARGUMENT', destroyCustodians(BAD_ID)),
  row('GetOperatorPublicKey', 'the node has no backup vault', 'UNAVAILABLE', EMPTY),
  row('RestoreFromBackup', 'the node has no backup vault', 'UNAVAILABLE', EMPTY),
  row('CustodianRecoveryInit', 'the node has no backup vault', 'FAILED_PRECONDITION', EMPTY),
  row('CustodianBackupRecovery', 'nothing was begun', 'FAILED_PRECONDITION', recovery(A)),
  row('CustodianBackupRecovery', 'there are no outputs', 'INVALID_ARGUMENT', recovery(A, 0)),
  row('CustodianBackupRecovery', 'the id is malformed', 'INVALID_ARGUMENT', recovery(BAD_ID)),

  row('GetKeyMaterialAvailability', 'all is well', 'OK', EMPTY),
  row('GetKeyMaterialAvailability', 'the engine is away', 'OK', EMPTY, { before: engineGone }),
  row('GetKeyMaterialAvailability', 'the engine was never there', 'UNAVAILABLE', EMPTY, { before: engineNeverThere }),
  row('GetHealthStatus', 'all is well', 'OK', EMPTY),
  row('GetHealthStatus', 'the engine was never there', 'OK', EMPTY, { before: engineNeverThere }),
  row('BandwidthBenchmark', 'asked of a centralized node', 'UNIMPLEMENTED', EMPTY),

  row('PartialKeyGenPreproc', 'all is well', 'OK', partial(50)),
  row('PartialKeyGenPreproc', 'more than all is asked for', 'INVALID_ARGUMENT', partial(101)),
  row('PartialKeyGenPreproc', 'the base is missing', 'INVALID_ARGUMENT', EMPTY),
  row('PartialKeyGenPreproc', 'the id is known', 'ALREADY_EXISTS', partial(50), { before: preprocessed }),
  row('PartialKeyGenPreproc', 'the bucket is empty', 'RESOURCE_EXHAUSTED', GARBAGE, { options: NO_TOKENS }),
];
