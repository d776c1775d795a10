/** Engines tell each other of newer records and release sets: what is signed and newer is taken, whoever brings it. */
import { randomBytes } from 'node:crypto';
import t from 'tap';
import type { GovernanceOffer } from '../../../attestation/governance/index.ts';
import { systemClock } from '../../../common/clock.ts';
import { encodeControl, type OfferMessage } from '../../../enclave/peers/control-messages.ts';
import { engineNetwork, GOVERNANCE_KEYS, type NetworkedEngine, until } from '../../helpers/engine-network.ts';
import { present } from '../../helpers/present.ts';
import { hostileEngine } from './hostile-engine.ts';

const versions = ({ governance }: NetworkedEngine): readonly number[] => {
  const { record, releases } = governance.book.versions;
  return [record, releases];
};

t.test('an engine that is behind catches up on the connection, whoever dials', async (t) => {
  for (const behind of [1, 2]) {
    const network = engineNetwork(t, 2);
    const knows = { record: network.record(3), releases: network.releases(4) };
    const [ahead, late] = [await network.start(3 - behind, { knows }), await network.start(behind)];
    await until(() => versions(late).join() === '3,4');
    t.same(versions(ahead), [3, 4]);
    t.equal(late.governance.book.releases?.body.version, 4, 'nothing new is trusted, so it holds at once');
    const heard = late.log.filter(({ event }) => event === 'governance.heard');
    t.match(heard, [
      { from: 3 - behind, kind: 'record', outcome: 'in-force' },
      { from: 3 - behind, kind: 'release-set', outcome: 'in-force' },
    ]);
  }
});

t.test('a set that trusts more waits for its delay at each engine, and goes on to others while it waits', async (t) => {
  const network = engineNetwork(t, 3);
  const [one, two] = [await network.start(1), await network.start(2)];
  const added = network.releases(2, ['next']);
  t.equal(await one.governance.offer({ kind: 'release-set', content: added }), 'pending');
  await until(() => versions(two)[1] === 2);
  const { pending, releases } = two.governance.book;
  t.equal(pending?.set.body.version, 2);
  t.equal(releases?.body.version, 1, 'what it has heard of is not trusted yet');
  t.ok(present(pending).effectiveFromMs - systemClock.nowMs() > 71 * 3_600_000, 'counted from its own first sight');
  const three = await network.start(3);
  await until(() => versions(three)[1] === 2);
  t.equal(three.governance.book.releases?.body.version, 1);
});

t.test('a change reaches everyone who is connected, from whichever engine', async (t) => {
  const network = engineNetwork(t, 4);
  const engines = await network.startAll();
  await until(() => engines.every((engine) => engine.network.links.size === 3));
  for (const [index, engine] of engines.entries()) {
    const version = index + 2;
    await engine.governance.offer({ kind: 'record', content: network.record(version) });
    await engine.governance.offer({ kind: 'release-set', content: network.releases(version) });
    await until(() => engines.every((other) => versions(other).join() === `${version},${version}`));
  }
  for (const { mesh, log } of engines) {
    t.ok(
      mesh.peers.rows().every(({ role, attested }) => role !== 'engine' || attested),
      'the connections stayed',
    );
    t.same(
      log.filter(({ event }) => event === 'governance.refused'),
      [],
    );
  }
});

t.test('forged, old and foreign objects are refused, told once, and cost nobody the connection', async (t) => {
  const network = engineNetwork(t, 2);
  const two = await network.start(2);
  const hostile = await hostileEngine(t, network, 1);
  const say = (kind: 'record' | 'release-set', content: Uint8Array): Promise<void> => {
    const message: OfferMessage = { type: 'offer', offer: { kind, content } satisfies GovernanceOffer };
    return hostile.say('control', encodeControl(message));
  };
  await until(() => two.network.links.get(1)?.stats().sessions === 1);
  await two.governance.offer({ kind: 'record', content: network.record(5) });
  const forged = network.record(6);
  forged[forged.byteLength - 1] = (forged.at(-1) ?? 0) ^ 1;
  const foreign = network.record(9, { network: 'other-1' });
  await say('record', foreign);
  for (let repeat = 0; repeat < 2; repeat++) {
    await say('record', network.record(4));
    await say('record', forged);
    await say('record', network.record(7, {}, GOVERNANCE_KEYS.slice(0, 2)));
  }
  const refused = () => two.log.filter(({ event }) => event === 'governance.refused');
  await say('release-set', randomBytes(1024 * 1024));
  await until(() => refused().some(({ kind }) => kind === 'release-set'));
  const codes = refused().map(({ kind, err }) => `${kind} ${(err as { code: string }).code}`);
  t.same(
    codes,
    ['record PERMISSION_DENIED', 'record REQUEST_INVALID', 'record APPROVAL_MISSING', 'release-set REQUEST_INVALID'],
    'each once; an older one is no news to anybody',
  );
  t.same(versions(two), [5, 1]);
  // A few in a second are looked at; it comes again after a while.
  while (versions(two)[0] !== 8) {
    await say('record', network.record(8));
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  t.pass('what is signed is still taken from it');
  t.ok(two.network.links.get(1)?.usable);
});

t.test('a peer that offers without end is not listened to without end', async (t) => {
  const network = engineNetwork(t, 2);
  // Its clock stands still: however long the flood takes, it comes within one second.
  const two = await network.start(2, { peers: { clock: { ...systemClock, monotonicMs: () => 1 } } });
  const hostile = await hostileEngine(t, network, 1);
  await until(() => two.network.links.get(1)?.stats().sessions === 1);
  const offer = encodeControl({ type: 'offer', offer: { kind: 'record', content: network.record(2) } });
  await Promise.all(Array.from({ length: 100 }, () => hostile.say('control', offer)));
  await until(() => two.network.ledger.of(1).counts.flood >= 80);
  t.same(versions(two), [2, 1]);
});
