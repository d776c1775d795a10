/** Rows of the status matrix of a threshold node, where it differs from a centralized one: contexts and epochs. */
import { KmsError } from '../../../../common/errors.ts';
import { ENGINE_METHOD } from '../../../../wire/frames.ts';
import { DEFAULT_CONTEXT_ID, DEFAULT_EPOCH_ID } from '../../../../wire/ids.ts';
import { idBody, newContext, newEpoch } from '../requests.ts';
import { QUORUM_SERVICE_ROWS } from './quorum-service-rows.ts';
import {
  destroyContext,
  destroyEpoch,
  ended,
  failed,
  inContext,
  made,
  making,
  on,
  previous,
  unsettled,
} from './quorum-situations.ts';
import {
  A,
  all,
  B,
  BAD_ID,
  EMPTY,
  engineGone,
  engineNeverThere,
  GARBAGE,
  NO_TOKENS,
  never,
  ok,
  type Row,
  SHORT,
  say,
  ZERO_ID,
} from './situations.ts';

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
  on('GetEpochResult', 'it is being made', 'UNAVAILABLE', idBody(A), { options: SHORT, before: making(A) }),
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

export const QUORUM_ROWS: readonly Row[] = [...CONTEXT_ROWS, ...EPOCH_ROWS, ...QUORUM_SERVICE_ROWS];
