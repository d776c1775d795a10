/** The budget for strangers: who is dropped for whom, and what no stranger can touch. */
import fc from 'fast-check';
import t from 'tap';
import { type BudgetLimits, HandshakeBudget, type Ticket } from '../../../../attestation/mesh/budget.ts';

const LIMITS: BudgetLimits = { silent: 6, handshakes: 4, perSource: 3, reserved: 2, perParty: 2 };

/** A budget whose victims are listed by name. */
function watched(limits: Partial<BudgetLimits> = {}) {
  const budget = new HandshakeBudget({ ...LIMITS, ...limits });
  const dropped: string[] = [];
  const enter = (source: string, name = source, shared = false): Ticket =>
    budget.enter(source, shared, () => dropped.push(name));
  return { budget, dropped, enter };
}

t.test('a source over its own limit loses its oldest, and no other source does', async (t) => {
  const { dropped, enter, budget } = watched();
  enter('b', 'b1');
  for (let n = 1; n <= 5; n++) enter('a', `a${n}`);
  t.same(dropped, ['a1', 'a2']);
  t.match(budget.stats(), { silent: 4, evicted: 2 });
});

t.test('when all is full, the heaviest source loses its oldest', async (t) => {
  const { dropped, enter } = watched();
  for (const source of ['a', 'b', 'b', 'c', 'c', 'c']) enter(source);
  enter('d');
  t.same(dropped, ['c']);
});

t.test('sources that stand for many have no limit of their own', async (t) => {
  const { dropped, enter } = watched();
  for (let n = 1; n <= 8; n++) enter('unix', `u${n}`, true);
  t.same(dropped, ['u1', 'u2']);
});

t.test('who has spoken waits in another crowd; who has left in none', async (t) => {
  const { enter, budget, dropped } = watched();
  const tickets = ['a', 'b', 'c'].map((source) => enter(source));
  for (const ticket of tickets) ticket.speaks();
  t.match(budget.stats(), { silent: 0, handshakes: 3 });
  tickets[0]?.leave();
  tickets[0]?.speaks();
  t.match(budget.stats(), { silent: 0, handshakes: 2 });
  for (const source of ['d', 'e', 'f']) enter(source).speaks();
  t.equal(dropped.length, 1, 'the handshakes have a limit, too');
});

t.test('a party that has proven itself is out of the reach of strangers', async (t) => {
  const { enter, budget, dropped } = watched();
  const party = enter('a', 'party');
  party.speaks();
  const release = party.admitParty(1, 'engine');
  for (let n = 0; n < 50; n++) enter(`s${n}`).speaks();
  t.notOk(dropped.includes('party'));
  t.match(budget.stats(), { handshakes: 4, admitted: 1 });
  party.leave();
  t.equal(budget.stats().admitted, 1, 'leaving the crowd does not give the slot back');
  release?.();
  release?.();
  t.equal(budget.stats().admitted, 0, 'its own function does, once');
});

t.test('a party has its own slots: full for it, free for the others', async (t) => {
  const { enter, budget } = watched();
  const admit = (party: number, role: 'engine' | 'core' = 'engine') => enter('a').admitParty(party, role);
  const first = admit(1);
  t.ok(first && admit(1));
  t.equal(admit(1), undefined, 'the third');
  t.ok(admit(2), 'another party');
  t.ok(admit(1, 'core'), 'another role of the same party');
  t.equal(budget.stats().overParty, 1);
  first?.();
  t.ok(admit(1), 'after one has gone');
});

t.test('a source with a verified connection keeps reserved places in a crowd', async (t) => {
  const { enter, dropped } = watched({ silent: 4 });
  enter('friend').admitParty(1, 'engine');
  enter('friend', 'again');
  enter('friend', 'and again');
  for (let n = 0; n < 20; n++) enter(`s${n}`, 'stranger');
  t.notOk(dropped.includes('again') || dropped.includes('and again'));
  t.ok(dropped.length >= 18);
});

t.test('no order of events makes a crowd larger than its limit, or loses count', async (t) => {
  const event = fc.record({ source: fc.nat(5), act: fc.constantFrom('enter', 'speak', 'admit', 'leave', 'release') });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 120 }), (events) => {
      const { budget, enter } = watched();
      const tickets: Ticket[] = [];
      const releases: (() => void)[] = [];
      for (const { source, act } of events) {
        const ticket = tickets[source];
        if (act === 'enter') tickets.unshift(enter(`s${source}`, '', source > 3));
        else if (act === 'speak') ticket?.speaks();
        else if (act === 'leave') ticket?.leave();
        else if (act === 'release') releases.pop()?.();
        else {
          const release = ticket?.admitParty(source % 2, 'engine');
          if (release) releases.push(release);
        }
        const { silent, handshakes, admitted } = budget.stats();
        if (silent > LIMITS.silent || handshakes > LIMITS.handshakes || admitted !== releases.length) return false;
      }
      for (const release of releases) release();
      for (const ticket of tickets) ticket.leave();
      const { silent, handshakes, admitted } = budget.stats();
      return silent === 0 && handshakes === 0 && admitted === 0;
    }),
  );
  t.pass('1 property');
});
