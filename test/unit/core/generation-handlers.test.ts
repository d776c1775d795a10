import { setImmediate as turn } from 'node:timers/promises';
import { fromBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { KeyGenCallSchema } from '../../../proto/gen/engine_pb.js';
import { KeyGenResultSchema } from '../../../proto/gen/kms_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { DEFAULT_EPOCH_ID } from '../../../wire/ids.ts';
import { hold, settled } from './handler-helpers.ts';
import { crsGeneration, idBody, idOf, keyGeneration, preprocessing } from './requests.ts';
import { startTestCore, untilAborted } from './test-core.ts';

const A = idOf('a');
const B = idOf('b');
const C = idOf('c');

t.test('a key generation takes both requests along and uses the preprocessing up', async (t) => {
  const core = await startTestCore(t);
  const result = Uint8Array.of(0x0a, 0);
  core.generations.onRun = async () => result;
  await core.raw('InsecureKeyGenPreproc', preprocessing(A));
  await settled(core, 'preproc', A);
  await core.raw('InsecureKeyGen', keyGeneration(B, A));
  await settled(core, 'keygen', B);
  const run = core.generations.runs[0];
  t.match(run, { method: ENGINE_METHOD.keyGen, id: B, epochId: DEFAULT_EPOCH_ID });
  const call = fromBinary(KeyGenCallSchema, run?.body ?? new Uint8Array(0));
  t.ok(Buffer.from(call.request).equals(keyGeneration(B, A)));
  t.ok(Buffer.from(call.preprocRequest).equals(preprocessing(A)));
  t.equal(call.insecure, true);
  t.equal(core.store.find('preproc', A)?.consumedBy, B);
  t.same(Buffer.from(await core.raw('GetKeyGenResult', idBody(B))), Buffer.from(result));
});

t.test('the result of a key is what the engine signed last for it', async (t) => {
  const core = await startTestCore(t);
  await core.raw('KeyGenPreproc', preprocessing(A));
  await core.raw('KeyGen', keyGeneration(B, A));
  await settled(core, 'keygen', B);
  const types = async (): Promise<string[]> =>
    fromBinary(KeyGenResultSchema, await core.raw('GetKeyGenResult', idBody(B))).keyDigests.map((d) => d.keyType);
  t.same(await types(), [], 'as the generation answered');
  core.engine.setKeys([B]);
  t.same(await types(), ['PublicKey'], 'a later generation gave it other objects');
});

t.test('a preprocessing that was begun can be used without asking for it first', async (t) => {
  const core = await startTestCore(t, { waits: { recordMs: 60_000 } });
  const held = hold(core, ENGINE_METHOD.keyGenPreproc);
  const started = core.status('KeyGenPreproc', preprocessing(A));
  while (!core.store.find('preproc', A)) await turn();
  held.answer(new Uint8Array(0));
  t.equal(await started, 'OK');
  t.equal(core.store.find('preproc', A)?.state, 'done', 'recorded before the start is answered');
  t.equal(await core.status('KeyGen', keyGeneration(B, A)), 'OK');
});

t.test('two key generations at once cannot use one preprocessing', async (t) => {
  const core = await startTestCore(t);
  await core.raw('KeyGenPreproc', preprocessing(A));
  await settled(core, 'preproc', A);
  const statuses = await Promise.all([B, C].map((id) => core.status('KeyGen', keyGeneration(id, A))));
  t.same(statuses.sort(), ['ALREADY_EXISTS', 'OK']);
  t.equal(core.generations.runs.length, 1);
});

t.test('logs each phase of a generation once', async (t) => {
  const core = await startTestCore(t);
  core.generations.onRun = (run) => {
    for (const fraction of [0.25, 0.5]) run.onProgress?.({ phase: 'server key', fraction, estimated: true });
    return untilAborted(run);
  };
  await core.raw('CrsGen', crsGeneration(A));
  const lines = core.logs.filter((line) => line.includes('crsgen.phase'));
  t.equal(lines.length, 1);
  t.match(JSON.parse(lines[0] ?? ''), { requestId: A, phase: 'server key', fraction: 0.25, estimated: true });
});
