/** Engines that find each other: attested connections over real sockets, and what they share on them. */
import { createHash } from 'node:crypto';
import t, { type Test } from 'tap';
import { meshDialer } from '../../../attestation/mesh/dialer.ts';
import { unixDial } from '../../../attestation/mesh/transport-unix.ts';
import { toHex } from '../../../common/bytes.ts';
import type { Meeting } from '../../../enclave/peers/peer-network.ts';
import { engineNetwork, type NetworkedEngine, until } from '../../helpers/engine-network.ts';
import { present } from '../../helpers/present.ts';

const never = new AbortController().signal;
const fill = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);
const attested = ({ mesh }: NetworkedEngine): number =>
  mesh.peers.rows().filter((row) => row.role === 'engine' && row.attested).length;

/** Whether frames can go to so many others. */
const serves = ({ network }: NetworkedEngine, others: number): boolean =>
  [...network.links.values()].filter((link) => link.stats().sessions === 1).length === others;

/** Engines of which each is connected to each. */
async function connectedEngines(t: Test, n: number) {
  const network = engineNetwork(t, n);
  const engines = await network.startAll();
  await until(() => engines.every((engine) => serves(engine, n - 1)));
  return { network, engines };
}

function meeting(change: Partial<Meeting> = {}): Meeting {
  return { kind: 'test', id: fill(1), digest: fill(2), parties: [1, 2, 3, 4], ...change };
}

t.test('four engines connect each to each, with one connection a pair, dialled by the lower party', async (t) => {
  const { engines, network } = await connectedEngines(t, 4);
  for (const { party, mesh, network: peers } of engines) {
    const rows = mesh.peers.rows().filter(({ role }) => role === 'engine');
    t.same(
      rows.map((row) => row.party),
      network.parties.filter((other) => other !== party),
    );
    t.ok(rows.every(({ connections, endpoint }) => connections === 1 && endpoint !== undefined));
    t.same([...peers.links.keys()].sort(), rows.map((row) => row.party).sort());
    t.ok([...peers.links.values()].every((link) => link.usable));
  }
  const expect = { service: 'engine-data', role: 'engine', party: 1 } as const;
  const dial = meshDialer({
    dial: unixDial(network.endpoint(1)),
    endpoint: present(engines[2]).mesh.endpoint,
    expect,
  });
  const wrongWay = await dial(AbortSignal.timeout(60_000));
  wrongWay.stream.resume();
  await wrongWay.closed;
  t.equal(attested(present(engines[0])), 3, 'a higher party that dials is sent away, and nobody else is disturbed');
});

t.test('channels carry frames beside each other', async (t) => {
  const { engines } = await connectedEngines(t, 4);
  const heard: string[] = [];
  const connected: string[] = [];
  for (const { party, network } of engines) {
    for (const name of ['a', 'b']) {
      const channel = network.channel(name);
      t.throws(() => network.channel(name), { code: 'ALREADY_EXISTS' });
      channel.listen({
        onFrame: (from, frame) => heard.push(`${name}: ${from} to ${party}: ${Buffer.from(frame)}`),
        onConnected: (other) => connected.push(`${name}: ${party} has ${other}`),
      });
      if (party === 1) for (const to of [2, 3, 4]) void channel.send(to, Buffer.from(`hello ${name} ${to}`));
    }
  }
  await until(() => heard.length === 6);
  t.same(heard.toSorted(), [
    'a: 1 to 2: hello a 2',
    'a: 1 to 3: hello a 3',
    'a: 1 to 4: hello a 4',
    'b: 1 to 2: hello b 2',
    'b: 1 to 3: hello b 3',
    'b: 1 to 4: hello b 4',
  ]);
  t.equal(new Set(connected).size, 24, 'each listener is told of each party');
});

t.test('parties that come at different times begin together, and agree on something new each time', async (t) => {
  const { engines } = await connectedEngines(t, 4);
  const begun: number[] = [];
  const meet = async ({ network, party }: NetworkedEngine): Promise<string> => {
    const agreed = await network.meet(meeting(), never);
    begun.push(party);
    return toHex(agreed);
  };
  const early = engines.slice(0, 3).map(meet);
  await t.rejects(present(engines[0]).network.meet(meeting(), never), { code: 'ALREADY_EXISTS' });
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.same(begun, [], 'nobody begins before all are there');
  const first = await Promise.all([...early, meet(present(engines[3]))]);
  t.equal(new Set(first).size, 1);
  const second = await Promise.all(engines.map(meet));
  t.equal(new Set(second).size, 1);
  t.not(first[0], second[0], 'the next meeting is another one');
});

t.test('parties that mean different things do not begin', async (t) => {
  const { engines } = await connectedEngines(t, 4);
  const results = await Promise.allSettled(
    engines.map(({ network, party }) => network.meet(meeting({ digest: fill(party === 3 ? 9 : 2) }), never)),
  );
  for (const [index, result] of results.entries()) {
    const { reason } = result as PromiseRejectedResult;
    t.match(
      reason,
      { code: 'ABORTED', message: /party \d asks for something else under this id/ },
      `party ${index + 1}`,
    );
  }
  t.match((results[0] as PromiseRejectedResult).reason.message, /party 3/);
});

t.test('a meeting names who is missing', async (t) => {
  const { engines } = await connectedEngines(t, 4);
  const waiting = engines.slice(0, 2).map(({ network }) => network.meet(meeting({ withinMs: 100 }), never));
  for (const late of await Promise.allSettled(waiting)) {
    t.match(late, { reason: { code: 'UNAVAILABLE', facts: { missing: '3, 4' } } });
  }
  const stop = new AbortController();
  const given = present(engines[0]).network.meet(meeting(), stop.signal);
  stop.abort();
  await t.rejects(given, { code: 'CANCELLED' });
  const bad: Partial<Meeting>[] = [
    { kind: '' },
    { kind: 'ä' },
    { id: fill(1).subarray(1) },
    { parties: [0] },
    { withinMs: 0 },
  ];
  for (const change of bad) {
    await t.rejects(present(engines[0]).network.meet(meeting(change), never), { code: 'REQUEST_INVALID' });
  }
});

t.test('a party that went away is told apart, and comes back by itself', async (t) => {
  const { engines, network } = await connectedEngines(t, 4);
  const [one, two] = [present(engines[0]), present(engines[1])];
  const all = await one.network.reach([1, 2, 3, 4], never);
  t.match(
    all,
    [2, 3, 4].map((party) => ({ party, reachable: true, error: '', endpoint: network.endpoint(party) })),
  );
  t.ok(all.every(({ latencyMs }) => latencyMs >= 1 && latencyMs < 60_000));
  await two.stop();
  await until(() => attested(one) === 2);
  const [gone, other] = await one.network.reach([2, 3, 9], never);
  t.match(gone, { party: 2, reachable: false, latencyMs: 0, error: /./ });
  t.match(other, { party: 3, reachable: true });
  t.match((await one.network.reach([9], never))[0], { error: 'the governed record names no such party' });
  const again = await network.start(2);
  await until(() => serves(again, 3) && serves(one, 3));
  const met = [one, again, ...engines.slice(2)].map(({ network: peers }) => peers.meet(meeting(), never));
  t.equal(new Set((await Promise.all(met)).map(toHex)).size, 1);
});

t.test('what had left before an engine stops still arrives', async (t) => {
  const { engines } = await connectedEngines(t, 4);
  for (const [index, engine] of engines.slice(0, 3).entries()) {
    const heard: number[] = [];
    const rest = engines.slice(index + 1);
    for (const { network } of rest) {
      const channel = network.channel(`last words ${index}`);
      channel.listen({ onFrame: (_, frame) => heard.push(frame.byteLength), onConnected: () => undefined });
    }
    const channel = engine.network.channel(`last words ${index}`);
    await Promise.all(rest.map(({ party }) => channel.send(party, new Uint8Array(7_000))));
    await engine.stop();
    await until(() => heard.length === rest.length);
    t.ok(heard.every((sizeBytes) => sizeBytes === 7_000));
    const reasons = engine.log.filter(({ event }) => event === 'mesh.closed').map(({ reason }) => reason);
    t.same(new Set(reasons.slice(-rest.length)), new Set(['the engine stops']));
  }
});

t.test('the bandwidth to each party is measured within the published limits', async (t) => {
  const { engines } = await connectedEngines(t, 4);
  const { network } = present(engines[0]);
  const test = { parties: [1, 2, 3, 4], kind: 'once', durationMs: 0, sessions: 4, payloadBytes: 1_300_000 } as const;
  const once = network.bandwidth(test, never);
  await t.rejects(network.bandwidth(test, never), { code: 'RESOURCE_EXHAUSTED' });
  for (const [index, row] of (await once).entries()) {
    t.match(row, { party: index + 2, bytesSent: 4 * 1_300_000 });
    const { fastest, p50, slowest } = row.latency;
    t.ok(row.durationMs > 0 && fastest <= p50 && p50 <= slowest && slowest <= row.durationMs + 1);
  }
  const timed = await network.bandwidth({ ...test, kind: 'duration', durationMs: 100, payloadBytes: 0 }, never);
  t.ok(timed.every(({ durationMs, latency }) => durationMs >= 100 && latency.slowest <= durationMs + 1));
  const stop = new AbortController();
  const long = network.bandwidth({ ...test, kind: 'duration', durationMs: 60_000 }, stop.signal);
  setTimeout(() => stop.abort(), 20);
  await t.rejects(long, { code: 'CANCELLED' });
  const bad = [
    { sessions: 0 },
    { sessions: 257 },
    { payloadBytes: 2 ** 28 + 1 },
    { sessions: 5, payloadBytes: 2 ** 28 },
  ];
  for (const change of bad)
    await t.rejects(network.bandwidth({ ...test, ...change }, never), { code: 'REQUEST_INVALID' });
  const tooLong = { ...test, kind: 'duration', durationMs: 60_001 } as const;
  await t.rejects(network.bandwidth(tooLong, never), { code: 'REQUEST_INVALID', message: /60 s/ });
  const nobody = await network.bandwidth({ ...test, parties: [7] }, never);
  t.match(nobody, [{ party: 7, endpoint: '', bytesSent: 0, durationMs: 0, latency: { p99: 0 } }]);
  for (const { network: peers } of engines) {
    await until(() => [...peers.links.values()].every((link) => link.stats().sessions === 1));
  }
  t.pass('nothing of the tests is left in the links');
});

t.test('the links follow the governed record', async (t) => {
  const network = engineNetwork(t, 4);
  const elsewhere = network.record(1, {
    parties: network.parties.map((party) => ({
      party,
      address: createHash('sha256').update(`${party}`).digest().subarray(0, 20),
    })),
  });
  const one = await network.start(1, { knows: { record: elsewhere, releases: network.releases(1) } });
  t.same([...one.network.links.keys()], [2, 3, 4]);
  t.match((await one.network.reach([2], never))[0], { error: 'the governed record names no endpoint' });
  const others = await Promise.all([2, 3, 4].map((party) => network.start(party)));
  await one.governance.offer({ kind: 'record', content: network.record(2) });
  for (const { governance } of others) await governance.offer({ kind: 'record', content: network.record(2) });
  await until(() => attested(one) === 3);
  const without = network.record(3, {
    parties: [1, 2, 3].map((party) => ({ party, address: address(one, party), endpoint: network.endpoint(party) })),
  });
  const [kept, gone] = [one.network.links.get(2), one.network.links.get(4)];
  await one.governance.offer({ kind: 'record', content: without });
  t.same([...one.network.links.keys()], [2, 3]);
  t.equal(one.network.links.get(2), kept, 'a link that stays is not replaced');
  await until(() => gone?.usable === false);
  t.notOk(one.mesh.peers.rows().some(({ party }) => party === 4));
});

function address({ governance }: NetworkedEngine, party: number): Uint8Array {
  return present(governance.book.record?.body.parties.find((entry) => entry.party === party)?.address);
}
