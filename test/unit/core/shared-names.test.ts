/** Names that requests have in common: told apart by their text alone, and bounded however many come. */
import t from 'tap';
import { SharedNames } from '../../../parent/core/store/shared-names.ts';

t.test('a request keeps its names, and everything else', (t) => {
  const names = new SharedNames();
  const request = { id: 'a', contextId: 'c1', epochId: 'e1' };
  for (let i = 0; i < 3; i++) t.same(names.shared(request), request);
  t.same(names.shared({ ...request, epochId: 'c1' }), { ...request, epochId: 'c1' }, 'an epoch named like a context');
  t.end();
});

t.test('more names than are kept are still right', (t) => {
  const names = new SharedNames();
  for (let i = 0; i < 2000; i++) {
    const request = { contextId: `context ${i % 700}`, epochId: `epoch ${i}` };
    t.same(names.shared(request), request, `${i}`);
  }
  t.end();
});
