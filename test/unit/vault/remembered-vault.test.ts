/** Which of two states of a vault is the older one: what was found, and what somebody remembers. */
import fc from 'fast-check';
import t from 'tap';
import { type FoundVault, putBackFault, type RememberedVault } from '../../../enclave/vault/remembered-vault.ts';

const digestOf = (fork: number, sequence: number): Uint8Array => new Uint8Array(48).fill(10 * fork + sequence);
const found = (sequence: number, incarnation: number, fork = 0): FoundVault => ({
  sequence,
  digest: digestOf(fork, sequence),
  previous: sequence === 1 ? undefined : digestOf(fork, sequence - 1),
  incarnation,
});
const memory = (sequence: number, incarnation: number, fork = 0): RememberedVault => ({
  by: `memory ${sequence}`,
  point: { sequence, digest: digestOf(fork, sequence) },
  incarnation,
});

t.test('a vault as new as all that is remembered is not put back', async (t) => {
  for (const [what, remembered] of [
    ['nobody remembers', []],
    ['the state itself', [memory(5, 2)]],
    ['the state before', [memory(4, 2)]],
    ['states long before', [memory(1, 1), memory(3, 1)]],
    ['a start, and no state', [{ by: 'a copy', point: undefined, incarnation: 2 }]],
  ] as const) {
    t.equal(putBackFault(found(5, 2), remembered), undefined, what);
  }
});

t.test('an older vault, or another line of states, is refused by name', async (t) => {
  for (const [what, fault, remembered] of [
    ['a later state', 'rolled-back', memory(6, 2)],
    ['a much later state of a later start', 'rolled-back', memory(90, 7)],
    ['another state of the number', 'forked', memory(5, 2, 1)],
    ['another state before it', 'forked', memory(4, 2, 1)],
    ['a later start, though fewer states', 'forked', memory(2, 3)],
    ['a later start alone', 'forked', { by: 'a copy', point: undefined, incarnation: 3 }],
  ] as const) {
    t.match(putBackFault(found(5, 2), [memory(1, 1), remembered]), { code: 'STATE_INVALID', facts: { fault } }, what);
  }
});

t.test('all who remember a newer one are named, with the cure', async (t) => {
  const { message = '' } = putBackFault(found(5, 2), [memory(3, 1), memory(6, 2), memory(8, 4)]) ?? {};
  t.match(message, /put back: it is in state 5, of start 2; memory 6 has state 6, of start 2; memory 8 has state 8/);
  t.match(message, /arca restore/);
  t.notMatch(message, /memory 3/);
});

t.test('of two states on one line the earlier is always the one that was put back', async (t) => {
  const at = fc.record({ sequence: fc.integer({ min: 1, max: 20 }), incarnation: fc.integer({ min: 1, max: 20 }) });
  const line = fc.tuple(at, at).filter(([a, b]) => a.sequence !== b.sequence && a.incarnation <= b.incarnation);
  fc.assert(
    fc.property(line, ([a, b]) => {
      const [earlier, later] = a.sequence < b.sequence ? [a, b] : [{ ...b, incarnation: a.incarnation }, a];
      const newest = Math.max(earlier.incarnation, later.incarnation);
      const put = putBackFault(found(earlier.sequence, earlier.incarnation), [memory(later.sequence, newest)]);
      const kept = putBackFault(found(later.sequence, newest), [memory(earlier.sequence, earlier.incarnation)]);
      return put?.facts.fault === 'rolled-back' && kept === undefined;
    }),
  );
  t.pass('1 property');
});
