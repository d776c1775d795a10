/** Progress and objects of generations, as the engine client hands them on. */
import { randomBytes } from 'node:crypto';
import t from 'tap';
import { KmsError } from '../../../common/errors.ts';
import type { EngineProgress, ObjectSink } from '../../../parent/core/engine-client/engine-client.ts';
import { ENGINE_METHOD, FRAME_KIND } from '../../../wire/frames.ts';
import { BODY, connectedClient } from '../../helpers/engine-clients.ts';
import type { ScriptedCall } from '../../helpers/scripted-engine.ts';

const { keyGen } = ENGINE_METHOD;

t.test('progress and objects reach the caller; each object is answered when it is stored', async (t) => {
  const bytes = randomBytes(2_500_000);
  const { client } = await connectedClient(t, {
    onCall: async (call) => {
      call.progress('generating', 0.5);
      const first = await call.object({ type: 'PublicKey', id: 'a', bytes, digest: BODY });
      const second = await call.object({ type: 'ServerKey', id: 'a', bytes: new Uint8Array(), digest: BODY });
      call.result(Buffer.from(`${first} ${second}`));
    },
  });
  const seen: string[] = [];
  const got: Buffer[] = [];
  const sink: ObjectSink = {
    start: async ({ type, sizeBytes }) => {
      seen.push(`${type} ${sizeBytes}`);
      return {
        write: async (chunk) => {
          await new Promise(setImmediate); // a slow disk
          got.push(Buffer.from(chunk));
        },
        end: async () => void seen.push('end'),
        abort: async () => void seen.push('abort'),
      };
    },
  };
  const progress: EngineProgress[] = [];
  const answer = await client.call(keyGen, BODY, { bulk: true, sink, onProgress: (p) => progress.push(p) });
  t.equal(Buffer.from(answer).toString(), 'stored stored');
  t.strictSame(seen, ['PublicKey 2500000', 'end', 'ServerKey 0', 'end']);
  t.ok(bytes.equals(Buffer.concat(got)), 'whole and in order');
  t.strictSame(progress, [{ phase: 'generating', fraction: 0.5, estimated: false }]);
});

t.test('an object that cannot be stored fails the call with the reason of the disk, not of the engine', async (t) => {
  const told = Promise.withResolvers<'stored' | KmsError>();
  const { client } = await connectedClient(t, {
    onCall: async (call) => {
      told.resolve(await call.object({ type: 'PublicKey', id: 'a', bytes: randomBytes(3_000_000), digest: BODY }));
      call.fail(new KmsError('TASK_FAILED', 'could not store'));
    },
  });
  let aborted = 0;
  const sink: ObjectSink = {
    start: async () => ({
      write: () => Promise.reject(new KmsError('STORAGE_FULL', 'no space left')),
      end: async () => undefined,
      abort: async () => void aborted++,
    }),
  };
  await t.rejects(client.call(keyGen, BODY, { bulk: true, sink }), { code: 'STORAGE_FULL' });
  t.match(await told.promise, { message: 'no space left' });
  t.equal(aborted, 1);
});

t.test('an object under way is dropped when the engine dies or fails', async (t) => {
  let aborted = 0;
  const writing = Promise.withResolvers<void>();
  const sink: ObjectSink = {
    start: async () => ({
      write: async () => writing.resolve(),
      end: async () => undefined,
      abort: async () => void aborted++,
    }),
  };
  const begin = (call: ScriptedCall) => {
    call.send(FRAME_KIND.objectStart, Buffer.from('1801', 'hex'));
    call.send(FRAME_KIND.objectChunk, BODY);
  };
  const { client, engine } = await connectedClient(t, { onCall: begin });
  const call = client.call(keyGen, BODY, { bulk: true, sink });
  const failed = t.rejects(call, { code: 'UNAVAILABLE' });
  await writing.promise;
  await engine.kill();
  await failed;
  t.equal(aborted, 1, 'died');
  await engine.revive();
  await client.whenConnected();
  engine.script = {
    onCall: (call) => {
      begin(call);
      call.fail(new KmsError('ABORTED', 'stop'));
    },
  };
  await t.rejects(client.call(keyGen, BODY, { bulk: true, sink }), { code: 'ABORTED' });
  t.equal(aborted, 2, 'failed');
  engine.script = {
    onCall: (call) => {
      begin(call);
      call.result(BODY);
    },
  };
  await t.rejects(client.call(keyGen, BODY, { bulk: true, sink }), { code: 'INTERNAL' });
  t.equal(aborted, 3, 'answered too early');
});

t.test('an engine that dies while the disk is at work leaves no half object and says that it died', async (t) => {
  const writing = Promise.withResolvers<void>();
  const stopped = Promise.withResolvers<void>();
  let aborted = 0;
  const sink: ObjectSink = {
    start: async () => ({
      write: async () => {
        writing.resolve();
        await stopped.promise;
        throw new KmsError('CANCELLED', 'the write was cancelled');
      },
      end: async () => undefined,
      abort: async () => {
        aborted += 1;
        stopped.resolve();
      },
    }),
  };
  const { client, engine } = await connectedClient(t, {
    onCall: (call) => {
      call.send(FRAME_KIND.objectStart, Buffer.from('1801', 'hex'));
      call.send(FRAME_KIND.objectChunk, BODY);
    },
  });
  const call = client.call(keyGen, BODY, { bulk: true, sink });
  const failed = t.rejects(call, { code: 'UNAVAILABLE', facts: { reason: 'engine stopped' } });
  await writing.promise;
  await engine.kill();
  await failed;
  t.equal(aborted, 1);
});
