/** The count of masked blocks: distinct ones, by epoch, never too few. */
import t from 'tap';
import { MANY_MASKED_BLOCKS, MaskedBlocks } from '../../../enclave/threshold/masked-blocks.ts';
import { packedBlocks } from '../../../enclave/threshold/packed-blocks.ts';

const item = (key: string, blocks = 16) => ({ key, blocks });

t.test('a ciphertext counts once an epoch, however often it is asked for', async (t) => {
  const masked = new MaskedBlocks(() => t.fail('so few'));
  masked.add({ epochId: 'a', keyId: 'k', items: [item('1'), item('2', 64), item('1')] });
  masked.add({ epochId: 'a', keyId: 'k', items: [item('2', 64)] });
  masked.add({ epochId: 'b', keyId: 'k', items: [item('1')] });
  t.same(
    [...masked.counts],
    [
      ['a', 80],
      ['b', 16],
    ],
  );
});

t.test('what was asked for long ago counts again: the count is never too small, and memory is bounded', async (t) => {
  const masked = new MaskedBlocks(() => undefined, { remembered: 10 });
  const ask = (key: number) => masked.add({ epochId: 'a', keyId: 'k', items: [item(`${key}`, 1)] });
  for (let key = 0; key < 25; key++) ask(key);
  t.equal(masked.counts.get('a'), 25);
  for (let key = 15; key < 25; key++) ask(key);
  t.equal(masked.counts.get('a'), 25, 'the last ten are known');
  ask(0);
  t.equal(masked.counts.get('a'), 26);
});

t.test('an epoch that has masked too much is told once', async (t) => {
  t.equal(MANY_MASKED_BLOCKS, 1_099_511_627_776);
  const told: unknown[] = [];
  const masked = new MaskedBlocks((epochId, blocks) => told.push([epochId, blocks]), { many: 100 });
  for (let key = 0; key < 10; key++) masked.add({ epochId: 'a', keyId: 'k', items: [item(`${key}`, 16)] });
  masked.add({ epochId: 'b', keyId: 'k', items: [item('1', 99)] });
  t.same(told, [['a', 112]]);
});

t.test('blocks of each type', async (t) => {
  t.same([0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 99].map(packedBlocks), [1, 1, 2, 4, 8, 16, 32, 40, 64, 512, 1]);
});
