/** A Core that starts again where another stopped. */
import t from 'tap';
import { KmsError } from '../../../common/errors.ts';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { settled } from './handler-helpers.ts';
import {
  crsGeneration,
  idBody,
  idOf,
  keyGeneration,
  preprocessing,
  publicDecryption,
  userDecryption,
} from './requests.ts';
import { ScriptedEngine } from './scripted-engine.ts';
import { ScriptedGenerations, startTestCore, storeFile } from './test-core.ts';

const A = idOf('a');
const B = idOf('b');
const C = idOf('c');

const never = (): Promise<Uint8Array> => new Promise(() => undefined);

t.test('finished results are there, interrupted decryptions are done again', async (t) => {
  const file = storeFile(t);
  const first = await startTestCore(t, { file });
  await first.raw('PublicDecryptSync', publicDecryption(A));
  first.engine.answers.set(ENGINE_METHOD.publicDecrypt, never);
  first.engine.answers.set(ENGINE_METHOD.userDecrypt, never);
  await first.raw('PublicDecrypt', publicDecryption(B));
  await first.raw('UserDecrypt', userDecryption(B));
  const lost = first.raw('PublicDecryptSync', publicDecryption(C));
  lost.catch(() => undefined);
  await first.stop();

  const engine = new ScriptedEngine();
  engine.answers.set(ENGINE_METHOD.publicDecrypt, () => Uint8Array.of(0x22, 1, 5));
  const second = await startTestCore(t, { file, engine });
  t.same(Buffer.from(await second.raw('GetPublicDecryptionResult', idBody(A))), Buffer.of(0x22, 2, 1, 2), 'as it was');
  t.same(Buffer.from(await second.raw('GetPublicDecryptionResult', idBody(B))), Buffer.of(0x22, 1, 5), 'done now');
  t.equal(await second.status('GetUserDecryptionResult', idBody(B)), 'OK');
  t.equal(await second.status('GetPublicDecryptionResult', idBody(C)), 'NOT_FOUND', 'nobody was promised that one');
  const sent = engine.calls.map(({ body }) => Buffer.from(body));
  t.ok(sent.some((body) => body.equals(publicDecryption(B))) && sent.some((body) => body.equals(userDecryption(B))));
  t.equal(sent.length, 2);
});

t.test('interrupted generations end as the engine says', async (t) => {
  const cases = [
    ['done', async () => ({ state: 'done', result: Uint8Array.of(0x12, 0) }) as const, false, 'OK'],
    ['failed', async () => ({ state: 'failed', reason: 'engine stopped' }) as const, false, 'INTERNAL'],
    ['failed after an abort', async () => ({ state: 'failed', reason: 'engine stopped' }) as const, true, 'ABORTED'],
    ['done in spite of an abort', async () => ({ state: 'done', result: new Uint8Array(0) }) as const, true, 'OK'],
  ] as const;
  for (const [name, onSettle, aborted, status] of cases) {
    const file = storeFile(t);
    const first = await startTestCore(t, { file, waits: { abortMs: 10 } });
    first.generations.onRun = never;
    await first.raw('KeyGenPreproc', preprocessing(A));
    await settled(first, 'preproc', A);
    await first.raw('KeyGen', keyGeneration(B, A));
    await first.raw('CrsGen', crsGeneration(C));
    if (aborted) {
      await first.raw('AbortKeyGen', idBody(A));
      await first.raw('AbortCrsGen', idBody(C));
    }
    await first.stop();

    const generations = new ScriptedGenerations();
    generations.onSettle = onSettle;
    const second = await startTestCore(t, { file, generations });
    t.equal(await second.status('GetKeyGenResult', idBody(B)), status, `key: ${name}`);
    t.equal(await second.status('GetCrsGenResult', idBody(C)), status, `CRS: ${name}`);
    t.equal(generations.runs.length, 0, 'none is run again');
    t.equal(await second.status('KeyGen', keyGeneration(C, A)), 'ALREADY_EXISTS', 'the preprocessing stays used');
    await second.stop();
  }
});

t.test('preprocessings survive, and one that was interrupted is done', async (t) => {
  const file = storeFile(t);
  const first = await startTestCore(t, { file });
  await first.raw('KeyGenPreproc', preprocessing(A));
  await settled(first, 'preproc', A);
  first.engine.answers.set(ENGINE_METHOD.keyGenPreproc, never);
  await first.raw('KeyGenPreproc', preprocessing(B));
  await first.stop();

  const second = await startTestCore(t, { file });
  for (const id of [A, B]) t.equal(await second.status('GetKeyGenPreprocResult', idBody(id)), 'OK');
  t.equal(await second.status('KeyGen', keyGeneration(C, B)), 'OK');
});

t.test('waits for the engine, and does not serve before', async (t) => {
  const file = storeFile(t);
  const first = await startTestCore(t, { file });
  first.generations.onRun = never;
  await first.raw('CrsGen', crsGeneration(C));
  await first.stop();

  const engine = new ScriptedEngine();
  engine.become('disconnected');
  const generations = new ScriptedGenerations();
  let asked = 0;
  generations.onSettle = async () => {
    if (++asked === 1) throw new KmsError('UNAVAILABLE', 'the engine is down');
    return { state: 'failed', reason: 'engine stopped' };
  };
  const second = await startTestCore(t, { file, engine, generations, recover: false });
  const recovering = second.core.recover();
  t.match(second.core.reasons(), [/the engine is not connected/]);
  t.equal(await second.status('GetCrsGenResult', idBody(C)), 'UNAVAILABLE');
  engine.become('connected');
  t.match(second.core.reasons(), [/taken up/]);
  await recovering;
  t.same(second.core.reasons(), []);
  t.equal(await second.status('GetCrsGenResult', idBody(C)), 'INTERNAL');
});

t.test('stops while it waits for the engine', async (t) => {
  const file = storeFile(t);
  const first = await startTestCore(t, { file });
  first.engine.answers.set(ENGINE_METHOD.publicDecrypt, never);
  await first.raw('PublicDecrypt', publicDecryption(A));
  await first.stop();

  const engine = new ScriptedEngine();
  engine.become('disconnected');
  const second = await startTestCore(t, { file, engine, recover: false });
  const recovering = second.core.recover();
  recovering.catch(() => undefined);
  await second.stop();
  await t.rejects(recovering);
  const third = await startTestCore(t, { file });
  t.equal(await third.status('GetPublicDecryptionResult', idBody(A)), 'OK', 'and the next one does it');
});
