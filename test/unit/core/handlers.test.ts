/** What request handlers do beside answering a status: what reaches the engine, who waits, who is told what. */
import { hash } from 'node:crypto';
import { fromBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { KmsError } from '../../../common/errors.ts';
import {
  HealthStatusResponseSchema,
  KeyMaterialAvailabilityResponseSchema,
  NodeType,
} from '../../../proto/gen/kms_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { DEFAULT_EPOCH_ID } from '../../../wire/ids.ts';
import { errorOf, hold, settled } from './handler-helpers.ts';
import {
  crsGeneration,
  idBody,
  idOf,
  KEY_ID,
  keyGeneration,
  preprocessing,
  publicDecryption,
  userDecryption,
} from './requests.ts';
import { startTestCore, untilAborted } from './test-core.ts';

const A = idOf('a');
const B = idOf('b');
const C = idOf('c');

t.test('says in the status which request failed in which operation, and the rest in details', async (t) => {
  const core = await startTestCore(t);
  const unknownKey = await errorOf(core.raw('PublicDecryptSync', publicDecryption(A, { keyId: { requestId: B } })));
  t.match(unknownKey, {
    status: 5,
    message: `Failed on requestID ${A} with metric public_decrypt_request`,
    explanation: 'this node has no such key in that epoch',
    details: { reason: 'NOT_FOUND', metadata: { keyId: B, epochId: DEFAULT_EPOCH_ID } },
  });
  const noId = await errorOf(core.raw('GetKeyGenResult', idBody('zz')));
  t.equal(noId.message, `Failed on requestID 01${'0'.repeat(62)} with metric keygen_result`);
  t.equal(noId.details?.metadata.field, 'request_id');
  core.engine.become('disconnected');
  const away = await errorOf(core.raw('PublicDecryptSync', publicDecryption(A)));
  t.match(away, { status: 14, explanation: 'the engine is not connected: stopped by the test' });
  t.ok((away.details?.retryAfterMs ?? 0) > 0, 'with a time to try again');
});

t.test('hands the engine the request as it came, and the client the answer as it came', async (t) => {
  const core = await startTestCore(t);
  const answer = Uint8Array.of(0x22, 3, 9, 8, 7);
  core.engine.answers.set(ENGINE_METHOD.userDecrypt, () => answer);
  const body = userDecryption(A);
  t.same(Buffer.from(await core.raw('UserDecryptSync', body)), Buffer.from(answer));
  t.ok(Buffer.from(core.engine.calls[0]?.body ?? []).equals(body));
  t.same(Buffer.from(await core.raw('GetUserDecryptionResult', idBody(A))), Buffer.from(answer), 'and later again');
});

t.test('one id is one decryption, however many ask at once', async (t) => {
  const core = await startTestCore(t);
  const gate = hold(core, ENGINE_METHOD.publicDecrypt);
  const calls = Array.from({ length: 10 }, () => core.raw('PublicDecryptSync', publicDecryption(A)));
  const polls = calls[0]?.then(() => core.raw('GetPublicDecryptionResult', idBody(A)));
  while (core.engine.calls.length === 0) await new Promise((resolve) => setImmediate(resolve));
  gate.answer(Uint8Array.of(0x22, 1, 5));
  const answers = await Promise.all([...calls, polls]);
  t.ok(answers.every((answer) => answer && Buffer.from(answer).equals(Buffer.of(0x22, 1, 5))));
  t.equal(core.engine.calls.length, 1);
});

t.test('goes on with a sync request whose client has left', async (t) => {
  const core = await startTestCore(t);
  const gate = hold(core, ENGINE_METHOD.publicDecrypt);
  const abort = new AbortController();
  const path = '/kms_service.v1.CoreServiceEndpoint/PublicDecryptSync';
  const left = errorOf(core.client.callRaw(path, publicDecryption(A), { signal: abort.signal }));
  while (core.engine.calls.length === 0) await new Promise((resolve) => setImmediate(resolve));
  abort.abort();
  t.equal((await left).status, 1);
  gate.answer(Uint8Array.of(0x22, 1, 5));
  t.same(Buffer.from(await core.raw('PublicDecryptSync', publicDecryption(A))), Buffer.of(0x22, 1, 5));
  t.equal(core.engine.calls.length, 1);
});

t.test('measures the work of the engine apart from the call, by type', async (t) => {
  const core = await startTestCore(t);
  const item = { ciphertext: Uint8Array.of(1), externalHandle: new Uint8Array(32) };
  await core.raw('PublicDecryptSync', publicDecryption(A, { ciphertexts: [{ ...item, fheType: 5 }] }));
  const mixed = [
    { ...item, fheType: 5 },
    { ...item, fheType: 0 },
  ];
  await core.raw('PublicDecryptSync', publicDecryption(B, { ciphertexts: mixed }));
  core.engine.answers.set(ENGINE_METHOD.publicDecrypt, () => {
    throw new KmsError('CIPHERTEXT_INVALID', 'not a ciphertext');
  });
  await core.status('PublicDecryptSync', publicDecryption(C, { ciphertexts: [{ ...item, fheType: 0 }] }));
  const text = await core.metrics();
  const labels = 'operation_type="public_decrypt_inner",party_id="central"';
  t.match(text, 'kms_operations_total{operation="public_decrypt_inner"} 3');
  t.match(text, 'kms_operation_errors_total{operation="public_decrypt_inner",error="invalid_argument"} 1');
  for (const more of ['', ',tfhe_type="euint64"', ',tfhe_type="ebool"']) {
    t.match(text, `kms_operation_duration_ms_count{${labels}${more}} 1`);
  }
});

t.test('holds tokens until the work in the background ends', async (t) => {
  const core = await startTestCore(t, { limits: { bucket_size: 3, pub_decrypt: 1, keygen: 3, preproc: 1 } });
  const gate = hold(core, ENGINE_METHOD.publicDecrypt);
  for (const name of ['1', '2', '3']) await core.raw('PublicDecrypt', publicDecryption(idOf(name)));
  t.equal(core.limiterUsed(), 3);
  t.equal(await core.status('PublicDecrypt', publicDecryption(A)), 'RESOURCE_EXHAUSTED');
  t.equal(core.store.find('public_decrypt', A), undefined, 'and nothing of it is remembered');
  gate.answer(new Uint8Array(0));
  await settled(core, 'public_decrypt', idOf('3'));
  await core.raw('GetPublicDecryptionResult', idBody(idOf('3')));
  t.equal(core.limiterUsed(), 0);

  await core.raw('KeyGenPreproc', preprocessing(A));
  await settled(core, 'preproc', A);
  core.generations.onRun = untilAborted;
  await core.raw('KeyGen', keyGeneration(B, A));
  t.equal(core.limiterUsed(), 3, 'a generation holds its own');
  t.equal(await core.status('PublicDecryptSync', publicDecryption(A)), 'RESOURCE_EXHAUSTED');
  await core.raw('AbortKeyGen', idBody(A));
  t.equal(await core.status('PublicDecryptSync', publicDecryption(A)), 'OK');
  t.equal(core.limiterUsed(), 0);
});

t.test('gives tokens back when a request is refused', async (t) => {
  const core = await startTestCore(t);
  await core.status('PublicDecryptSync', publicDecryption('bad'));
  await core.status('KeyGen', keyGeneration(A, B));
  await core.status('CrsGen', crsGeneration(A, { maxNumBits: 3 }));
  t.equal(core.limiterUsed(), 0);
});

t.test('does an acknowledged decryption when the engine is back', async (t) => {
  const core = await startTestCore(t);
  core.engine.answers.set(ENGINE_METHOD.publicDecrypt, () => {
    core.engine.become('disconnected');
    throw new KmsError('UNAVAILABLE', 'the engine went away during the call', { reason: 'engine stopped' });
  });
  await core.raw('PublicDecrypt', publicDecryption(A));
  const poll = core.raw('GetPublicDecryptionResult', idBody(A));
  while (core.engine.state === 'connected') await new Promise((resolve) => setImmediate(resolve));
  core.engine.answers.set(ENGINE_METHOD.publicDecrypt, () => Uint8Array.of(0x22, 1, 5));
  core.engine.become('connected');
  t.same(Buffer.from(await poll), Buffer.of(0x22, 1, 5));
});

t.test('gives up a request that stops the engine each time', async (t) => {
  const core = await startTestCore(t);
  core.engine.answers.set(ENGINE_METHOD.publicDecrypt, () => {
    throw new KmsError('UNAVAILABLE', 'the engine went away during the call', { reason: 'engine stopped' });
  });
  await core.raw('PublicDecrypt', publicDecryption(A));
  t.equal(await core.status('GetPublicDecryptionResult', idBody(A)), 'INTERNAL');
  t.equal(core.engine.calls.length, 3);
});

t.test('lists the keys and CRSs that the engine has', async (t) => {
  const core = await startTestCore(t);
  core.engine.setKeys([KEY_ID, A], [B]);
  const availability = await core.raw('GetKeyMaterialAvailability', new Uint8Array(0));
  const wanted = [KEY_ID, A].sort();
  t.match(fromBinary(KeyMaterialAvailabilityResponseSchema, availability), {
    fheKeyIds: wanted,
    crsIds: [B],
    preprocessingIds: [],
    storageInfo: 'file storage',
  });
  const health = await core.raw('GetHealthStatus', new Uint8Array(0));
  t.match(fromBinary(HealthStatusResponseSchema, health), {
    peersFromAllContexts: [],
    myFheKeyIds: wanted,
    myCrsIds: [B],
    nodeType: NodeType.CENTRALIZED,
  });
});

t.test('logs no body, no address and no text of a client', async (t) => {
  const core = await startTestCore(t);
  await core.raw('UserDecryptSync', userDecryption(A));
  await core.status('UserDecryptSync', userDecryption(B, { clientAddress: 'somebody-private' }));
  await core.status('PublicDecryptSync', publicDecryption('my-private-id'));
  const other = await startTestCore(t, { logLevel: 'info' });
  other.engine.answers.set(ENGINE_METHOD.publicDecrypt, () => {
    throw new TypeError('plaintext 42');
  });
  t.equal(await other.status('PublicDecryptSync', publicDecryption(C)), 'INTERNAL');
  const log = [...core.logs, ...other.logs].join('');
  for (const secret of ['private', 'plaintext', '0x5aAeb', '0707070707', 'BwcHBw']) t.notMatch(log, secret);
  t.match(log, 'public_decrypt.failed', 'a bug is logged');
});

t.test('a request is never overwritten while the engine may read it', async (t) => {
  const core = await startTestCore(t);
  const changed: string[] = [];
  core.engine.answers.set(ENGINE_METHOD.publicDecrypt, async (body) => {
    const before = hash('sha256', body);
    for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve));
    if (hash('sha256', body) !== before) changed.push(before);
    return new Uint8Array(0);
  });
  const path = '/kms_service.v1.CoreServiceEndpoint/PublicDecryptSync';
  const calls = Array.from({ length: 120 }, async (_, at) => {
    const ciphertexts = [{ ciphertext: Buffer.alloc(99_000, at), fheType: 5 }];
    const abort = new AbortController();
    if (at % 3 === 0) setTimeout(() => abort.abort(), at % 20);
    const rpc = at % 4 === 0 ? path.replace('Sync', '') : path;
    const body = publicDecryption(idOf(`overwrite ${at}`), { ciphertexts });
    await core.client.callRaw(rpc, body, { signal: abort.signal }).catch(() => undefined);
  });
  await Promise.all(calls);
  t.ok(core.engine.calls.length > 60);
  t.same(changed, []);
});
