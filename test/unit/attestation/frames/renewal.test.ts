/** Frames between two engines over TCP while certificates of a few seconds are renewed: no session is lost. */
import { randomBytes } from 'node:crypto';
import t from 'tap';
import { meshDialer } from '../../../../attestation/mesh/dialer.ts';
import { dialFrames } from '../../../../attestation/mesh/frame-dialer.ts';
import { FrameLink } from '../../../../attestation/mesh/frame-link.ts';
import { listenMesh } from '../../../../attestation/mesh/listener.ts';
import { parseTcpAddress, tcpDial, tcpTransport } from '../../../../attestation/mesh/transport-tcp.ts';
import { systemClock } from '../../../../common/clock.ts';
import { createLogger } from '../../../../common/log.ts';
import { createTestMesh } from '../../../helpers/mesh-pair.ts';

const clock = systemClock;
const log = createLogger({ name: 'test', level: 'silent' });
const WORKERS = 8;

t.test('sessions run all the time over two renewals, each to its end', async (t) => {
  const mesh = await createTestMesh(t);
  const attester = { leafLifeMs: 9_000 };
  const [one, two] = [
    await mesh.endpoint('engine', { attester }),
    await mesh.endpoint('engine', { party: 2, attester }),
  ];
  const near = new FrameLink({ peer: 'engine of party 1', clock });
  const far = new FrameLink({ peer: 'engine of party 2', clock });
  const expect = { service: 'engine-data', role: 'engine' } as const;
  const listener = await listenMesh({
    transport: tcpTransport({ host: '127.0.0.1', port: 0 }),
    endpoint: one,
    expect,
    onConnection: ({ stream }) => void far.attach(stream),
  });
  t.teardown(() => listener.close());
  const dial = meshDialer({ dial: tcpDial(parseTcpAddress(listener.address)), endpoint: two, expect });
  const kept = dialFrames({ dial, link: near, peer: 'engine of party 1', clock, log });
  t.teardown(() => kept.close());
  await kept.whenConnected();
  let sessions = 0;
  const work = async (): Promise<void> => {
    while (kept.status().opened < 3) {
      const id = randomBytes(32);
      const [a, b] = [near.open(id), far.open(id)];
      for (let round = 0; round < 5; round++) {
        const payload = Buffer.alloc(5_000, round);
        const [, , atB, atA] = await Promise.all([
          a.send(round, payload),
          b.send(round, payload),
          b.receive(),
          a.receive(),
        ]);
        if (atA?.round !== round || !payload.equals(atB?.payload ?? Buffer.alloc(0))) throw new Error('a wrong frame');
      }
      a.end();
      b.end();
      if ((await a.receive()) || (await b.receive())) throw new Error('a frame too many');
      sessions += 1;
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, work));
  t.ok(sessions > 50, `${sessions} sessions`);
  t.equal(listener.stats().verified, 3);
  while (near.stats().connections > 1 || far.stats().connections > 1) await new Promise((go) => setTimeout(go, 5));
  t.match(
    [near.stats(), far.stats()],
    [
      { dropped: 0, sessions: 0 },
      { dropped: 0, sessions: 0 },
    ],
    'the old ones closed',
  );
});
