/**
 * Two endpoints prove themselves to each other, and only then bytes flow.
 */
import { once } from 'node:events';
import t from 'tap';
import { connectPair, createTestMesh } from '../../../helpers/mesh-pair.ts';

t.test('a Core and its engine connect and exchange bytes', async (t) => {
  const mesh = await createTestMesh(t);
  const [core, engine] = await connectPair(t, await mesh.endpoint('core'), await mesh.endpoint('engine'));
  t.match(core.peer, { role: 'engine', party: 1, release: 'test', incarnation: 1 });
  t.match(engine.peer, { role: 'core', party: 1, release: 'test', address: undefined });
  t.same(core.peer.address, mesh.parties[0]?.address, 'the engine is known by its node address');
  core.stream.write('ping');
  engine.stream.write('pong');
  const [[atEngine], [atCore]] = await Promise.all([once(engine.stream, 'data'), once(core.stream, 'data')]);
  t.equal(String(atEngine), 'ping');
  t.equal(String(atCore), 'pong');
  core.close('done');
  t.equal(await core.closed, 'done');
  t.equal(await engine.closed, 'the peer closed it');
});
