/** The engine client against engines that behave, misbehave and die, on a real Unix socket. */
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { equalBytes } from '../../../common/bytes.ts';
import { KmsError } from '../../../common/errors.ts';
import { openEngineClient } from '../../../parent/core/engine-client/reconnecting-client.ts';
import { ENGINE_METHOD, FRAME_KIND, type FrameKind } from '../../../wire/frames.ts';
import { BODY, connectedClient, silentLog as log, startEngineClient } from '../../helpers/engine-clients.ts';
import { plainDial } from '../../helpers/plain-link.ts';
import type { Script, ScriptedCall } from '../../helpers/scripted-engine.ts';

const { publicDecrypt, keyGen } = ENGINE_METHOD;

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
  const { engine, client } = await connectedClient(t, {
    info: { version: '7', authorizationPolicy: 'operator-trusted' },
  });
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
  const { client } = await connectedClient(t, { onCall });
  const bodies = Array.from({ length: 50 }, () => randomBytes(70_000));
  const answers = await Promise.all(bodies.map((body) => client.call(publicDecrypt, body)));
  t.ok(
    answers.every((answer, at) => equalBytes(answer, bodies[at] ?? BODY)),
    'each its own',
  );
});

t.test('a small answer does not keep the received chunk alive', async (t) => {
  const { client } = await connectedClient(t, { onCall: (call) => call.result(call.body) });
  const answer = await client.call(publicDecrypt, BODY);
  t.equal(answer.buffer.byteLength, BODY.byteLength);
});

t.test('generations and decryptions travel apart', async (t) => {
  const { client } = await connectedClient(t, { onCall: (call) => call.result(Buffer.from(call.role)) });
  t.equal(Buffer.from(await client.call(publicDecrypt, BODY)).toString(), 'core');
  t.equal(Buffer.from(await client.call(keyGen, BODY, { bulk: true })).toString(), 'core-bulk');
});

t.test('the error of the engine keeps its code; one that does not exist is INTERNAL', async (t) => {
  const errors = [new KmsError('NOT_FOUND', 'no such key'), new KmsError('CIPHERTEXT_INVALID', 'cut')];
  const { client, engine } = await connectedClient(t, {
    onCall: (call) => call.fail(errors.shift() ?? new KmsError('INTERNAL', '')),
  });
  await t.rejects(client.call(publicDecrypt, BODY), { code: 'NOT_FOUND', message: 'no such key' });
  await t.rejects(client.call(publicDecrypt, BODY), { code: 'CIPHERTEXT_INVALID' });
  engine.script = { onCall: (call) => call.send(FRAME_KIND.error, Buffer.from('0a014e', 'hex')) };
  await t.rejects(client.call(publicDecrypt, BODY), { code: 'INTERNAL' });
});

t.test('giving up tells the engine and does not wait for it', async (t) => {
  const cancelled = Promise.withResolvers<void>();
  const { client } = await connectedClient(t, {
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
  const { client, engine } = await connectedClient(t, {
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
  const { client, engine } = await connectedClient(t, { onCall }, { clock });
  const slow = client.call(publicDecrypt, BODY, { timeoutMs: 1_000 });
  await arrived.promise;
  nowMs = 1_000;
  await t.rejects(slow, { code: 'DEADLINE_EXCEEDED' });
  calls[0]?.result(BODY);
  engine.script = { onCall: (call) => call.result(BODY) };
  t.strictSame(await client.call(publicDecrypt, BODY, { timeoutMs: 60_000 }), BODY, 'the link is fine');
});

t.test('calls in flight fail when the engine dies, and work again once it is back', async (t) => {
  const { client, engine } = await connectedClient(t, { onCall: () => undefined });
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
  const { engine, client } = await startEngineClient(t);
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
    const { client } = await startEngineClient(t, script);
    await t.rejects(client.whenConnected(AbortSignal.timeout(60)), { code: 'CANCELLED' }, why);
    t.match(client.reason, reason, why);
    await client.close();
  }
  const client = openEngineClient({
    dial: plainDial('/nonexistent/engine.sock'),
    developerMode: true,
    log,
    retryMs: { first: 1, longest: 5 },
  });
  await t.rejects(client.whenConnected(AbortSignal.timeout(30)), { code: 'CANCELLED' });
  t.match(client.reason, /nonexistent.*nobody listens there/);
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
  const { client, engine } = await connectedClient(t);
  for (const [at, attack] of attacks.entries()) {
    engine.script = { onCall: attack };
    await t.rejects(client.call(publicDecrypt, BODY), { code: 'UNAVAILABLE' }, `attack ${at}`);
    await client.whenConnected();
  }
  engine.script = { onCall: (call) => call.result() };
  t.equal((await client.call(publicDecrypt, BODY)).byteLength, 0);
});

t.test('answers to calls that were never made are let pass', async (t) => {
  const { client } = await connectedClient(t, {
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
  const { client, engine } = await connectedClient(t, { onCall: () => undefined }, { maxQueuedBytes: 1_000_000 });
  const big = new Uint8Array(8_000_000);
  const first = client.call(publicDecrypt, big);
  first.catch(() => undefined);
  await t.rejects(client.call(publicDecrypt, big), { code: 'RESOURCE_EXHAUSTED' });
  await engine.kill();
  await t.rejects(first, { code: 'UNAVAILABLE' });
});

t.test('a body that no frame can hold is refused before it is sent', async (t) => {
  const { client } = await connectedClient(t, { onCall: (call) => call.result(BODY) });
  await t.rejects(client.call(publicDecrypt, new Uint8Array(129 * 1024 * 1024)), { code: 'REQUEST_INVALID' });
  t.strictSame(await client.call(publicDecrypt, BODY), BODY, 'the link is fine');
});

t.test('closing fails what is in flight and what comes after', async (t) => {
  const { client } = await connectedClient(t, { onCall: () => undefined });
  const call = client.call(publicDecrypt, BODY);
  const failed = t.rejects(call, { code: 'UNAVAILABLE' });
  await client.close();
  await failed;
  await t.rejects(client.call(publicDecrypt, BODY), { code: 'UNAVAILABLE' });
  await t.rejects(client.whenConnected(), { code: 'CANCELLED' });
});

t.test('no bytes of an engine leave a caller waiting for ever', async (t) => {
  const { client, engine } = await connectedClient(t);
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
