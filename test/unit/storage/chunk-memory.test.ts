/** An object of half a gigabyte passes through a storage chunk by chunk: none may be held until its end. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { abortable } from '../../../storage/content.ts';

setFlagsFromString('--expose-gc');
const collect: () => void = runInNewContext('gc');

t.test('lets each chunk go once the next is asked for', async (t) => {
  const seen: WeakRef<Uint8Array>[] = [];
  async function* source(): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < 50; i++) {
      const chunk = new Uint8Array(1024);
      seen.push(new WeakRef(chunk));
      yield chunk;
    }
  }
  for await (const chunk of abortable(source(), new AbortController().signal)) {
    if (chunk.byteLength === 0 || seen.length < 50) continue;
    // What a WeakRef was made for stays alive until the turn of the event loop ends.
    await new Promise((resolve) => setImmediate(resolve));
    collect();
    const held = seen.filter((ref) => ref.deref() !== undefined).length;
    t.ok(held <= 3, `${held} of 50 chunks are held`);
  }
  t.equal(seen.length, 50);
});
