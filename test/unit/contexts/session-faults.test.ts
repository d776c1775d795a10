/** Protocols between engines: who does something wrong in one, or is not there, is named in the log, once in each session. */
import t from 'tap';
import { systemClock } from '../../../common/clock.ts';
import { systemRandom } from '../../../common/random.ts';
import type { Context } from '../../../enclave/contexts/contexts.ts';
import { openSession } from '../../../enclave/contexts/set-up-epoch.ts';
import { DEFAULT_CONTEXT_ID, DEFAULT_EPOCH_ID } from '../../../wire/ids.ts';

t.test('parties that are not there are named', async (t) => {
  const lines: object[] = [];
  const source = {
    network: { links: new Map() },
    random: systemRandom,
    clock: systemClock,
    log: { warn: (facts: object) => void lines.push(facts) },
    roundTimeoutMs: 1_000,
  };
  const nodes = [1, 2, 3, 4].map((party) => ({ party, address: new Uint8Array(20).fill(party), endpoint: '' }));
  const context: Context = { contextId: DEFAULT_CONTEXT_ID, t: 1, nodes, party: 1 };
  const work = { kind: 'prss-setup', id: new Uint8Array(32), epochId: DEFAULT_EPOCH_ID };
  const never = new AbortController().signal;
  await t.rejects(openSession(source, context, work, never), { code: 'ABORTED' });
  const event = { event: 'session.fault', kind: 'prss-setup', epochId: DEFAULT_EPOCH_ID, what: 'cannot be reached' };
  t.same(
    lines,
    [2, 3, 4].map((party) => ({ ...event, party })),
  );
});
