/** Rows of the status matrix of a threshold node, where it differs: decryptions, generations, health, bandwidth. */
import { setImmediate as turn } from 'node:timers/promises';
import { create, toBinary } from '@bufbuild/protobuf';
import { KmsError } from '../../../../common/errors.ts';
import { BandwidthBenchmarkRequestSchema } from '../../../../proto/gen/kms_pb.js';
import { ListRequestsRequestSchema } from '../../../../proto/gen/metastore-status_pb.js';
import { ENGINE_METHOD } from '../../../../wire/frames.ts';
import {
  crsGeneration,
  idBody,
  KEY_ID,
  keyGeneration,
  newContext,
  preprocessing,
  publicDecryption,
  userDecryption,
} from '../requests.ts';
import type { TestCore } from '../test-core.ts';
import { inContext, inEpoch, insecurelyPreprocessed, made, on, unsettled } from './quorum-situations.ts';
import { META } from './service-rows.ts';
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
  never,
  ok,
  type Row,
  SHORT,
  say,
} from './situations.ts';

const benchmark = (change: {
  contextId?: string;
  duration?: number;
  sessions?: number;
  sizeBytes?: number;
  kind?: number;
}): Uint8Array => {
  const { contextId, duration = 1, sessions = 1, sizeBytes = 1024, kind = 0 } = change;
  const request = {
    ...(contextId === undefined ? {} : { contextId: { requestId: contextId } }),
    duration: BigInt(duration),
    numberSessions: sessions,
    payloadSizePerSession: sizeBytes,
    kind,
  };
  return toBinary(BandwidthBenchmarkRequestSchema, create(BandwidthBenchmarkRequestSchema, request));
};
const list = (metaStoreType: number): Uint8Array =>
  toBinary(ListRequestsRequestSchema, create(ListRequestsRequestSchema, { metaStoreType }));

const DECRYPTION_ROWS: Row[] = [
  on('PublicDecryptSync', 'all is well', 'OK', publicDecryption(A)),
  on('UserDecryptSync', 'all is well', 'OK', userDecryption(A)),
  on('PublicDecryptSync', 'the epoch is of another context', 'NOT_FOUND', publicDecryption(B, inContext(A)), {
    before: ok('NewMpcContext', newContext(A)),
  }),
  on('PublicDecryptSync', 'the context is unknown', 'NOT_FOUND', publicDecryption(B, inContext(A))),
  on('PublicDecryptSync', 'the epoch is unknown', 'NOT_FOUND', publicDecryption(B, inEpoch(A))),
  on('PublicDecryptSync', 'the key is of another epoch', 'NOT_FOUND', publicDecryption(B, inEpoch(A)), {
    before: made(A),
  }),
  on('PublicDecryptSync', 'the key is unknown', 'NOT_FOUND', publicDecryption(B, { keyId: { requestId: C } })),
  on('PublicDecryptSync', 'the first epoch is being made', 'UNAVAILABLE', publicDecryption(B), { before: unsettled }),
  ...(['PublicDecrypt', 'UserDecrypt'] as const).flatMap((name) => {
    const method = name === 'PublicDecrypt' ? ENGINE_METHOD.publicDecrypt : ENGINE_METHOD.userDecrypt;
    const request = name === 'PublicDecrypt' ? publicDecryption(A) : userDecryption(A);
    const result = name === 'PublicDecrypt' ? 'GetPublicDecryptionResult' : 'GetUserDecryptionResult';
    const alone = say(method, new KmsError('UNAVAILABLE', 'asked at 1 of 3 parties', { waiting: 'quorum' }));
    const given = say(method, new KmsError('TASK_FAILED', 'asked at 1 of 3 parties'));
    return [
      on(`${name}Sync`, 'too few parties were asked', 'UNAVAILABLE', request, { before: alone }),
      on(`${name}Sync`, 'too few parties were asked for ten minutes', 'INTERNAL', request, { before: given }),
      on(result, 'too few parties have been asked', 'UNAVAILABLE', idBody(A), {
        options: SHORT,
        before: all(alone, ok(name, request)),
      }),
      on(result, 'too few parties were asked for ten minutes', 'INTERNAL', idBody(A), {
        before: all(given, ok(name, request)),
      }),
      on(result, 'too few parties were asked, in a call that waits', 'NOT_FOUND', idBody(A), {
        before: all(alone, async (core: TestCore) => void (await core.status(`${name}Sync`, request))),
      }),
    ];
  }),
];

const GENERATION_ROWS: Row[] = [
  on('KeyGenPreproc', 'all is well', 'UNIMPLEMENTED', preprocessing(A)),
  on('KeyGenPreproc', 'the request is none', 'INVALID_ARGUMENT', EMPTY),
  on('PartialKeyGenPreproc', 'the request is none', 'INVALID_ARGUMENT', EMPTY),
  on('KeyGen', 'the preprocessing is unknown', 'UNIMPLEMENTED', keyGeneration(B, A)),
  on('KeyGen', 'the preprocessing is insecure', 'FAILED_PRECONDITION', keyGeneration(B, A), {
    before: insecurelyPreprocessed,
  }),
  on('KeyGen', 'the node is not in developer mode', 'UNIMPLEMENTED', keyGeneration(B, A), {
    options: { insecure: false },
  }),
  on('CrsGen', 'all is well', 'UNIMPLEMENTED', crsGeneration(A)),
  on('CrsGen', 'the request is none', 'INVALID_ARGUMENT', EMPTY),
  on('InsecureKeyGenPreproc', 'all is well', 'OK', preprocessing(A)),
  on('InsecureKeyGenPreproc', 'the id is known', 'ALREADY_EXISTS', preprocessing(A), {
    before: insecurelyPreprocessed,
  }),
  on('GetInsecureKeyGenPreprocResult', 'it is done', 'OK', idBody(A), { before: insecurelyPreprocessed }),
  on('GetInsecureKeyGenPreprocResult', 'a key generation has used it up', 'NOT_FOUND', idBody(A), {
    before: all(insecurelyPreprocessed, ok('InsecureKeyGen', keyGeneration(B, A))),
  }),
  on('GetInsecureKeyGenPreprocResult', 'it runs on', 'UNAVAILABLE', idBody(A), {
    options: { waits: { preprocessingMs: 20 } },
    before: all(
      ({ engine }) => void engine.answers.set(ENGINE_METHOD.keyGenPreproc, never),
      ok('InsecureKeyGenPreproc', preprocessing(A)),
    ),
  }),
  on('GetKeyGenPreprocResult', 'it is insecure', 'FAILED_PRECONDITION', idBody(A), { before: insecurelyPreprocessed }),
  on('InsecureKeyGen', 'all is well', 'OK', keyGeneration(B, A), { before: insecurelyPreprocessed }),
  on('InsecureKeyGen', 'the preprocessing is unknown', 'NOT_FOUND', keyGeneration(B, A)),
  on('InsecureKeyGen', 'another has used the preprocessing', 'ALREADY_EXISTS', keyGeneration(C, A), {
    before: all(insecurelyPreprocessed, ok('InsecureKeyGen', keyGeneration(B, A))),
  }),
  on('InsecureKeyGen', 'the epoch is unknown', 'NOT_FOUND', keyGeneration(B, A, inEpoch(C)), {
    before: insecurelyPreprocessed,
  }),
  on('InsecureKeyGen', 'the key exists', 'ALREADY_EXISTS', keyGeneration(KEY_ID, A), {
    before: insecurelyPreprocessed,
  }),
  on('InsecureCrsGen', 'all is well', 'OK', crsGeneration(A)),
  on('InsecureKeyGen', 'the node is not in developer mode', 'UNIMPLEMENTED', keyGeneration(B, A), {
    options: { insecure: false },
  }),
];

const NODE_ROWS: Row[] = [
  on('GetHealthStatus', 'all is well', 'OK', EMPTY),
  on('GetHealthStatus', 'the engine is away', 'OK', EMPTY, { before: engineGone }),
  on('GetHealthStatus', 'the engine was never there', 'OK', EMPTY, { before: engineNeverThere }),
  on('GetHealthStatus', 'it is no request', 'INVALID_ARGUMENT', GARBAGE),
  on('GetKeyMaterialAvailability', 'all is well', 'OK', EMPTY),
  ...(
    [
      ['all is well', {}, 'OK'],
      ['all of it once', { kind: 1, duration: 9_999 }, 'OK'],
      ['all bounds are met', { sessions: 256, sizeBytes: 4_194_304, duration: 60 }, 'OK'],
      ['the payload is too large', { sizeBytes: 268_435_457 }, 'INVALID_ARGUMENT'],
      ['all payloads are too large', { sizeBytes: 268_435_456, sessions: 5 }, 'INVALID_ARGUMENT'],
      ['there are no sessions', { sessions: 0 }, 'INVALID_ARGUMENT'],
      ['there are too many sessions', { sessions: 257 }, 'INVALID_ARGUMENT'],
      ['it takes too long', { duration: 61 }, 'INVALID_ARGUMENT'],
      ['the kind is unknown', { kind: 2 }, 'INVALID_ARGUMENT'],
      ['the context is malformed', { contextId: BAD_ID }, 'INVALID_ARGUMENT'],
      ['the context is unknown', { contextId: A }, 'NOT_FOUND'],
    ] as const
  ).map(([when, change, status]) =>
    on('BandwidthBenchmark', when, status, benchmark(change), {
      before: ({ engine }) => void engine.answers.set(ENGINE_METHOD.bandwidth, () => EMPTY),
    }),
  ),
  on('BandwidthBenchmark', 'the engine is away', 'UNAVAILABLE', benchmark({}), { before: engineGone }),
  on('BandwidthBenchmark', 'another one runs', 'RESOURCE_EXHAUSTED', benchmark({}), {
    before: async (core) => {
      core.engine.answers.set(ENGINE_METHOD.bandwidth, never);
      void core.status('BandwidthBenchmark', benchmark({})); // ends with the test
      while (!core.engine.calls.some(({ method }) => method === ENGINE_METHOD.bandwidth)) await turn();
    },
  }),
  on(`${META}/ListRequests`, 'preprocessings are asked for', 'OK', list(5)),
];

/** All of them. */
export const QUORUM_SERVICE_ROWS: readonly Row[] = [...DECRYPTION_ROWS, ...GENERATION_ROWS, ...NODE_ROWS];
