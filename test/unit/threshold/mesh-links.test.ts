/** The quorum's frames over frame links: real connections, renewed and broken while requests are in flight. */
import { duplexPair } from 'node:stream';
import t, { type Test } from 'tap';
import { FrameLink } from '../../../attestation/mesh/frame-link.ts';
import { fromHex } from '../../../common/bytes.ts';
import { systemClock } from '../../../common/clock.ts';
import { systemRandom } from '../../../common/random.ts';
import { FaultLedger } from '../../../enclave/threshold/fault-ledger.ts';
import { MeshQuorumLinks } from '../../../enclave/threshold/mesh-links.ts';
import { Quorum } from '../../../enclave/threshold/quorum.ts';
import { systemQuorumTimers } from '../../../enclave/threshold/quorum-links.ts';
import { fakeOpenDecryption, fakePartialDecrypt } from '../../helpers/fake-threshold.ts';
import { present } from '../../helpers/present.ts';
import { type SimRequest, simRequest } from '../../helpers/quorum-requests.ts';

const N = 4;
const T = 1;
const timers = systemQuorumTimers(() => systemClock.monotonicMs());

interface Party {
  readonly quorum: Quorum;
  readonly mesh: MeshQuorumLinks;
  readonly links: ReadonlyMap<number, FrameLink>;
  readonly ledger: FaultLedger;
}

function makeParty(me: number): Party {
  const links = new Map<number, FrameLink>();
  const mesh = new MeshQuorumLinks({ me, links, random: systemRandom });
  for (let peer = 1; peer <= N; peer++) {
    if (peer === me) continue;
    const onUnopened = (id: string): void => void mesh.opened(peer, id);
    links.set(peer, new FrameLink({ peer: `engine of party ${peer}`, clock: systemClock, onUnopened }));
  }
  const ledger = new FaultLedger(() => 0);
  const quorum = new Quorum({ me, n: N, t: T, links: mesh, timers, open: fakeOpenDecryption, ledger });
  return { quorum, mesh, links, ledger };
}

class Parties {
  readonly all = Array.from({ length: N }, (_, index) => makeParty(index + 1));

  readonly #t: Test;

  constructor(t: Test) {
    this.#t = t;
    t.teardown(() => {
      for (const { quorum, mesh, links } of this.all) {
        quorum.close();
        mesh.close();
        for (const link of links.values()) link.close('the test ends');
      }
    });
  }

  of(party: number): Party {
    return present(this.all[party - 1]);
  }

  async connect(a: number, b: number): Promise<void> {
    const [one, other] = duplexPair();
    const channels = [present(this.of(a).links.get(b)).attach(one), present(this.of(b).links.get(a)).attach(other)];
    await Promise.all(channels.map(({ ready }) => ready));
    this.of(a).mesh.connected(b);
    this.of(b).mesh.connected(a);
  }

  async connectAll(): Promise<void> {
    for (let a = 1; a <= N; a++) for (let b = a + 1; b <= N; b++) await this.connect(a, b);
  }

  ask(party: number, { name, masked, items }: SimRequest): Promise<Uint8Array[]> {
    const job = { name, masked, items, partialDecrypt: fakePartialDecrypt(party) };
    return this.of(party).quorum.publicDecrypt(job, new AbortController().signal);
  }

  async askAll(request: SimRequest): Promise<void> {
    const opened = await Promise.all(this.all.map((_, index) => this.ask(index + 1, request)));
    for (const result of opened) this.#t.strictSame(result, request.plaintexts);
  }
}

t.test('requests are opened over connected links', async (t) => {
  const parties = new Parties(t);
  await parties.connectAll();
  await Promise.all(Array.from({ length: 50 }, (_, number) => parties.askAll(simRequest(number))));
  for (const { ledger } of parties.all) t.same(ledger.liars(), []);
});

t.test('requests that were asked before there was any connection are opened once there is one', async (t) => {
  const parties = new Parties(t);
  const opened = parties.askAll(simRequest(1));
  await parties.connectAll();
  await opened;
});

t.test('connections are replaced while requests are in flight', async (t) => {
  const parties = new Parties(t);
  await parties.connectAll();
  const opened: Promise<void>[] = [];
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 10; i++) opened.push(parties.askAll(simRequest(round * 10 + i)));
    await parties.connectAll();
  }
  await Promise.all(opened);
  for (const { links } of parties.all) {
    for (const link of links.values()) t.ok(link.stats().sessions <= 2, 'sessions of old connections have ended');
  }
});

t.test('connections that broke come back, and what was in flight is opened', async (t) => {
  const parties = new Parties(t);
  await parties.connectAll();
  const opened = Promise.all([1, 2, 3].map((number) => parties.askAll(simRequest(number))));
  for (const link of parties.of(2).links.values()) link.close('broken');
  for (const peer of [1, 3, 4]) await parties.connect(Math.min(2, peer), Math.max(2, peer));
  await opened;
});

t.test('a peer that sends what is no frame loses its connection', async (t) => {
  const parties = new Parties(t);
  await parties.connect(1, 2);
  const closed = parties.of(1).links.get(2);
  await parties.of(2).mesh.send(1, Uint8Array.of(9, 9));
  const deadlineMs = systemClock.monotonicMs() + 10_000;
  while (closed?.usable && systemClock.monotonicMs() < deadlineMs)
    await new Promise((resolve) => setImmediate(resolve));
  t.notOk(closed?.usable);
  t.equal(parties.of(1).ledger.of(2).counts['malformed frame'], 1);
});

t.test('a frame of a round that does not exist ends the connection, and its sender is named', async (t) => {
  const [one, other] = duplexPair();
  const broken: number[] = [];
  const links = new Map([[2, new FrameLink({ peer: 'engine of party 2', clock: systemClock })]]);
  const mesh = new MeshQuorumLinks({ me: 1, links, random: systemRandom, onBroken: (party) => broken.push(party) });
  const opened = Promise.withResolvers<string>();
  const peer = new FrameLink({ peer: 'engine of party 1', clock: systemClock, onUnopened: opened.resolve });
  t.teardown(() => peer.close('the test ends'));
  const channel = present(links.get(2)).attach(one);
  await Promise.all([channel.ready, peer.attach(other).ready]);
  mesh.connected(2);
  await peer.open(fromHex(await opened.promise)).send(7, Uint8Array.of(1));
  t.equal(await channel.closed, 'a frame of a round out of range');
  t.same(broken, [2]);
});

t.test('sessions of others are left alone', async (t) => {
  const { mesh } = makeParty(2);
  t.notOk(mesh.opened(1, '00'.repeat(32)));
  await mesh.send(1, Uint8Array.of(1)); // nowhere to go
  t.doesNotThrow(() => mesh.connected(3), 'no connection');
});
