/** Renewal of the connections to the engine: in time, without losing a call, tried again while it fails. */
import t from 'tap';
import { KmsError } from '../../../common/errors.ts';
import { openEngineClient } from '../../../parent/core/engine-client/reconnecting-client.ts';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { BODY, silentLog as log } from '../../helpers/engine-clients.ts';
import { plainDial } from '../../helpers/plain-link.ts';
import { type ScriptedCall, scriptedEngine } from '../../helpers/scripted-engine.ts';

const { publicDecrypt, keyGen } = ENGINE_METHOD;
const retryMs = { first: 1, longest: 2 };

/** Dials so that each connection is to be renewed `lifeMs` after it was made; counts, and fails when told to. */
function shortLived(socketPath: string, lifeMs: number) {
  const dial = plainDial(socketPath);
  const dialled = { count: 0, fails: false };
  const open = async (signal: AbortSignal) => {
    if (dialled.fails) throw new KmsError('UNAVAILABLE', 'the attester is out of order');
    dialled.count += 1;
    return { ...(await dial(signal)), renewAtMs: Date.now() + lifeMs };
  };
  return { dialled, open };
}

t.test('calls of all times are answered while connections come and go', async (t) => {
  const engine = await scriptedEngine(t, { onCall: (call) => void setTimeout(() => call.result(call.body), 3) });
  const { dialled, open } = shortLived(engine.socketPath, 15);
  const client = openEngineClient({ dial: open, developerMode: true, log, retryMs });
  t.teardown(() => client.close());
  await client.whenConnected();
  const states: string[] = [];
  client.onState((state) => states.push(state));
  let calls = 0;
  while (dialled.count < 20) {
    const answers = await Promise.all([1, 2, 3].map(() => client.call(publicDecrypt, BODY)));
    calls += answers.length;
  }
  t.ok(calls > 20, `${calls} calls over ${dialled.count} connections`);
  t.same(states, [], 'nobody was told of a disconnection');
});

t.test('a call under way is answered on the old connection, which then ends', async (t) => {
  const held: ScriptedCall[] = [];
  const engine = await scriptedEngine(t, { onCall: (call) => void held.push(call) });
  const { dialled, open } = shortLived(engine.socketPath, 20);
  const client = openEngineClient({ dial: open, developerMode: true, log, retryMs });
  t.teardown(() => client.close());
  await client.whenConnected();
  const long = client.call(keyGen, BODY, { bulk: true });
  while (dialled.count < 8) await new Promise((resolve) => setTimeout(resolve, 5));
  held[0]?.result(Uint8Array.of(42));
  t.same(await long, Uint8Array.of(42));
});

t.test('service goes on while renewals fail, and ends with the connection', async (t) => {
  const engine = await scriptedEngine(t, { onCall: (call) => call.result(call.body) });
  const { dialled, open } = shortLived(engine.socketPath, 10);
  const warnings: unknown[] = [];
  const told = Object.assign(Object.create(log), { warn: (line: unknown) => warnings.push(line) });
  const client = openEngineClient({ dial: open, developerMode: true, log: told, retryMs, renewalRetryMs: retryMs });
  t.teardown(() => client.close());
  await client.whenConnected();
  dialled.fails = true;
  while (warnings.length < 5) t.same(await client.call(publicDecrypt, BODY), BODY);
  t.match(warnings[0], { event: 'engine.link.renewal-failed', err: { message: /attester/ } });
  await engine.kill();
  await t.rejects(client.call(publicDecrypt, BODY), { code: 'UNAVAILABLE' });
  while (client.reason !== 'the attester is out of order') await new Promise((resolve) => setTimeout(resolve, 1));
  t.pass('health says why');
  await engine.revive();
  dialled.fails = false;
  await client.whenConnected();
  t.same(await client.call(publicDecrypt, BODY), BODY, 'and it comes back');
});
