/**
 * Why the reliable broadcast agrees on its votes: the attack on t + 1 plain rounds of votes (threshold protocols, section
 * 2.4), which works against them, and not against ours.
 */
import t from 'tap';
import { toHex } from '../../common/bytes.ts';
import { exchange } from '../../enclave/mpc/exchange.ts';
import { packParts, unpackParts } from '../../enclave/mpc/parts.ts';
import { reliableBroadcast } from '../../enclave/mpc/protocols/reliable-broadcast.ts';
import type { Session } from '../../enclave/mpc/session.ts';
import { inRounds, STRATEGIES } from '../helpers/misbehaviour.ts';
import { SimNetwork, type Strategy } from '../helpers/sim-network.ts';

const LIAR = 4;
const value = (party: number): Uint8Array => Uint8Array.of(party, party);

/** Section 2.4 to the letter, for the liar's value alone; a vote is for the value itself. */
async function plainVotes(session: Session): Promise<Uint8Array | undefined> {
  const { n, t: threshold } = session;
  const sent = await exchange(session, value(session.me));
  const echoes = [...(await exchange(session, packParts([sent.get(LIAR)]))).values()];
  let vote = mostFrequent(
    echoes.map((echo) => unpackParts(echo, 1)?.[0]),
    n - threshold,
  );
  const votes = new Map<number, Uint8Array | undefined>();
  const castAndCount = async (): Promise<void> => {
    for (const [party, ballot] of await exchange(session, packParts([vote]))) {
      votes.set(party, votes.get(party) ?? unpackParts(ballot, 1)?.[0]);
    }
  };
  await castAndCount();
  for (let r = 1; r <= threshold; r++) {
    vote ??= mostFrequent([...votes.values()], threshold + r);
    await castAndCount();
  }
  return mostFrequent([...votes.values()], n - threshold);
}

function mostFrequent(values: readonly (Uint8Array | undefined)[], atLeast: number): Uint8Array | undefined {
  return values.find((one) => one && values.filter((other) => other && toHex(other) === toHex(one)).length >= atLeast);
}

/** Says one thing to two parties and another to the third, then echoes to the first alone, votes to the second, then the first. */
const attack: Strategy = (frame) => {
  if (frame.round === 1) return [frame.to === 3 ? { ...frame, payload: Uint8Array.of(9) } : frame];
  const onlyTo = [undefined, undefined, 1, 2, 1][frame.round];
  return frame.to === onlyTo ? [frame] : [];
};

const run = <T>(protocol: (session: Session) => Promise<T>, strategy: Strategy, seed: number) =>
  new SimNetwork({ n: 4, t: 1, seed, liars: new Map([[LIAR, strategy]]) }).run(protocol);

t.test('plain rounds of votes: one honest party accepts and another refuses', async (t) => {
  const results = await run(plainVotes, attack, 1);
  t.same([...results.values()], [value(LIAR), value(LIAR), undefined]);
});

t.test('ours: all honest parties accept, or all refuse', async (t) => {
  const strategies = Object.entries(STRATEGIES).map(([name, strategy]): [string, Strategy] => [
    `then ${name}`,
    (frame, random, all) => (frame.round <= 4 ? attack(frame, random, all) : strategy(frame, random, all)),
  ]);
  for (const [index, [name, strategy]] of [['and no more', attack] as const, ...strategies].entries()) {
    const results = await run((session) => reliableBroadcast(session, value(session.me), 32), strategy, index);
    const taken = [...results.values()].map((result) => (result instanceof Error ? result : result.get(LIAR)));
    t.same(taken, [taken[0], taken[0], taken[0]], name);
    t.notOk(taken[0] instanceof Error, name);
  }
});

t.test('a dead party costs one deadline and is excluded, the others go on', async (t) => {
  const network = new SimNetwork({
    n: 4,
    t: 1,
    seed: 3,
    liars: new Map([
      [
        2,
        inRounds(
          () => true,
          () => [],
        ),
      ],
    ]),
  });
  const results = await network.run(async (session) => {
    await reliableBroadcast(session, value(session.me), 32);
    const second = await reliableBroadcast(session, value(session.me), 32);
    return { parties: [...second.keys()], corrupt: [...session.corrupt], faults: session.faults };
  });
  for (const result of results.values()) {
    t.match(result, { parties: [1, 3, 4], corrupt: [2] });
    t.match(result, { faults: [{ party: 2, what: 'silent in round 1' }, { party: 2 }] });
  }
  t.ok(network.nowMs < 1000 + 16 * 200, 'no second deadline was waited for');
});
