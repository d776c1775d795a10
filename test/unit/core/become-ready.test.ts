/** When a Core is ready: at once, with the parties, or for a restore alone. */
import t from 'tap';
import { createLogger } from '../../../common/log.ts';
import { becomeReady } from '../../../parent/core/boot/become-ready.ts';
import type { QuorumWatch } from '../../../parent/core/quorum/follow-quorum.ts';
import { ScriptedEngine } from './scripted-engine.ts';

/** Parts that note what was done with them. */
function parts(engine: ScriptedEngine, threshold: boolean, waits: Partial<QuorumWatch> = {}) {
  const done: string[] = [];
  const note = (what: string) => async () => void done.push(what);
  const core = { recover: note('recovered') };
  const vault = { follow: note('followed') };
  const watch = { settled: Promise.resolve(), blocked: new Promise<void>(() => undefined), ...waits };
  const quorum = threshold ? { ...watch, reasons: () => [], close: () => undefined } : undefined;
  const log = createLogger({ name: 'test', level: 'silent' });
  return { done, boot: { core, engine, vault, quorum, openToAll: note('open'), log } };
}

t.test('a node takes up its last run, and a party of a quorum lets clients in after that', async (t) => {
  const { done, boot } = parts(new ScriptedEngine(), true);
  await becomeReady(boot);
  t.same(
    done.filter((what) => what !== 'followed'),
    ['recovered', 'open'],
  );
});

t.test(
  'a party whose start waits for governance is ready for its operator, and for clients once it has settled',
  async (t) => {
    const { promise: settled, resolve } = Promise.withResolvers<void>();
    const { done, boot } = parts(new ScriptedEngine(), true, { settled, blocked: Promise.resolve() });
    await becomeReady(boot);
    t.notOk(done.includes('recovered'));
    t.notOk(done.includes('open'));
    resolve();
    await new Promise(setImmediate);
    t.same(
      done.filter((what) => what !== 'followed'),
      ['recovered', 'open'],
    );
  },
);

t.test('a node that has lost its vault is ready for its restore, and touches nothing of the last run', async (t) => {
  for (const threshold of [false, true]) {
    const engine = new ScriptedEngine();
    engine.loseVault();
    const { done, boot } = parts(engine, threshold);
    await becomeReady(boot);
    t.notOk(done.includes('recovered'));
    t.notOk(done.includes('open'));
    engine.become('disconnected');
    engine.become('connected');
    t.notOk(done.includes('recovered'), 'nor when the same engine is back');
    engine.setKeys([]);
    engine.become('disconnected');
    engine.become('connected');
    await new Promise(setImmediate);
    t.ok(done.includes('recovered'), 'but once it has its vault');
    t.equal(done.includes('open'), threshold);
  }
});
