/** Back pressure over a real mesh connection: a reader that sleeps costs its window, and nobody else notices. */
import t, { type Test } from 'tap';
import { FrameLink } from '../../../../attestation/mesh/frame-link.ts';
import { systemClock } from '../../../../common/clock.ts';
import { connectPair, createTestMesh } from '../../../helpers/mesh-pair.ts';

const MB = 1024 * 1024;

async function links(t: Test, poolBytes: number) {
  const mesh = await createTestMesh(t);
  const ends = [await mesh.endpoint('engine'), await mesh.endpoint('engine', { party: 2 })] as const;
  const [near, far] = await connectPair(t, ...ends, { transport: 'tcp' });
  const limits = { maxPayloadBytes: MB, windowBytes: 2 * (MB + 64), poolBytes };
  const a = new FrameLink({ peer: 'party 2', clock: systemClock, limits });
  const b = new FrameLink({ peer: 'party 1', clock: systemClock, limits });
  b.attach(far.stream);
  await a.attach(near.stream).ready;
  return { a, b };
}
const sessionId = (number: number): Uint8Array => new Uint8Array(32).fill(number);

t.test('one sleeping reader among many', async (t) => {
  const { a, b } = await links(t, 64 * MB);
  const payload = Buffer.alloc(MB, 1);
  const asleep = a.open(sessionId(0));
  b.open(sessionId(0));
  let left = 0;
  for (let round = 0; round < 100; round++) {
    asleep.send(round, payload).then(
      () => (left += 1),
      () => undefined,
    );
  }
  const sums = await Promise.all(
    Array.from({ length: 8 }, async (_, index) => {
      const [from, to] = [a.open(sessionId(index + 1)), b.open(sessionId(index + 1))];
      const sent = Promise.all(Array.from({ length: 20 }, (_, round) => from.send(round, payload)));
      let sum = 0;
      for (let round = 0; round < 20; round++) sum += (await to.receive())?.payload.byteLength ?? 0;
      await sent;
      return sum;
    }),
  );
  t.same(sums, new Array(8).fill(20 * MB), 'the others got all of theirs');
  t.ok(left <= 2, `${left} of the sleeper's frames have left: what its window holds`);
  t.ok(b.stats().bufferedBytes <= 2 * (MB + 64), 'and no more is held for it');
  a.close('done');
});

t.test('however many readers sleep, one that is awake is served; all that sleep hold what was granted', async (t) => {
  const { a, b } = await links(t, 4 * MB);
  const payload = Buffer.alloc(MB, 1);
  const open = (number: number) => [a.open(sessionId(number)), b.open(sessionId(number))] as const;
  const asleep = Array.from({ length: 20 }, (_, number) => open(number));
  const sent = Promise.all(asleep.flatMap(([from]) => [0, 1, 2, 3].map((round) => from.send(round, payload))));
  const [from, to] = open(99);
  for (let round = 0; round < 10; round++) {
    const sending = from.send(round, payload);
    t.equal((await to.receive())?.round, round, `round ${round} of the one that is awake`);
    await sending;
  }
  const mostHeld = 4 * MB + 20 * (MB + 64);
  t.ok(b.stats().bufferedBytes <= mostHeld, `${b.stats().bufferedBytes} bytes held`);
  for (const [, sleeper] of asleep) for (const round of [0, 1, 2, 3]) t.equal((await sleeper.receive())?.round, round);
  await sent;
  t.equal(b.stats().bufferedBytes, 0);
  a.close('done');
});
