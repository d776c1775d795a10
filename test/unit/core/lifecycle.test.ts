/** Leases of contexts: no two changes of one context meet. */
import fc from 'fast-check';
import t from 'tap';
import { openLifecycle } from '../../../parent/core/rpc/lifecycle.ts';

t.test('epochs of one context are made together, and nothing is destroyed meanwhile', async (t) => {
  const lifecycle = openLifecycle();
  const first = lifecycle.lease('a', true);
  const second = lifecycle.lease('a', true);
  t.throws(() => lifecycle.lease('a', false), { code: 'PRECONDITION_FAILED', message: /being made/ });
  const other = lifecycle.lease('b', false);
  first();
  first();
  t.throws(() => lifecycle.lease('a', false), { code: 'PRECONDITION_FAILED' }, 'a lease ends once');
  second();
  const alone = lifecycle.lease('a', false);
  t.throws(() => lifecycle.lease('a', true), { code: 'PRECONDITION_FAILED', message: /being changed/ });
  alone();
  other();
  t.doesNotThrow(() => lifecycle.lease('a', true)());
});

t.test('whatever the order, a context is held alone or shared, never both', async (t) => {
  const step = fc.record({ shared: fc.boolean(), end: fc.nat(8) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const lifecycle = openLifecycle();
      const held: { shared: boolean; release: () => void }[] = [];
      for (const { shared, end } of steps) {
        for (const { release } of held.splice(0, end > 4 ? end - 4 : 0)) release();
        const free = shared ? held.every((lease) => lease.shared) : held.length === 0;
        let taken = true;
        try {
          held.push({ shared, release: lifecycle.lease('a', shared) });
        } catch {
          taken = false;
        }
        if (taken !== free) return false;
      }
      return true;
    }),
  );
  t.pass('1 property');
});
