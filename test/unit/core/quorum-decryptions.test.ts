/** What the Core of a party does for decryptions that wait for a quorum: what is asked again, who waits, who gives way. */
import { setImmediate as turn } from 'node:timers/promises';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { KmsError } from '../../../common/errors.ts';
import { RequestStore } from '../../../parent/core/store/request-store.ts';
import {
  GetRequestStatusesRequestSchema,
  GetRequestStatusesResponseSchema,
} from '../../../proto/gen/metastore-status_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { DEFAULT_CONTEXT_ID, DEFAULT_EPOCH_ID } from '../../../wire/ids.ts';
import { QuorumEngine } from './quorum-engine.ts';
import { idBody, idOf, publicDecryption, userDecryption } from './requests.ts';
import { callsOf, startPartyCore as start } from './start-party-core.ts';
import { storeFile } from './test-core.ts';

const A = idOf('a');
const B = idOf('b');
const META = '/metastore_status.v1.MetaStoreStatusService';
const QUORUM_MISSING = new KmsError('UNAVAILABLE', 'not done yet: asked at 1 of 3 parties', { waiting: 'quorum' });

t.test('an accepted decryption is asked for again until a quorum has been asked, however often', async (t) => {
  const core = await start(t, { waits: { quorumMs: 1, resultMs: 20 } });
  let missing = 10;
  core.engine.answers.set(ENGINE_METHOD.publicDecrypt, () => {
    if (missing-- > 0) throw QUORUM_MISSING;
    return Uint8Array.of(0x22, 2, 1, 2);
  });
  await core.raw('PublicDecrypt', publicDecryption(A));
  while (core.store.find('public_decrypt', A)?.state === 'running') await turn();
  t.equal(await core.status('GetPublicDecryptionResult', idBody(A)), 'OK');
  t.equal(callsOf(core, ENGINE_METHOD.publicDecrypt), 11, 'more often than an engine may be stopped by a request');
  t.ok(
    core.engine.calls.every(({ body }) => Buffer.from(body).equals(publicDecryption(A))),
    'the same bytes each time',
  );
  t.equal(core.limiterUsed(), 0, 'its tokens are back');
});

t.test('an accepted decryption outlasts an engine that has too many, without being counted as its fault', async (t) => {
  const core = await start(t, { waits: { quorumMs: 1 } });
  let full = 10;
  core.engine.answers.set(ENGINE_METHOD.publicDecrypt, () => {
    if (full-- > 0) throw new KmsError('RESOURCE_EXHAUSTED', 'too many requests wait for other parties');
    return Uint8Array.of(0x22, 2, 1, 2);
  });
  await core.raw('PublicDecrypt', publicDecryption(A));
  t.equal(await core.status('GetPublicDecryptionResult', idBody(A)), 'OK');
  full = 1;
  t.equal(
    await core.status('PublicDecryptSync', publicDecryption(B)),
    'RESOURCE_EXHAUSTED',
    'nobody was promised this',
  );
});

t.test('what a protocol gave up is told in its own words, and as no abort of the client', async (t) => {
  const core = await start(t);
  const failure = new KmsError('ABORTED', 'inconsistent epoch: the opened value is outside its bounds');
  core.engine.answers.set(ENGINE_METHOD.publicDecrypt, () => Promise.reject(failure));
  await t.rejects(core.raw('PublicDecryptSync', publicDecryption(A)), {
    name: 'GrpcError',
    status: 13,
    explanation: failure.message,
  });
  core.engine.answers.set(ENGINE_METHOD.publicDecrypt, () =>
    Promise.reject(new KmsError('ABORTED', 'the set-up aborted')),
  );
  t.equal(await core.status('PublicDecryptSync', publicDecryption(B)), 'ABORTED', 'the published word for such a text');
});

t.test('an id that the engine knows for another request is refused, though the store has forgotten it', async (t) => {
  const core = await start(t);
  core.engine.answers.set(ENGINE_METHOD.publicDecrypt, () =>
    Promise.reject(new KmsError('ALREADY_EXISTS', 'another request with this id was asked for before')),
  );
  t.equal(await core.status('PublicDecryptSync', publicDecryption(A)), 'ALREADY_EXISTS');
  t.equal(core.store.find('public_decrypt', A), undefined);
});

t.test('requests that one party alone is asked for give way to those of all parties', async (t) => {
  const core = await start(t, { waits: { quorumMs: 1, turnMs: 10 } });
  const flood = new Set<string>();
  let given = 0;
  core.engine.answers.set(ENGINE_METHOD.publicDecrypt, (body, { signal }) => {
    if (!flood.has(Buffer.from(body).toString('hex'))) return Uint8Array.of(0x22, 1, 9);
    return new Promise((_resolve, reject) => {
      signal?.addEventListener('abort', () => {
        given++;
        reject(new KmsError('CANCELLED', 'the caller gave up'));
      });
    });
  });
  const small = { ciphertexts: [{ ciphertext: new Uint8Array(1), fheType: 5 }] };
  const bodies = Array.from({ length: 3100 }, (_, at) => publicDecryption(idOf(`flood ${at}`), small));
  for (const body of bodies) flood.add(Buffer.from(body).toString('hex'));
  await Promise.all(bodies.map((body) => core.raw('PublicDecrypt', body)));
  t.equal(await core.status('PublicDecryptSync', publicDecryption(A)), 'OK', 'within its minute');
  t.ok(given > 0, 'others gave way');
  t.match(await core.metrics(), /^kms_quorum_line_requests [1-9]/m);
  t.equal(core.store.count('public_decrypt').running, bodies.length, 'and none of them is lost');
  await core.stop();
});

t.test('while a quorum is missing the engine is not asked more often than the pace', async (t) => {
  const core = await start(t, { waits: { quorumMs: 60_000, resultMs: 20 } });
  core.engine.answers.set(ENGINE_METHOD.userDecrypt, () => Promise.reject(QUORUM_MISSING));
  await core.raw('UserDecrypt', userDecryption(A));
  t.equal(await core.status('GetUserDecryptionResult', idBody(A)), 'UNAVAILABLE');
  t.equal(callsOf(core, ENGINE_METHOD.userDecrypt), 1);
  await core.stop();
  t.equal(core.logs.filter((line) => line.includes('"level":"error"')).length, 0, 'a stop in between is no fault');
});

t.test('an engine that stops three times by a request still ends it, whatever the quorum said between', async (t) => {
  const core = await start(t, { waits: { quorumMs: 1 } });
  const stopped = new KmsError('UNAVAILABLE', 'the engine went away', { reason: 'engine stopped' });
  let calls = 0;
  core.engine.answers.set(ENGINE_METHOD.publicDecrypt, () => {
    throw calls++ % 2 === 0 ? QUORUM_MISSING : stopped;
  });
  await core.raw('PublicDecrypt', publicDecryption(A));
  t.equal(await core.status('GetPublicDecryptionResult', idBody(A)), 'INTERNAL');
  t.equal(calls, 6);
});

t.test(
  'a call that waits hears from the engine, whose window ends with its own, how many parties were asked',
  async (t) => {
    const core = await start(t, { waits: { resultMs: 0, lastWordMs: 60_000 } });
    core.engine.answers.set(ENGINE_METHOD.publicDecrypt, async () => {
      await turn();
      throw QUORUM_MISSING;
    });
    const refused = await core.raw('PublicDecryptSync', publicDecryption(A)).catch((error: unknown) => error);
    t.match(refused, { statusName: 'UNAVAILABLE', details: { metadata: { message: /asked at 1 of 3 parties/ } } });
  },
);

t.test('a call that waits stores nothing when too few parties are asked, and the next one starts afresh', async (t) => {
  const core = await start(t);
  core.engine.answers.set(ENGINE_METHOD.publicDecrypt, () => Promise.reject(QUORUM_MISSING));
  t.equal(await core.status('PublicDecryptSync', publicDecryption(A)), 'UNAVAILABLE');
  t.equal(core.store.find('public_decrypt', A), undefined);
  core.engine.answers.set(ENGINE_METHOD.publicDecrypt, () => Uint8Array.of(0x22, 2, 1, 2));
  t.equal(await core.status('PublicDecryptSync', publicDecryption(A)), 'OK');
});

t.test('the reason of a decryption that found no quorum is shown to operators', async (t) => {
  const core = await start(t);
  const failure = new KmsError('TASK_FAILED', 'asked at 1 of 2t + 1 = 3 parties');
  core.engine.answers.set(ENGINE_METHOD.publicDecrypt, () => Promise.reject(failure));
  await core.raw('PublicDecrypt', publicDecryption(A));
  t.equal(await core.status('GetPublicDecryptionResult', idBody(A)), 'INTERNAL');
  const request = toBinary(
    GetRequestStatusesRequestSchema,
    create(GetRequestStatusesRequestSchema, { requestIds: [A] }),
  );
  const answer = await core.raw(`${META}/GetRequestStatuses`, request);
  t.match(fromBinary(GetRequestStatusesResponseSchema, answer).statuses, [{ errorMessage: failure.message }]);
});

t.test('a restart loses no accepted decryption, and those that wait for a quorum keep no other waiting', async (t) => {
  const file = storeFile(t);
  const first = await start(t, { file });
  const held = Promise.withResolvers<Uint8Array>();
  first.engine.answers.set(ENGINE_METHOD.publicDecrypt, () => held.promise);
  const ids = Array.from({ length: 200 }, (_, at) => idOf(`waiting ${at}`));
  for (const id of ids) await first.raw('PublicDecrypt', publicDecryption(id));
  first.engine.answers.set(ENGINE_METHOD.userDecrypt, () => held.promise);
  await first.raw('UserDecrypt', userDecryption(B));
  await first.stop();

  const engine = new QuorumEngine();
  const asked = new Set<string>();
  engine.answers.set(ENGINE_METHOD.publicDecrypt, (body) => {
    asked.add(Buffer.from(body).toString('hex'));
    return held.promise;
  });
  const second = await start(t, { file, engine });
  t.equal(await second.status('GetUserDecryptionResult', idBody(B)), 'OK', 'behind two hundred that wait');
  t.equal(asked.size, ids.length);
  held.resolve(Uint8Array.of(0x22, 1, 7));
  for (const id of ids) t.equal(await second.status('GetPublicDecryptionResult', idBody(id)), 'OK', id);
});

t.test('an accepted decryption whose body is lost has failed after a restart', async (t) => {
  const file = storeFile(t);
  const store = new RequestStore({ file, decCapacity: 10, minDecCache: 5 });
  const place = { contextId: DEFAULT_CONTEXT_ID, epochId: DEFAULT_EPOCH_ID };
  await store.acknowledge(store.begin({ kind: 'public_decrypt', id: A, digest: '', ...place }));
  store.close();
  const core = await start(t, { file });
  t.equal(await core.status('GetPublicDecryptionResult', idBody(A)), 'INTERNAL');
  t.equal(callsOf(core, ENGINE_METHOD.publicDecrypt), 0);
});
