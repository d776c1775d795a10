/** Waiting for all parties of a quorum: what is asked, when it ends, and what is said meanwhile. */
import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { createLogger } from '../../../common/log.ts';
import { followQuorum } from '../../../parent/core/quorum/follow-quorum.ts';
import { QuorumEngine } from './quorum-engine.ts';
import { ScriptedEngine } from './scripted-engine.ts';

const log = createLogger({ name: 'test', level: 'silent' });

class CountingEngine extends QuorumEngine {
  asked = 0;
  override refreshInfo(): ReturnType<ScriptedEngine['refreshInfo']> {
    this.asked++;
    return super.refreshInfo();
  }
}

function unsettled(): CountingEngine {
  const engine = new CountingEngine();
  engine.settled = false;
  engine.describeAgain();
  return engine;
}

const isDone = async (work: Promise<unknown>): Promise<boolean> => {
  let done = false;
  work.then(
    () => (done = true),
    () => (done = true),
  );
  for (let count = 0; count < 5; count++) await turn();
  return done;
};

t.test('is settled at once, and asks nothing, when the engine says so from the start', async (t) => {
  const engine = new CountingEngine();
  const quorum = followQuorum(engine, log, 1);
  t.teardown(() => quorum.close());
  await quorum.settled;
  t.strictSame(quorum.reasons(), []);
  t.equal(engine.asked, 0);
});

t.test('asks until the parties have settled, then no more', async (t) => {
  const engine = unsettled();
  const quorum = followQuorum(engine, log, 1);
  t.teardown(() => quorum.close());
  while (engine.asked < 3) await new Promise((resolve) => setTimeout(resolve, 1));
  t.notOk(await isDone(quorum.settled));
  t.match(quorum.reasons(), [/have not all made the first epoch/]);
  engine.settled = true;
  await quorum.settled;
  const { asked } = engine;
  for (let count = 0; count < 20; count++) await turn();
  t.equal(engine.asked, asked);
});

t.test('tells an engine that waits for governance, and goes on asking', async (t) => {
  const engine = unsettled();
  engine.awaitsGovernance = true;
  const quorum = followQuorum(engine, log, 1);
  t.teardown(() => quorum.close());
  await quorum.blocked;
  t.notOk(await isDone(quorum.settled));
  engine.settled = true;
  await quorum.settled;
});

t.test('goes on when the engine comes back, however it failed between', async (t) => {
  const engine = unsettled();
  const quorum = followQuorum(engine, log, 1);
  t.teardown(() => quorum.close());
  while (engine.asked < 1) await new Promise((resolve) => setTimeout(resolve, 1));
  engine.become('disconnected');
  engine.settled = true;
  engine.describeAgain();
  t.notOk(await isDone(quorum.settled), 'nobody is served without an engine');
  engine.become('connected');
  await quorum.settled;
});

t.test('an engine that fails to describe itself is asked again', async (t) => {
  const engine = unsettled();
  const refresh = engine.refreshInfo.bind(engine);
  let failures = 3;
  engine.refreshInfo = () => (failures-- > 0 ? Promise.reject(new Error('out of order')) : refresh());
  const quorum = followQuorum(engine, log, 1);
  t.teardown(() => quorum.close());
  engine.settled = true;
  await quorum.settled;
  t.ok(failures < 0);
});

t.test('says that an engine with whole keys is none of a quorum', async (t) => {
  const quorum = followQuorum(new ScriptedEngine(), log, 1);
  t.match(quorum.reasons(), [/holds whole keys: its configuration has no \[threshold\]/]);
  const { settled } = quorum;
  quorum.close();
  await t.rejects(settled, { code: 'CANCELLED' });
});
