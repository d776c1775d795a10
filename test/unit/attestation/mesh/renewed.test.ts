/** Why a connection ended, at both ends: renewed, or closed without a successor. */
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { meshDialer } from '../../../../attestation/mesh/dialer.ts';
import { dialFrames } from '../../../../attestation/mesh/frame-dialer.ts';
import { FrameLink } from '../../../../attestation/mesh/frame-link.ts';
import { listenMesh } from '../../../../attestation/mesh/listener.ts';
import type { MeshConnection } from '../../../../attestation/mesh/mesh-context.ts';
import { parseTcpAddress, tcpDial, tcpTransport } from '../../../../attestation/mesh/transport-tcp.ts';
import { type Clock, systemClock } from '../../../../common/clock.ts';
import { createLogger } from '../../../../common/log.ts';
import { openEngineClient } from '../../../../parent/core/engine-client/reconnecting-client.ts';
import { connectPair, createTestMesh } from '../../../helpers/mesh-pair.ts';
import { testEngine } from '../../../helpers/test-engine.ts';

const HOUR_MS = 3_600_000;
/** A third of it passes between the renewal and the end: long enough for a machine busy with other things. */
const LEAF_LIFE_MS = 9_000;

t.test('a connection that the peer closes after its successor, when it was due, was renewed', async (t) => {
  let aheadMs = 0;
  const clock: Clock = { nowMs: () => systemClock.nowMs() + aheadMs, monotonicMs: () => systemClock.monotonicMs() };
  const mesh = await createTestMesh(t, { clock });
  const [core, engine] = [await mesh.endpoint('core'), await mesh.endpoint('engine')];
  const ends: MeshConnection[] = [];
  const connect = async () => {
    const [near, far] = await connectPair(t, core, engine);
    ends.push(far);
    return near;
  };
  const [parallel, early, due, last] = [await connect(), await connect(), await connect(), await connect()];
  early.close('done');
  t.equal(await ends[1]?.closed, 'the peer closed it', 'it was not due, as one of several beside each other');
  aheadMs = 2.1 * HOUR_MS;
  last.close('crashed');
  t.equal(await ends[3]?.closed, 'the peer closed it', 'there is none after it');
  parallel.close('renewed');
  t.equal(await ends[0]?.closed, 'renewed');
  due.close('crashed');
  t.equal(await ends[2]?.closed, 'the peer closed it');
});

t.test('frame links say so at both ends', async (t) => {
  const mesh = await createTestMesh(t);
  const attester = { leafLifeMs: LEAF_LIFE_MS };
  const [one, two] = [
    await mesh.endpoint('engine', { attester }),
    await mesh.endpoint('engine', { party: 2, attester }),
  ];
  const [near, far] = [1, 2].map((party) => new FrameLink({ peer: `party ${party}`, clock: systemClock }));
  if (!near || !far) throw new Error('two links');
  const expect = { service: 'engine-data', role: 'engine' } as const;
  const reasons: string[] = [];
  let served = 0;
  const listener = await listenMesh({
    transport: tcpTransport({ host: '127.0.0.1', port: 0 }),
    endpoint: one,
    expect,
    onConnection: (connection) => {
      void far.attach(connection.stream).closed.then((reason) => connection.explain(reason));
      void connection.closed.then((reason) => reasons.push(`accepted: ${reason}`));
    },
  });
  t.teardown(() => listener.close());
  const dial = meshDialer({ dial: tcpDial(parseTcpAddress(listener.address)), endpoint: two, expect });
  const kept = dialFrames({
    dial: async (signal) => {
      const connection = await dial(signal);
      void connection.closed.then((reason) => reasons.push(`dialled: ${reason}`));
      return connection;
    },
    onServed: () => {
      served += 1;
      t.ok(near.usable, 'sessions can be opened at once');
    },
    link: near,
    peer: 'party 1',
    clock: systemClock,
    log: createLogger({ name: 'test', level: 'silent' }),
  });
  t.teardown(() => kept.close());
  while (reasons.length < 2) await delay(5);
  t.same(reasons.slice(0, 2).toSorted(), ['accepted: renewed', 'dialled: renewed']);
  t.equal(served, 2);
});

t.test('Core and engine say so, too', async (t) => {
  const closed: { core: string[]; engine: string[] } = { core: [], engine: [] };
  const logOf = (name: 'core' | 'engine') => {
    const write = (line: string): void => {
      const { event, reason } = JSON.parse(line);
      if (event === 'mesh.closed') closed[name].push(reason);
    };
    return createLogger({ name, level: 'info', destination: { write } });
  };
  const { trust } = await testEngine(t, { log: logOf('engine') });
  const { dial } = await trust.coreMesh(t, logOf('core'), { leafLifeMs: LEAF_LIFE_MS });
  const client = openEngineClient({ dial, developerMode: true, log: createLogger({ name: 'test', level: 'silent' }) });
  t.teardown(() => client.close());
  while (closed.core.length < 2 || closed.engine.length < 2) await delay(5);
  t.same(closed, { core: ['renewed', 'renewed'], engine: ['renewed', 'renewed'] }, 'calls and bulk');
});
