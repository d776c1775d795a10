/** Contexts and epochs of a party: acknowledged first, made in the background, and what a restart makes of them. */
import { setImmediate as turn } from 'node:timers/promises';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { KmsError } from '../../../common/errors.ts';
import {
  DestroyMpcContextRequestSchema,
  DestroyMpcContextResponseSchema,
  EpochResultResponseSchema,
} from '../../../proto/gen/kms_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { DEFAULT_CONTEXT_ID } from '../../../wire/ids.ts';
import { QuorumEngine } from './quorum-engine.ts';
import { idBody, idOf, newContext, newEpoch, publicDecryption } from './requests.ts';
import { callsOf, startPartyCore as start } from './start-party-core.ts';
import { storeFile } from './test-core.ts';

const A = idOf('a');
const B = idOf('b');
const EMPTY = new Uint8Array(0);

t.test('an epoch is acknowledged before it is made, and its result is two empty lists', async (t) => {
  const core = await start(t, { limits: { new_epoch: 25 }, waits: { resultMs: 20 } });
  const made = Promise.withResolvers<Uint8Array>();
  const real = core.engine.answers.get(ENGINE_METHOD.newEpoch);
  core.engine.answers.set(ENGINE_METHOD.newEpoch, async (body, options) => {
    await made.promise;
    return (await real?.(body, options)) ?? EMPTY;
  });
  await core.raw('NewMpcEpoch', newEpoch(A));
  t.equal(await core.status('GetEpochResult', idBody(A)), 'UNAVAILABLE');
  t.equal(core.limiterUsed(), 25, 'its tokens are held while it is made');
  made.resolve(EMPTY);
  while (core.store.find('epoch', A)?.state === 'running') await turn();
  t.match(fromBinary(EpochResultResponseSchema, await core.raw('GetEpochResult', idBody(A))), {
    reshareResponses: [],
    crsResponses: [],
  });
  t.equal(core.limiterUsed(), 0);
  t.equal(callsOf(core, ENGINE_METHOD.newEpoch), 1);
  const { body } = core.engine.calls.find(({ method }) => method === ENGINE_METHOD.newEpoch) ?? {};
  t.ok(Buffer.from(body ?? EMPTY).equals(newEpoch(A)), 'as the client sent it');
});

t.test('whoever asks for an epoch that is being made waits for it', async (t) => {
  const core = await start(t);
  const made = Promise.withResolvers<Uint8Array>();
  const real = core.engine.answers.get(ENGINE_METHOD.newEpoch);
  core.engine.answers.set(ENGINE_METHOD.newEpoch, async (body, options) => {
    await made.promise;
    return (await real?.(body, options)) ?? EMPTY;
  });
  await core.raw('NewMpcEpoch', newEpoch(A));
  const waiting = core.status('GetEpochResult', idBody(A));
  await turn();
  made.resolve(EMPTY);
  t.equal(await waiting, 'OK');
});

t.test('an engine that goes away while it makes an epoch says afterwards what became of it', async (t) => {
  for (const [stored, status] of [
    [true, 'OK'],
    [false, 'INTERNAL'],
  ] as const) {
    const core = await start(t, { waits: { resultMs: 20 } });
    core.engine.answers.set(ENGINE_METHOD.newEpoch, () => {
      core.engine.become('disconnected');
      if (stored) core.engine.epochs.set(A, DEFAULT_CONTEXT_ID);
      throw new KmsError('UNAVAILABLE', 'the engine went away during the call', { reason: 'engine stopped' });
    });
    await core.raw('NewMpcEpoch', newEpoch(A));
    t.equal(await core.status('GetEpochResult', idBody(A)), 'UNAVAILABLE', 'not known yet');
    core.engine.describeAgain();
    core.engine.become('connected');
    while (core.store.find('epoch', A)?.state === 'running') await turn();
    t.equal(await core.status('GetEpochResult', idBody(A)), status, `${stored ? 'stored' : 'lost'}`);
    await core.stop();
  }
});

t.test('after a restart an epoch that was being made is what the engine says', async (t) => {
  const file = storeFile(t);
  const first = await start(t, { file });
  first.engine.answers.set(ENGINE_METHOD.newEpoch, () => new Promise(() => undefined));
  await first.raw('NewMpcEpoch', newEpoch(A));
  await first.raw('NewMpcEpoch', newEpoch(B));
  await first.stop();
  const engine = new QuorumEngine();
  engine.epochs.set(A, DEFAULT_CONTEXT_ID);
  engine.describeAgain();
  const second = await start(t, { file, engine });
  t.equal(await second.status('GetEpochResult', idBody(A)), 'OK', 'the engine had stored it');
  t.equal(await second.status('GetEpochResult', idBody(B)), 'INTERNAL', 'it had not');
  t.equal(callsOf(second, ENGINE_METHOD.newEpoch), 0, 'a ceremony is not begun by one party alone');
  t.equal(await second.status('NewMpcEpoch', newEpoch(B)), 'OK', 'but may be asked for again');
});

t.test('a context goes with its epochs, whose ids it tells', async (t) => {
  const core = await start(t);
  await core.raw('NewMpcContext', newContext(A));
  await core.raw('NewMpcEpoch', newEpoch(B, { contextId: { requestId: A } }));
  while (core.store.find('epoch', B)?.state === 'running') await turn();
  const call = { contextId: { requestId: A }, epochId: { requestId: B } };
  t.equal(await core.status('PublicDecryptSync', publicDecryption(idOf('1'), call)), 'NOT_FOUND', 'no key there');
  const body = toBinary(
    DestroyMpcContextRequestSchema,
    create(DestroyMpcContextRequestSchema, { contextId: { requestId: A } }),
  );
  const answer = fromBinary(DestroyMpcContextResponseSchema, await core.raw('DestroyMpcContext', body));
  t.match(answer.epochIds, [{ requestId: B }]);
  t.equal(await core.status('GetEpochResult', idBody(B)), 'NOT_FOUND');
});
