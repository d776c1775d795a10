/** The engine client against engines that behave, misbehave and die, on a real Unix socket. */
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { equalBytes } from '../../../common/bytes.ts';
import { KmsError } from '../../../common/errors.ts';
import { createLogger } from '../../../common/log.ts';
import type { EngineProgress, ObjectSink } from '../../../parent/core/engine-client/engine-client.ts';
import {
  type EngineClientOptions,
  openEngineClient,
  unixDialer,
} from '../../../parent/core/engine-client/socket-engine-client.ts';
import { ENGINE_METHOD, FRAME_KIND, type FrameKind } from '../../../wire/frames.ts';
import { type Script, type ScriptedCall, scriptedEngine } from '../../helpers/scripted-engine.ts';

const log = createLogger({ name: 'test', level: 'silent' });
const { publicDecrypt, keyGen } = ENGINE_METHOD;
const BODY = Uint8Array.of(1, 2, 3);

async function start(t: Test, script: Script = {}, overrides: Partial<EngineClientOptions> = {}) {
  const engine = await scriptedEngine(t, script);
  const dial = unixDialer(engine.socketPath);
  const retryMs = { first: 1, longest: 5 };
  const client = openEngineClient({ dial, developerMode: true, log, retryMs, ...overrides });
  t.teardown(() => client.close());
  return { engine, client };
}

async function connected(t: Test, script: Script = {}, overrides: Partial<EngineClientOptions> = {}) {
  const both = await start(t, script, overrides);
  await both.client.whenConnected();
  return both;
}

/** Resolves when the client says that it is in the state. */
function inState(client: { onState: (listener: (state: string) => void) => () => void }, wanted: string) {
  return new Promise<void>((resolve) => {
    const forget = client.onState((state) => {
      if (state !== wanted) return;
      forget();
      resolve();
    });
  });
}

t.test('opens one connection for calls and one for generations, and knows the engine', async (t) => {
  const { engine, client } = await connected(t, { info: { version: '7', authorizationPolicy: 'operator-trusted' } });
  t.strictSame(engine.greeted, ['core', 'core-bulk']);
  t.equal(client.state, 'connected');
  t.equal(client.reason, undefined);
  t.equal(client.info()?.version, '7');
  t.equal(client.info()?.authorizationPolicy, 'operator-trusted');
});

t.test('answers come back to their callers, in whatever order the engine gives them', async (t) => {
  const waiting: ScriptedCall[] = [];
  const onCall = (call: ScriptedCall) => {
    waiting.push(call);
    if (waiting.length === 50) for (const late of waiting.reverse()) late.result(late.body);
  };
  const { client } = await connected(t, { onCall });
  const bodies = Array.from({ length: 50 }, () => randomBytes(70_000));
  const answers = await Promise.all(bodies.map((body) => client.call(publicDecrypt, body)));
  t.ok(
    answers.every((answer, at) => equalBytes(answer, bodies[at] ?? BODY)),
    'each its own',
  );
});

t.test('a small answer does not keep the received chunk alive', async (t) => {
  const { client } = await connected(t, { onCall: (call) => call.result(call.body) });
  const answer = await client.call(publicDecrypt, BODY);
  t.equal(answer.buffer.byteLength, BODY.byteLength);
});

t.test('generations and decryptions travel apart', async (t) => {
  const { client } = await connected(t, { onCall: (call) => call.result(Buffer.from(call.role)) });
  t.equal(Buffer.from(await client.call(publicDecrypt, BODY)).toString(), 'core');
  t.equal(Buffer.from(await client.call(keyGen, BODY, { bulk: true })).toString(), 'core-bulk');
});

t.test('the error of the engine keeps its code; one that does not exist is INTERNAL', async (t) => {
  const errors = [new KmsError('NOT_FOUND', 'no such key'), new KmsError('CIPHERTEXT_INVALID', 'cut')];
  const { client, engine } = await connected(t, {
    onCall: (call) => call.fail(errors.shift() ?? new KmsError('INTERNAL', '')),
  });
  await t.rejects(client.call(publicDecrypt, BODY), { code: 'NOT_FOUND', message: 'no such key' });
  await t.rejects(client.call(publicDecrypt, BODY), { code: 'CIPHERTEXT_INVALID' });
  engine.script = { onCall: (call) => call.send(FRAME_KIND.error, Buffer.from('0a014e', 'hex')) };
  await t.rejects(client.call(publicDecrypt, BODY), { code: 'INTERNAL' });
});

t.test('giving up tells the engine and does not wait for it', async (t) => {
  const cancelled = Promise.withResolvers<void>();
  const { client } = await connected(t, {
    onCall: (call) => void call.cancelled.then(() => cancelled.resolve()),
  });
  const stop = new AbortController();
  const call = client.call(publicDecrypt, BODY, { signal: stop.signal });
  stop.abort();
  await t.rejects(call, { code: 'CANCELLED' });
  await cancelled.promise;
  await t.rejects(client.call(publicDecrypt, BODY, { signal: stop.signal }), { code: 'CANCELLED' }, 'aborted before');
});

t.test('an aborted generation ends as the engine says: aborted, or done after all', async (t) => {
  const { client, engine } = await connected(t, {
    onCall: async (call) => {
      await call.cancelled;
      call.fail(new KmsError('ABORTED', 'aborted by request'));
    },
  });
  const abort = async () => {
    const stop = new AbortController();
    const call = client.call(keyGen, BODY, { bulk: true, signal: stop.signal });
    stop.abort();
    return await call;
  };
  await t.rejects(abort(), { code: 'ABORTED' });
  engine.script = {
    onCall: async (call) => {
      await call.cancelled;
      call.result(BODY);
    },
  };
  t.strictSame(await abort(), BODY, 'it had been committed');
});

t.test('a call that takes too long fails, and its late answer bothers nobody', async (t) => {
  let nowMs = 0;
  const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs };
  const calls: ScriptedCall[] = [];
  const arrived = Promise.withResolvers<void>();
  const onCall = (call: ScriptedCall) => {
    calls.push(call);
    arrived.resolve();
  };
  const { client, engine } = await connected(t, { onCall }, { clock });
  const slow = client.call(publicDecrypt, BODY, { timeoutMs: 1_000 });
  await arrived.promise;
  nowMs = 1_000;
  await t.rejects(slow, { code: 'DEADLINE_EXCEEDED' });
  calls[0]?.result(BODY);
  engine.script = { onCall: (call) => call.result(BODY) };
  t.strictSame(await client.call(publicDecrypt, BODY, { timeoutMs: 60_000 }), BODY, 'the link is fine');
});

t.test('calls in flight fail when the engine dies, and work again once it is back', async (t) => {
  const { client, engine } = await connected(t, { onCall: () => undefined });
  const calls = [client.call(publicDecrypt, BODY), client.call(keyGen, BODY, { bulk: true })];
  const down = inState(client, 'disconnected');
  const outcomes = Promise.all(
    calls.map((call) => t.rejects(call, { code: 'UNAVAILABLE', facts: { reason: 'engine stopped' } })),
  );
  await engine.kill();
  await outcomes;
  await down;
  t.equal(client.state, 'disconnected');
  await t.rejects(client.call(publicDecrypt, BODY), { code: 'UNAVAILABLE', facts: { reason: 'engine down' } });
  engine.script = { onCall: (call) => call.result(call.body) };
  await engine.revive();
  await client.whenConnected();
  t.strictSame(await client.call(publicDecrypt, BODY), BODY);
});

t.test('waits for an engine that starts later', async (t) => {
  const { engine, client } = await start(t);
  await engine.kill();
  await engine.revive();
  await client.whenConnected();
  t.equal(client.state, 'connected');
});

t.test('names what stands in the way of a connection', async (t) => {
  const cases: [string, Script, RegExp][] = [
    ['other protocol', { hello: { protocolVersion: 99 } }, /speaks link protocol 99, this core 1/],
    ['other mode', { hello: { developerMode: false } }, /engine runs in production mode, this core in developer mode/],
    ['not an engine', { hello: { role: 'core' } }, /not an engine/],
  ];
  for (const [why, script, reason] of cases) {
    const { client } = await start(t, script);
    await t.rejects(client.whenConnected(AbortSignal.timeout(60)), { code: 'CANCELLED' }, why);
    t.match(client.reason, reason, why);
    await client.close();
  }
  const client = openEngineClient({
    dial: unixDialer('/nonexistent/engine.sock'),
    developerMode: true,
    log,
    retryMs: { first: 1, longest: 5 },
  });
  await t.rejects(client.whenConnected(AbortSignal.timeout(30)), { code: 'CANCELLED' });
  t.match(client.reason, /nonexistent.*no engine listens there/);
  await client.close();
});

t.test('an engine that sends garbage is cut off, and tried again', async (t) => {
  const attacks: ((call: ScriptedCall) => void)[] = [
    (call) => call.send(FRAME_KIND.objectStored),
    (call) => call.send(FRAME_KIND.cancel),
    (call) => call.send(FRAME_KIND.objectChunk, BODY),
    (call) => call.send(FRAME_KIND.objectEnd, BODY),
    (call) => call.send(FRAME_KIND.error, Buffer.from('ff', 'hex')),
    (call) => call.send(FRAME_KIND.progress, Buffer.from('ff', 'hex')),
  ];
  const { client, engine } = await connected(t);
  for (const [at, attack] of attacks.entries()) {
    engine.script = { onCall: attack };
    await t.rejects(client.call(publicDecrypt, BODY), { code: 'UNAVAILABLE' }, `attack ${at}`);
    await client.whenConnected();
  }
  engine.script = { onCall: (call) => call.result() };
  t.equal((await client.call(publicDecrypt, BODY)).byteLength, 0);
});

t.test('answers to calls that were never made are let pass', async (t) => {
  const { client } = await connected(t, {
    onCall: (call) => {
      call.result(BODY);
      call.result(BODY);
      call.progress('again', 1);
    },
  });
  t.strictSame(await client.call(publicDecrypt, BODY), BODY);
  t.strictSame(await client.call(publicDecrypt, BODY), BODY);
});

t.test('refuses calls when too much waits to be sent', async (t) => {
  const { client, engine } = await connected(t, { onCall: () => undefined }, { maxQueuedBytes: 1_000_000 });
  const big = new Uint8Array(8_000_000);
  const first = client.call(publicDecrypt, big);
  first.catch(() => undefined);
  await t.rejects(client.call(publicDecrypt, big), { code: 'RESOURCE_EXHAUSTED' });
  await engine.kill();
  await t.rejects(first, { code: 'UNAVAILABLE' });
});

t.test('a body that no frame can hold is refused before it is sent', async (t) => {
  const { client } = await connected(t, { onCall: (call) => call.result(BODY) });
  await t.rejects(client.call(publicDecrypt, new Uint8Array(129 * 1024 * 1024)), { code: 'REQUEST_INVALID' });
  t.strictSame(await client.call(publicDecrypt, BODY), BODY, 'the link is fine');
});

t.test('progress and objects reach the caller; each object is answered when it is stored', async (t) => {
  const bytes = randomBytes(2_500_000);
  const { client } = await connected(t, {
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
  const { client } = await connected(t, {
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
  const { client, engine } = await connected(t, { onCall: begin });
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
  const { client, engine } = await connected(t, {
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

t.test('closing fails what is in flight and what comes after', async (t) => {
  const { client } = await connected(t, { onCall: () => undefined });
  const call = client.call(publicDecrypt, BODY);
  const failed = t.rejects(call, { code: 'UNAVAILABLE' });
  await client.close();
  await failed;
  await t.rejects(client.call(publicDecrypt, BODY), { code: 'UNAVAILABLE' });
  await t.rejects(client.whenConnected(), { code: 'CANCELLED' });
});

t.test('no bytes of an engine leave a caller waiting for ever', async (t) => {
  const { client, engine } = await connected(t);
  const kind = fc.constantFrom<Exclude<FrameKind, 1>>(2, 3, 4, 5, 6, 7, 8, 9, 10);
  const frames = fc.array(fc.tuple(kind, fc.uint8Array({ maxLength: 40 })), { minLength: 1, maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(frames, async (sent) => {
      engine.script = {
        onCall: (call) => {
          for (const [kind, payload] of sent) {
            try {
              call.send(kind, payload);
            } catch {
              call.send(kind); // kinds that take no payload
            }
          }
          call.fail(new KmsError('TASK_FAILED', 'the end'));
        },
      };
      await client.whenConnected();
      await client.call(publicDecrypt, BODY).catch(() => undefined);
    }),
    { numRuns: 60 },
  );
  engine.script = { onCall: (call) => call.result(BODY) };
  await client.whenConnected();
  t.ok(equalBytes(await client.call(publicDecrypt, BODY), BODY), 'works after all that');
});
