/** Sessions: what is kept of what comes, who is waited for and until when, partitions, and ids that never repeat. */
import fc from 'fast-check';
import t from 'tap';
import { toHex } from '../../common/bytes.ts';
import { exchange } from '../../enclave/mpc/exchange.ts';
import { Inbox } from '../../enclave/mpc/inbox.ts';
import { packParts, unpackParts } from '../../enclave/mpc/parts.ts';
import { beginSession, type SessionPurpose } from '../../enclave/mpc/protocols/begin-session.ts';
import { commit, opensTo } from '../../enclave/mpc/protocols/commitment.ts';
import { broadcast } from '../../enclave/mpc/protocols/long-broadcast.ts';
import { reliableBroadcast } from '../../enclave/mpc/protocols/reliable-broadcast.ts';
import { robustOpen } from '../../enclave/mpc/protocols/robust-open.ts';
import { RoundSession } from '../../enclave/mpc/round-session.ts';
import { STRATEGIES } from '../helpers/misbehaviour.ts';
import { SimNetwork, type Strategy, simRandom } from '../helpers/sim-network.ts';
import { shareSmall, smallRing } from '../helpers/small-ring.ts';

const never = new AbortController().signal;

t.test('a list of parts is read as it was written, and nothing else is', async (t) => {
  const part = fc.option(fc.uint8Array({ maxLength: 40 }), { nil: undefined });
  fc.assert(
    fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
      const packed = packParts(parts);
      const read = unpackParts(packed, parts.length);
      const same = read?.every((one, i) => toHex(one ?? new Uint8Array()) === toHex(parts[i] ?? new Uint8Array()));
      const absent = read?.every((one, i) => (one === undefined) === (parts[i] === undefined));
      const cut = [...packed.keys()].every((size) => unpackParts(packed.subarray(0, size), parts.length) === undefined);
      const longer = unpackParts(Uint8Array.of(...packed, 0), parts.length) === undefined;
      return same && absent && cut && longer && unpackParts(packed, parts.length + 1) === undefined;
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 30 }), fc.nat(4), (bytes, count) => {
      const read = unpackParts(bytes, count);
      return read === undefined || toHex(packParts(read)) === toHex(bytes);
    }),
  );
  t.equal(unpackParts(undefined, 0), undefined);
});

t.test('an inbox keeps the first message of a party in each round, near the present, within bytes', async (t) => {
  const inbox = new Inbox({ bytesPerPeer: 100 });
  inbox.begin(3);
  const body = (size: number): Uint8Array => new Uint8Array(size).fill(1);
  t.equal(inbox.deliver(1, 2, body(1)), 'late');
  t.equal(inbox.deliver(1, 3, body(60)), 'kept');
  t.equal(inbox.deliver(1, 3, body(1)), 'repeated');
  t.equal(inbox.deliver(1, 4, body(41)), 'too much', 'a flooder evicts himself');
  t.equal(inbox.deliver(2, 4, body(100)), 'kept', 'and nobody else');
  t.equal(inbox.deliver(1, 68, body(1)), 'too early');
  t.equal(inbox.deliver(1, 67, body(1)), 'kept');
  t.equal(inbox.dropped, 4);
  t.equal(inbox.take(3)?.from, 1);
  t.equal(inbox.take(3), undefined);
  t.ok(inbox.hasSpoken(1, 3), 'also when it was read');
  t.equal(inbox.deliver(1, 3, body(1)), 'repeated', 'also when it was read');
  t.equal(inbox.deliver(1, 4, body(41)), 'kept', 'what was read costs nothing');
  const unread = body(5);
  t.equal(inbox.deliver(3, 5, unread), 'kept');
  inbox.clear();
  t.same([inbox.bytesOf(1), inbox.bytesOf(2), inbox.bytesOf(3)], [0, 0, 0]);
  t.same(unread, new Uint8Array(5), 'and was wiped');
});

t.test('a flooder costs others nothing, and is noted', async (t) => {
  const flood = STRATEGIES.floods;
  const network = new SimNetwork({ n: 4, t: 1, seed: 1, liars: new Map(flood ? [[3, flood]] : []) });
  const results = await network.run(async (session) => {
    await exchange(session, Uint8Array.of(1));
    return session.faults.map(({ party }) => party);
  });
  for (const faults of results.values()) {
    t.ok(!(faults instanceof Error) && faults.length > 0 && faults.every((party) => party === 3));
  }
});

t.test('a session is refused with parameters that no protocol can have', async (t) => {
  const network = (n: number, threshold: number) => new SimNetwork({ n, t: threshold, seed: 1 });
  for (const [n, threshold, me, size] of [
    [3, 1, 1, 32],
    [4, 1, 0, 32],
    [4, 1, 5, 32],
    [4, 1, 1, 16],
    [4, -1, 1, 32],
  ] as const) {
    const open = () => network(n, threshold).of(me).open(new Uint8Array(size), 'sync', never);
    t.throws(open, { code: 'CONFIG_INVALID' }, `${me} of ${n}, ${threshold} may lie, id of ${size} bytes`);
  }
});

t.test('deadlines are those of all rounds so far, so who was quick before may be slow now', async (t) => {
  const times: number[] = [];
  const instants: number[] = [];
  const session = new RoundSession({
    me: 1,
    n: 2,
    t: 0,
    id: new Uint8Array(32),
    mode: 'sync',
    signal: never,
    roundTimeoutMs: 100,
    bytesPerPeer: 100,
    timers: {
      monotonicMs: () => 1000,
      at: (instantMs, callback) => {
        instants.push(instantMs);
        const timer = setImmediate(callback);
        return () => clearImmediate(timer);
      },
    },
    wire: {
      send: (_, round, __, sent) => {
        times.push(round);
        sent();
      },
      end: () => undefined,
      close: () => undefined,
    },
  });
  await exchange(session, Uint8Array.of(1));
  session.takeRounds(6);
  await exchange(session, Uint8Array.of(1));
  t.same(times, [1, 8]);
  t.same(instants, [1100, 1800]);
  t.same(session.faults, [{ party: 2, what: 'silent in round 1' }], 'noted once');
});

t.test('asynchronous opening goes on when a partition heals', async (t) => {
  const ring = smallRing(simRandom('partition').bytes);
  const secret = ring.random(3);
  const shares = shareSmall(ring, secret, 4, 1);
  const network = new SimNetwork({ n: 4, t: 1, seed: 5, partition: { parties: [1, 2], untilMs: 60_000 } });
  const results = await network.run((session) => robustOpen(session, ring, shares.get(session.me) ?? secret), 'async');
  for (const value of results.values()) t.ok(!(value instanceof Error) && ring.equals(value, secret));
  t.ok(network.nowMs > 60_000, 'neither side had enough shares before');
});

t.test('a value is decoded at most t + 1 times, whatever t liars send', async (t) => {
  const [n, threshold] = [7, 2];
  for (const [name, strategy] of Object.entries(STRATEGIES)) {
    const ring = smallRing(simRandom(name).bytes);
    const secret = ring.random(2);
    const shares = shareSmall(ring, secret, n, threshold);
    const liars = new Map([2, 6].map((party): [number, Strategy] => [party, strategy]));
    const network = new SimNetwork({ n, t: threshold, seed: 1, liars });
    const attempts = new Map<number, number>();
    const results = await network.run((session) => {
      const counting: typeof ring = {
        ...ring,
        open: async (input) => {
          attempts.set(session.me, (attempts.get(session.me) ?? 0) + 1);
          return await ring.open(input);
        },
      };
      return robustOpen(session, counting, shares.get(session.me) ?? secret);
    });
    for (const party of network.honest) {
      const value = results.get(party);
      t.ok(value && !(value instanceof Error) && ring.equals(value, secret), name);
      t.ok((attempts.get(party) ?? 0) <= threshold + 1, `${name}: ${attempts.get(party)} attempts of party ${party}`);
    }
  }
});

t.test('t parties that are cut off are excluded by the others, and know it', async (t) => {
  for (const [n, threshold, parties] of [
    [4, 1, [2]],
    [7, 2, [1, 7]],
  ] as const) {
    const network = new SimNetwork({ n, t: threshold, seed: n, partition: { parties, untilMs: 1_000_000 } });
    const results = await network.run((session) => reliableBroadcast(session, Uint8Array.of(session.me), 32));
    for (const [party, result] of results) {
      if (parties.some((cut) => cut === party)) t.match(result, { code: 'ABORTED' }, `party ${party} of ${n}`);
      else
        t.same(
          result instanceof Error ? result : [...result.keys()],
          network.honest.filter((p) => !parties.some((cut) => cut === p)),
        );
    }
  }
});

t.test('too few shares fail by name when the round ends', async (t) => {
  const ring = smallRing(simRandom('few').bytes);
  const shares = shareSmall(ring, ring.random(1), 4, 1);
  const network = new SimNetwork({ n: 4, t: 1, seed: 6, partition: { parties: [1, 2], untilMs: 60_000 } });
  const results = await network.run((session) => robustOpen(session, ring, shares.get(session.me) ?? ring.zero(1)));
  for (const result of results.values()) t.match(result, { code: 'TASK_FAILED', facts: { have: 2, need: 3 } });
});

t.test('no two sessions have the same id: not for the same purpose, and not for two purposes', async (t) => {
  const purpose: SessionPurpose = {
    kind: 'a',
    id: Uint8Array.of(1),
    context: Uint8Array.of(2),
    epoch: Uint8Array.of(3),
    partySet: Uint8Array.of(4),
  };
  const idsOf = async (purposeOf: SessionPurpose, nonce: RandomOf): Promise<string> => {
    const network = new SimNetwork({ n: 4, t: 1, seed: 7 });
    const results = await network.runEach(async (mine) => {
      const session = await beginSession(mine, purposeOf, nonce, never);
      t.equal(session.mode, 'sync');
      return toHex(session.id);
    });
    const ids = new Set([...results.values()].map(String));
    t.equal(ids.size, 1, 'all parties have the same');
    return [...ids].join();
  };
  type RandomOf = (sizeBytes: number) => Uint8Array<ArrayBuffer>;
  const fixed: RandomOf = (sizeBytes) => new Uint8Array(sizeBytes).fill(9);
  const { bytes } = simRandom('nonces');
  const all = [
    await idsOf(purpose, bytes),
    await idsOf(purpose, bytes),
    await idsOf(purpose, fixed),
    await idsOf({ ...purpose, kind: 'b' }, fixed),
    await idsOf({ ...purpose, id: Uint8Array.of(1, 2), context: new Uint8Array() }, fixed),
    await idsOf({ ...purpose, epoch: Uint8Array.of(4) }, fixed),
    await idsOf({ ...purpose, partySet: Uint8Array.of(5) }, fixed),
  ];
  t.equal(new Set(all).size, all.length);
  t.equal(await idsOf(purpose, fixed), all[2], 'it depends on nothing else');
});

t.test('a party of whom the others have heard another nonce does not begin', async (t) => {
  // As more than t liars could have it: whatever party 1 says of itself in the first round, all others hear this.
  const another = new Uint8Array(32).fill(5);
  const changed: Strategy = (frame) => [frame.round === 1 ? { ...frame, payload: another } : frame];
  const network = new SimNetwork({ n: 4, t: 1, seed: 8, liars: new Map([[1, changed]]) });
  const nothing = new Uint8Array();
  const purpose = { kind: 'a', id: nothing, context: nothing, epoch: nothing, partySet: nothing };
  const outcomes = new Map<number, unknown>();
  await network.runEach(async (mine) => {
    const begun = beginSession(mine, purpose, simRandom(`nonce ${mine.me}`).bytes, never);
    outcomes.set(mine.me, await begun.then(({ id }) => toHex(id)).catch((error: unknown) => error));
  });
  t.match(outcomes.get(1), { code: 'ABORTED', message: 'the others heard another nonce of this party' });
  t.equal(new Set([2, 3, 4].map((party) => outcomes.get(party))).size, 1, 'the others go on without it');
});

t.test('a commitment opens to its message, in its place, and to no other', async (t) => {
  const place = { role: 1, sessionId: new Uint8Array(32), round: 2 };
  const [message, opening] = [Uint8Array.of(1, 2, 3), new Uint8Array(16).fill(4)];
  const commitment = commit(place, message, opening);
  t.ok(opensTo(commitment, place, message, opening));
  const others: readonly (readonly [string, boolean])[] = [
    ['role', opensTo(commitment, { ...place, role: 2 }, message, opening)],
    ['session', opensTo(commitment, { ...place, sessionId: new Uint8Array(32).fill(1) }, message, opening)],
    ['round', opensTo(commitment, { ...place, round: 3 }, message, opening)],
    ['message', opensTo(commitment, place, Uint8Array.of(1, 2), opening)],
    ['opening', opensTo(commitment, place, message, new Uint8Array(16))],
    ['size of the opening', opensTo(commitment, place, Uint8Array.of(1, 2), Uint8Array.of(3, ...opening))],
    ['size of the commitment', opensTo(commitment.subarray(1), place, message, opening)],
  ];
  for (const [what, opens] of others) t.notOk(opens, `another ${what}`);
});

t.test('a value that is too long is none, and is echoed by nobody', async (t) => {
  const long: Strategy = (frame) => {
    const isValue = frame.payload.byteLength === 1 && frame.payload[0] === 4;
    return [isValue ? { ...frame, payload: new Uint8Array(10_000) } : frame];
  };
  for (const protocol of [reliableBroadcast, broadcast]) {
    const network = new SimNetwork({ n: 4, t: 1, seed: 8, liars: new Map([[4, long]]) });
    const results = await network.run((session) => protocol(session, Uint8Array.of(session.me), 1));
    for (const result of results.values()) t.notOk(result instanceof Error || result.has(4), 'nobody took it');
    t.ok(
      network.frames.every(({ from, payload }) => from === 4 || payload.byteLength < 1000),
      'nobody passed it on',
    );
  }
});

t.test('with more than t parties excluded nothing goes on', async (t) => {
  const network = new SimNetwork({ n: 4, t: 1, seed: 9 });
  const results = await network.run((session) => {
    session.exclude(1, 'test');
    session.exclude(2, 'test');
    return reliableBroadcast(session, Uint8Array.of(1), 1);
  });
  for (const result of results.values()) t.match(result, { code: 'ABORTED', facts: { excluded: 2, t: 1 } });
});
