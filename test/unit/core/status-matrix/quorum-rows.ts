/** Rows of the status matrix of a threshold node, where it differs from a centralized one. */
import { setImmediate as turn } from 'node:timers/promises';
import { create, toBinary } from '@bufbuild/protobuf';
import { KmsError } from '../../../../common/errors.ts';
import {
  BandwidthBenchmarkRequestSchema,
  DestroyMpcContextRequestSchema,
  DestroyMpcEpochRequestSchema,
} from '../../../../proto/gen/kms_pb.js';
import { ListRequestsRequestSchema } from '../../../../proto/gen/metastore-status_pb.js';
import { ENGINE_METHOD } from '../../../../wire/frames.ts';
import { DEFAULT_CONTEXT_ID, DEFAULT_EPOCH_ID } from '../../../../wire/ids.ts';
import { QuorumEngine } from '../quorum-engine.ts';
import {
  crsGeneration,
  idBody,
  KEY_ID,
  keyGeneration,
  newContext,
  newEpoch,
  preprocessing,
  publicDecryption,
  userDecryption,
} from '../requests.ts';
import type { TestCore } from '../test-core.ts';
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
  NO_TOKENS,
  never,
  ok,
  type Row,
  row,
  SHORT,
  say,
  ZERO_ID,
} from './situations.ts';

/** A row on a threshold node of four parties. */
function on(
  rpc: string,
  when: string,
  status: string,
  body: Uint8Array,
  situation: Pick<Row, 'options' | 'before'> = {},
) {
  const options = { ...situation.options, threshold: true, engine: new QuorumEngine() };
  return row(rpc, when, status, body, { ...situation, options });
}

const destroyContext = (id: string): Uint8Array =>
  toBinary(DestroyMpcContextRequestSchema, create(DestroyMpcContextRequestSchema, { contextId: { requestId: id } }));
const destroyEpoch = (id: string): Uint8Array =>
  toBinary(DestroyMpcEpochRequestSchema, create(DestroyMpcEpochRequestSchema, { epochId: { requestId: id } }));
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
const inContext = (contextId: string) => ({ contextId: { requestId: contextId } });
const inEpoch = (epochId: string) => ({ epochId: { requestId: epochId } });
const previous = { previousEpoch: { keysInfo: [], crsInfo: [] }, domain: { verifyingContract: `0x${'0'.repeat(40)}` } };

/** The epoch is being made for ever. */
const making = (id: string) =>
  all(({ engine }) => void engine.answers.set(ENGINE_METHOD.newEpoch, never), ok('NewMpcEpoch', newEpoch(id)));
/** Waits until an epoch has its outcome. */
const ended =
  (id: string) =>
  async ({ store }: TestCore): Promise<void> => {
    const entry = store.find('epoch', id);
    if (entry) await store.settled(entry);
  };
const made = (id: string) => all(ok('NewMpcEpoch', newEpoch(id)), ended(id));
const failed = (id: string) =>
  all(
    say(ENGINE_METHOD.newEpoch, new KmsError('UNAVAILABLE', 'party 3 did not come')),
    ok('NewMpcEpoch', newEpoch(id)),
    ended(id),
  );
const unsettled = ({ engine }: TestCore): void => {
  if (!(engine instanceof QuorumEngine)) return;
  engine.settled = false;
  engine.epochs.clear();
  engine.describeAgain();
};
const insecurelyPreprocessed = all(ok('InsecureKeyGenPreproc', preprocessing(A)), async ({ store }: TestCore) => {
  const entry = store.find('preproc', A);
  if (entry) await store.settled(entry);
});

const CONTEXT_ROWS: Row[] = [
  on('NewMpcContext', 'all is well', 'OK', newContext(A)),
  on('NewMpcContext', 'it exists', 'ALREADY_EXISTS', newContext(A), { before: ok('NewMpcContext', newContext(A)) }),
  on('NewMpcContext', 'it is the default', 'ALREADY_EXISTS', newContext(DEFAULT_CONTEXT_ID)),
  on('NewMpcContext', 'the threshold does not fit', 'INVALID_ARGUMENT', newContext(A, { threshold: 1 })),
  on('NewMpcContext', 'it is empty', 'INVALID_ARGUMENT', EMPTY),
  on('NewMpcContext', 'it is no message', 'INVALID_ARGUMENT', GARBAGE),
  on('NewMpcContext', 'governance has not approved it', 'FAILED_PRECONDITION', newContext(A), {
    before: say(ENGINE_METHOD.newContext, new KmsError('APPROVAL_MISSING', 'not approved', { proposalDigest: 'ab' })),
  }),
  on('NewMpcContext', 'its parties are not those of the record', 'INVALID_ARGUMENT', newContext(A), {
    before: say(ENGINE_METHOD.newContext, new KmsError('REQUEST_INVALID', 'party 2 has another address')),
  }),
  on('NewMpcContext', 'the engine is away', 'UNAVAILABLE', newContext(A), { before: engineGone }),
  on('DestroyMpcContext', 'there is another', 'OK', destroyContext(A), { before: ok('NewMpcContext', newContext(A)) }),
  on('DestroyMpcContext', 'it is the last', 'FAILED_PRECONDITION', destroyContext(DEFAULT_CONTEXT_ID)),
  on('DestroyMpcContext', 'an epoch is being made in it', 'FAILED_PRECONDITION', destroyContext(A), {
    before: all(
      ok('NewMpcContext', newContext(A)),
      ({ engine }) => void engine.answers.set(ENGINE_METHOD.newEpoch, never),
      ok('NewMpcEpoch', newEpoch(B, inContext(A))),
    ),
  }),
  on('DestroyMpcContext', 'it was destroyed', 'NOT_FOUND', destroyContext(A), {
    before: all(ok('NewMpcContext', newContext(A)), ok('DestroyMpcContext', destroyContext(A))),
  }),
  on('DestroyMpcContext', 'it is unknown', 'NOT_FOUND', destroyContext(A)),
  on('DestroyMpcContext', 'the id is malformed', 'INVALID_ARGUMENT', destroyContext(BAD_ID)),
  on('DestroyMpcContext', 'the engine is away', 'UNAVAILABLE', destroyContext(A), { before: engineGone }),
];

const EPOCH_ROWS: Row[] = [
  on('NewMpcEpoch', 'all is well', 'OK', newEpoch(A)),
  on('NewMpcEpoch', 'it is being made', 'ALREADY_EXISTS', newEpoch(A), { before: making(A) }),
  on('NewMpcEpoch', 'it exists', 'INVALID_ARGUMENT', newEpoch(A), { before: made(A) }),
  on('NewMpcEpoch', 'it is the default', 'INVALID_ARGUMENT', newEpoch(DEFAULT_EPOCH_ID)),
  on('NewMpcEpoch', 'it has failed', 'OK', newEpoch(A), { before: failed(A) }),
  on('NewMpcEpoch', 'it was destroyed', 'ALREADY_EXISTS', newEpoch(A), {
    before: all(made(A), ok('DestroyMpcEpoch', destroyEpoch(A))),
  }),
  on('NewMpcEpoch', 'it went with its context', 'ALREADY_EXISTS', newEpoch(B), {
    before: all(
      ok('NewMpcContext', newContext(A)),
      ok('NewMpcEpoch', newEpoch(B, inContext(A))),
      ended(B),
      ok('DestroyMpcContext', destroyContext(A)),
    ),
  }),
  on('NewMpcEpoch', 'the context is unknown', 'NOT_FOUND', newEpoch(A, inContext(B))),
  on('NewMpcEpoch', 'it takes over keys', 'UNIMPLEMENTED', newEpoch(A, previous)),
  on('NewMpcEpoch', 'it takes over keys without a domain', 'INVALID_ARGUMENT', newEpoch(A, { previousEpoch: {} })),
  on('NewMpcEpoch', 'the id is malformed', 'INVALID_ARGUMENT', newEpoch(ZERO_ID)),
  on('NewMpcEpoch', 'it is empty', 'INVALID_ARGUMENT', EMPTY),
  on('NewMpcEpoch', 'there are no tokens', 'RESOURCE_EXHAUSTED', newEpoch(A), { options: NO_TOKENS }),
  on('NewMpcEpoch', 'the first epoch is being made', 'UNAVAILABLE', newEpoch(A), { before: unsettled }),
  on('NewMpcEpoch', 'the engine is away', 'UNAVAILABLE', newEpoch(A), { before: engineGone }),
  on('NewMpcEpoch', 'the engine was never there', 'UNAVAILABLE', newEpoch(A), { before: engineNeverThere }),
  on('GetEpochResult', 'it is done', 'OK', idBody(A), { before: made(A) }),
  on('GetEpochResult', 'it is the default', 'OK', idBody(DEFAULT_EPOCH_ID)),
  on('GetEpochResult', 'the default is being made', 'UNAVAILABLE', idBody(DEFAULT_EPOCH_ID), { before: unsettled }),
  on('GetEpochResult', 'it is being made', 'UNAVAILABLE', idBody(A), { before: making(A) }),
  on('GetEpochResult', 'it has failed', 'INTERNAL', idBody(A), { before: failed(A) }),
  on('GetEpochResult', 'it was destroyed', 'NOT_FOUND', idBody(A), {
    before: all(made(A), ok('DestroyMpcEpoch', destroyEpoch(A))),
  }),
  on('GetEpochResult', 'it is unknown', 'NOT_FOUND', idBody(A)),
  on('GetEpochResult', 'the id is malformed', 'INVALID_ARGUMENT', idBody(BAD_ID)),
  on('GetEpochResult', 'the engine was never there', 'UNAVAILABLE', idBody(A), { before: engineNeverThere }),
  on('DestroyMpcEpoch', 'there is another', 'OK', destroyEpoch(A), { before: made(A) }),
  on('DestroyMpcEpoch', 'it is the default and there is another', 'OK', destroyEpoch(DEFAULT_EPOCH_ID), {
    before: made(A),
  }),
  on('DestroyMpcEpoch', 'it is the last', 'FAILED_PRECONDITION', destroyEpoch(DEFAULT_EPOCH_ID)),
  on('DestroyMpcEpoch', 'it is being made', 'FAILED_PRECONDITION', destroyEpoch(A), { before: making(A) }),
  on('DestroyMpcEpoch', 'another is being made', 'FAILED_PRECONDITION', destroyEpoch(A), {
    before: all(made(A), making(B)),
  }),
  on('DestroyMpcEpoch', 'part of it stays', 'INTERNAL', destroyEpoch(A), {
    before: all(made(A), say(ENGINE_METHOD.destroyEpoch, new KmsError('TASK_FAILED', 'the vault is read-only'))),
  }),
  on('DestroyMpcEpoch', 'it is unknown', 'NOT_FOUND', destroyEpoch(A)),
  on('DestroyMpcEpoch', 'the id is malformed', 'INVALID_ARGUMENT', destroyEpoch(BAD_ID)),
  on('DestroyMpcEpoch', 'the engine is away', 'UNAVAILABLE', destroyEpoch(A), { before: engineGone }),
];

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

export const QUORUM_ROWS: readonly Row[] = [
  ...CONTEXT_ROWS,
  ...EPOCH_ROWS,
  ...DECRYPTION_ROWS,
  ...GENERATION_ROWS,
  ...NODE_ROWS,
];
