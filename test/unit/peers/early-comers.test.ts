/** Words about meetings that this engine is not in: bounded for each party, and forgotten soon. */
import t from 'tap';
import { EarlyComers } from '../../../enclave/peers/early-comers.ts';

const word = { digest: new Uint8Array(32), nonce: new Uint8Array(32).fill(1) };

t.test('a party pushes out its own oldest words and nobody else’s', async (t) => {
  const early = new EarlyComers(() => 0);
  early.put(2, 'meeting 0', word);
  for (let i = 0; i < 1_000; i++) early.put(3, `meeting ${i}`, word);
  t.equal(early.take(3, 'meeting 0'), undefined);
  t.equal(early.take(3, 'meeting 743'), undefined);
  t.match(early.take(3, 'meeting 744'), word, 'the last 256 are kept');
  t.match(early.take(3, 'meeting 999'), word);
  t.match(early.take(2, 'meeting 0'), word);
  t.equal(early.take(2, 'meeting 0'), undefined, 'once');
});

t.test('a word is good for five seconds, counted from the last time it was said', async (t) => {
  let nowMs = 0;
  const early = new EarlyComers(() => nowMs);
  early.put(2, 'old', word);
  early.put(2, 'said again', word);
  nowMs = 4_000;
  early.put(2, 'said again', { ...word, nonce: new Uint8Array(32).fill(2) });
  nowMs = 5_000;
  t.equal(early.take(2, 'old'), undefined);
  t.match(early.take(2, 'said again'), { nonce: new Uint8Array(32).fill(2) });
});
