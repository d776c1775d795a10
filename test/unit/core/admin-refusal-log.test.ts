/** Refusals are said, but strangers cannot fill a disk with them. */
import t from 'tap';
import { createLogger } from '../../../common/log.ts';
import { refusalLog } from '../../../parent/core/admin/refusal-log.ts';

t.test('says the first refusal of each second, and how many it kept to itself', async (t) => {
  const lines: Record<string, unknown>[] = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line)) };
  const log = createLogger({ name: 'test', level: 'info', destination });
  let nowMs = 5000;
  const refused = refusalLog(log, { nowMs: () => nowMs, monotonicMs: () => nowMs });
  for (let count = 0; count < 1000; count++) refused('no certificate', '192.0.2.1');
  nowMs += 1000;
  refused('expired', '192.0.2.2');
  nowMs += 5000;
  refused('expired', '192.0.2.3');
  t.match(lines, [
    { event: 'tls.client_refused', reason: 'no certificate', source: '192.0.2.1', suppressed: 0 },
    { event: 'tls.client_refused', reason: 'expired', source: '192.0.2.2', suppressed: 999 },
    { event: 'tls.client_refused', reason: 'expired', source: '192.0.2.3', suppressed: 0 },
  ]);
  t.equal(lines.length, 3);
});
