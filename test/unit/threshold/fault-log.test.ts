/** Wrongs of parties in the log and in the ledger. */
import t from 'tap';
import { FAULTS, FaultLedger } from '../../../enclave/threshold/fault-ledger.ts';
import { faultLog } from '../../../enclave/threshold/fault-log.ts';

t.test('each kind of wrong of each party is told at most every ten seconds, with how often it was not', async (t) => {
  const lines: unknown[][] = [];
  const time = { nowMs: 0 };
  const note = faultLog({ warn: (...line: unknown[]) => void lines.push(line) }, () => time.nowMs);
  for (let i = 0; i < 1000; i++) note({ party: 2, kind: 'wrong share', requestId: 'ab' });
  note({ party: 3, kind: 'wrong share' });
  note({ party: 2, kind: 'another ciphertext' });
  t.equal(lines.length, 3);
  time.nowMs = 10_000;
  note({ party: 2, kind: 'wrong share', requestId: 'cd' });
  t.same(lines.at(-1), [
    { event: 'quorum.fault', party: 2, fault: 'wrong share', requestId: 'cd', untold: 999 },
    'party 2 sent a wrong share',
  ]);
  t.same(lines[2]?.[1], 'party 2 has another ciphertext');
});

t.test('every kind has a sentence that names the party', async (t) => {
  const sentences: string[] = [];
  const note = faultLog({ warn: (_: unknown, text?: string) => void sentences.push(text ?? '') }, () => 0);
  for (const kind of FAULTS) note({ party: 7, kind });
  t.equal(new Set(sentences).size, FAULTS.length);
  t.ok(sentences.every((text) => text.startsWith('party 7 ')));
});

t.test('the ledger counts for each party, and calls liars those whose shares were wrong', async (t) => {
  const told: number[] = [];
  const ledger = new FaultLedger(
    () => 5,
    ({ party }) => told.push(party),
  );
  t.same(ledger.of(1), { counts: ledger.of(2).counts, last: undefined, lastMs: undefined });
  for (const kind of FAULTS) ledger.note({ party: 3, kind });
  ledger.note({ party: 1, kind: 'another ciphertext' });
  ledger.note({ party: 2, kind: 'revised share' });
  t.match(ledger.of(3), { counts: { flood: 1, 'wrong share': 1 }, last: 'flood', lastMs: 5 });
  t.same(ledger.liars(), [2, 3]);
  t.same(told, [3, 3, 3, 3, 3, 1, 2]);
});
