/** Turns at the pool: bounded parts, at most so many at a time, requests one after the other. */
import t from 'tap';
import { FairTurns, partsOf } from '../../../enclave/threshold/fair-turns.ts';

const item = (fheType: number) => ({ ciphertext: new Uint8Array(), fheType, format: 2 });
const [EUINT64, EUINT256, EUINT2048] = [5, 8, 11];

t.test('ciphertexts are cut into parts of at most 64 blocks, or of one ciphertext', async (t) => {
  const sizes = (types: readonly number[]) => partsOf(types.map(item)).map((part) => part.length);
  t.same(sizes([]), []);
  t.same(sizes([EUINT2048]), [1]);
  t.same(sizes(Array(10).fill(EUINT64)), [4, 4, 2]);
  t.same(sizes([EUINT64, EUINT256, EUINT64, EUINT2048, EUINT64, EUINT64]), [1, 1, 1, 1, 2]);
});

t.test('a request of one part waits for one part of a large request, not for all of it', async (t) => {
  const turns = new FairTurns(2);
  const ended: string[] = [];
  const gates = new Map<string, () => void>();
  const work = (part: string) =>
    new Promise<readonly string[]>((resolve) => {
      gates.set(part, () => {
        gates.delete(part);
        ended.push(part);
        resolve([part]);
      });
    });
  const large = turns.runAll(['a1', 'a2', 'a3', 'a4', 'a5'], work);
  const [small, third] = [turns.runAll(['b'], work), turns.runAll(['c1', 'c2'], work)];
  let most = 0;
  while (ended.length < 8) {
    await new Promise((resolve) => setImmediate(resolve));
    most = Math.max(most, gates.size);
    const [first] = gates.values();
    first?.();
  }
  t.same(await large, ['a1', 'a2', 'a3', 'a4', 'a5'], 'results stand in order');
  t.same([await small, await third], [['b'], ['c1', 'c2']]);
  t.equal(most, 2);
  t.same(ended, ['a1', 'a2', 'a3', 'b', 'c1', 'a4', 'c2', 'a5'], 'in turns');
});

t.test('a part that fails fails its request, and its turn goes on', async (t) => {
  const turns = new FairTurns(1);
  const fails = turns.runAll([1, 2], async (part) => {
    if (part === 1) throw new Error('bad');
    return [part];
  });
  const good = turns.runAll([3], async (part) => [part]);
  await t.rejects(fails, { message: 'bad' });
  t.same(await good, [3]);
  t.same(await turns.runAll([], async () => []), []);
});
