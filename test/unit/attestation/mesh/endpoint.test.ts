/**
 * An endpoint over time: its leaf, its attester's failures, and its open connections when the view changes.
 */
import { Writable } from 'node:stream';
import t from 'tap';
import type { Attester } from '../../../../attestation/attester/attester.ts';
import type { MeshConnection, PartyView } from '../../../../attestation/mesh/mesh-context.ts';
import { refuse } from '../../../../attestation/mesh/reasons.ts';
import { logRefusal } from '../../../../attestation/mesh/refusal-log.ts';
import { KmsError } from '../../../../common/errors.ts';
import { createLogger } from '../../../../common/log.ts';
import {
  connectPair,
  createTestMesh,
  makeTestParty,
  measurements,
  type TestMesh,
  type TestView,
  tryPair,
  viewOf,
} from '../../../helpers/mesh-pair.ts';
import { reasonsOf } from './scene.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** A clock that a test moves; both of its times move alike. */
function makeClock() {
  let nowMs = Date.now();
  return {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    advance: (ms: number) => {
      nowMs += ms;
    },
  };
}

/** An attester that fails while told so. */
function makeSwitch(attester: Attester) {
  const state = { broken: false, calls: 0 };
  const wrapped: Attester = {
    kind: attester.kind,
    close: () => attester.close(),
    attest: (fields, signal) => {
      state.calls++;
      if (state.broken) return Promise.reject(new KmsError('UNAVAILABLE', 'the device is gone'));
      return attester.attest(fields, signal);
    },
  };
  return { state, wrapped };
}

/** Changes all parties of a view in the same way. */
function changeParties(view: TestView, change: Partial<PartyView>): void {
  view.parties = view.parties.map((party) => ({ ...party, ...change }));
}

t.test('open connections are judged again when the view changes', async (t) => {
  const changes: readonly (readonly [string, RegExp, (mesh: TestMesh) => unknown])[] = [
    ['the release is withdrawn', /measurement/, ({ view }) => Object.assign(view, { allowed: [] })],
    [
      'another release takes its place',
      /measurement/,
      ({ view }) => Object.assign(view, { allowed: measurements('next') }),
    ],
    ['another context', /context/, ({ view }) => Object.assign(view, { contextId: new Uint8Array(32) })],
    ['the party leaves the context', /party/, ({ view }) => Object.assign(view, { parties: [] })],
    [
      'the party is enrolled under another key',
      /identity/,
      ({ view }) => changeParties(view, { address: new Uint8Array(20) }),
    ],
    ['the party has another charter', /charter/, ({ view }) => changeParties(view, { pcr16: new Uint8Array(48) })],
    ['a newer incarnation was seen', /incarnation/, ({ view }) => view.noteIncarnation(1, 7)],
  ];
  for (const [what, reason, change] of changes) {
    const mesh = await createTestMesh(t);
    const [core] = await connectPair(t, await mesh.endpoint('core'), await mesh.endpoint('engine'));
    change(mesh);
    mesh.view.changed();
    t.match(await core.closed, reason, what);
  }
});

t.test('a change that keeps the peer trusted keeps the connection', async (t) => {
  const mesh = await createTestMesh(t);
  const core = await mesh.endpoint('core');
  const [near] = await connectPair(t, core, await mesh.endpoint('engine'));
  mesh.view.allowed = [...measurements('next'), ...measurements()];
  mesh.view.parties = [...mesh.view.parties, viewOf(await makeTestParty(mesh.network, 9))];
  mesh.view.changed();
  await core.tick();
  t.equal(near.stream.destroyed, false);
  t.same(core.connections(), [near]);
});

t.test('a change of the own context or incarnation ends connections that were made under the old one', async (t) => {
  const mesh = await createTestMesh(t);
  let incarnation = 1;
  const core = await mesh.endpoint('core');
  Object.defineProperty(core.self, 'incarnation', { get: () => incarnation });
  const [near] = await connectPair(t, core, await mesh.endpoint('engine'));
  incarnation = 2;
  await core.tick();
  t.match(await near.closed, /incarnation/);
});

t.test('a missed change is found by the clock, and no connection outlives either leaf', async (t) => {
  const clock = makeClock();
  const mesh = await createTestMesh(t, { clock });
  const [core, engine] = [await mesh.endpoint('core'), await mesh.endpoint('engine')];
  const [near, far] = await connectPair(t, core, engine);
  t.ok(near.renewAtMs > clock.nowMs() + HOUR_MS && near.renewAtMs < clock.nowMs() + 2 * HOUR_MS, 'two thirds of 3 h');
  t.ok(near.closeAtMs <= clock.nowMs() + 3 * HOUR_MS);
  clock.advance(near.closeAtMs - clock.nowMs() - 1);
  await core.tick();
  t.equal(near.stream.destroyed, false, 'until the last moment');
  clock.advance(1);
  await core.tick();
  t.match(await near.closed, /leaf ended/);
  await far.closed;
});

t.test('the shorter of both leaves ends a connection, on the side that it belongs to as well', async (t) => {
  const clock = makeClock();
  const mesh = await createTestMesh(t, { clock });
  const core = await mesh.endpoint('core', { attester: { leafLifeMs: 20 * MINUTE_MS } });
  const [near, far] = await connectPair(t, core, await mesh.endpoint('engine'));
  t.equal(near.closeAtMs, far.closeAtMs, 'both know when');
  t.ok(near.closeAtMs <= clock.nowMs() + 20 * MINUTE_MS && far.renewAtMs < far.closeAtMs);
  clock.advance(near.closeAtMs - clock.nowMs());
  await core.tick();
  t.match(await near.closed, /the own leaf ended/);
});

t.test('the leaf is renewed ahead of two thirds of its life, and old connections go on', async (t) => {
  const clock = makeClock();
  const mesh = await createTestMesh(t, { clock });
  const [core, engine] = [await mesh.endpoint('core'), await mesh.endpoint('engine')];
  const [near] = await connectPair(t, core, engine);
  const before = await core.leaf();
  clock.advance(HOUR_MS);
  await core.tick();
  t.equal(await core.leaf(), before, 'not yet');
  clock.advance(near.renewAtMs - clock.nowMs());
  await Promise.all([core.tick(), engine.tick()]);
  const after = await core.leaf();
  t.ok(after.notAfterMs > before.notAfterMs + HOUR_MS, 'a new one is ready when connections are renewed');
  t.equal(near.stream.destroyed, false);
  const [next] = await connectPair(t, core, engine);
  t.ok(next.renewAtMs > clock.nowMs() + HOUR_MS, 'the next connection lives as long again');
});

t.test('while the attester fails service goes on until the leaf expires, and then it fails closed', async (t) => {
  const clock = makeClock();
  const mesh = await createTestMesh(t, { clock });
  let attester: ReturnType<typeof makeSwitch> | undefined;
  const engine = await mesh.endpoint('engine', {
    wrap: (inner) => {
      attester = makeSwitch(inner);
      return attester.wrapped;
    },
  });
  if (!attester) throw new Error('the attester was wrapped');
  const core = await mesh.endpoint('core');
  const [near] = await connectPair(t, core, engine);
  const leaf = await engine.leaf();
  attester.state.broken = true;
  clock.advance(2 * HOUR_MS + 10 * MINUTE_MS);
  await engine.tick();
  t.match(engine.health(), { ok: true, failedRenewals: 1, leafExpiresMs: leaf.notAfterMs }, 'an alarm, no outage');
  t.match(engine.health().reasons, [/failed 1 times.*device is gone/]);
  t.equal(await engine.leaf(), leaf, 'the old leaf serves');
  t.equal(near.stream.destroyed, false);
  const calls = attester.state.calls;
  await engine.tick();
  t.equal(attester.state.calls, calls, 'no second attempt within the back-off');
  clock.advance(1_000);
  await engine.tick();
  t.equal(attester.state.calls, calls + 1, 'the second after a second');
  clock.advance(1_000);
  await engine.tick();
  t.equal(attester.state.calls, calls + 1, 'the third not after one more');
  clock.advance(leaf.notAfterMs - clock.nowMs());
  await engine.tick();
  t.match(await near.closed, /./, 'nothing outlives the leaf');
  t.match(engine.health(), { ok: false });
  t.match(engine.health().reasons.join(), /expired/);
  await t.rejects(engine.leaf(), { code: 'UNAVAILABLE', message: /device is gone/ });
  await core.tick();
  const [atCore, atEngine] = await tryPair(t, core, engine);
  t.not(reasonsOf(atCore), 'accepted');
  t.equal(reasonsOf(atEngine), 'UNAVAILABLE');
  attester.state.broken = false;
  clock.advance(5 * MINUTE_MS);
  await engine.tick();
  t.match(engine.health(), { ok: true, failedRenewals: 0, reasons: [] }, 'it recovers by itself');
  const [again] = await connectPair(t, core, engine);
  again.close('done');
});

t.test('an attester that fails during a handshake refuses that connection only', async (t) => {
  const mesh = await createTestMesh(t);
  let attester: ReturnType<typeof makeSwitch> | undefined;
  const wrap = (inner: Attester): Attester => {
    attester = makeSwitch(inner);
    return attester.wrapped;
  };
  const engine = await mesh.endpoint('engine', { wrap });
  const core = await mesh.endpoint('core');
  const [near] = await connectPair(t, core, engine);
  if (attester) attester.state.broken = true;
  const [atCore, atEngine] = await tryPair(t, core, engine);
  t.equal(reasonsOf(atEngine), 'unavailable');
  t.equal(reasonsOf(atCore), 'unavailable', 'the peer is told');
  t.equal(near.stream.destroyed, false);
});

t.test('an endpoint that closes takes its connections with it', async (t) => {
  const mesh = await createTestMesh(t);
  const [core, engine] = [await mesh.endpoint('core'), await mesh.endpoint('engine')];
  const connections: MeshConnection[] = [...(await connectPair(t, core, engine))];
  await core.close();
  t.same(await Promise.all(connections.map(({ closed }) => closed)), ['the endpoint is closed', 'the peer closed it']);
  t.match(core.health(), { ok: false, reasons: ['the endpoint is closed'] });
  const [atCore] = await tryPair(t, core, engine);
  t.not(reasonsOf(atCore), 'accepted', 'nothing is opened after that');
});

t.test('a stranger cannot fill the log, and what was left out is counted', async (t) => {
  const clock = makeClock();
  const lines: string[] = [];
  const destination = new Writable({
    write: (chunk, _encoding, done) => {
      lines.push(String(chunk));
      done();
    },
  });
  const log = createLogger({ name: 'test', level: 'info', destination });
  const mesh = await createTestMesh(t, { clock });
  const endpoint = await mesh.endpoint('engine', { log });
  lines.length = 0;
  const refused = refuse('party', 'party 9 is not in the context');
  for (let i = 0; i < 500; i++) logRefusal(endpoint, 'server', 'engine-data', refused);
  t.equal(lines.length, 50);
  logRefusal(endpoint, 'client', 'engine-data', refused);
  t.equal(lines.length, 51, 'what this side dialled is always told');
  t.match(JSON.parse(lines.at(-1) ?? ''), { event: 'mesh.refused', side: 'client', unsaid: 450 });
  logRefusal(endpoint, 'server', 'engine-data', refused);
  clock.advance(1_000);
  logRefusal(endpoint, 'server', 'engine-data', refused);
  t.match(JSON.parse(lines.at(-1) ?? ''), { side: 'server', unsaid: 1, err: { reasons: 'party' } });
});
