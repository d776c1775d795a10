/** Dialling the engine's socket, on a server that says nothing. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { unixDialer } from '../../../parent/core/engine-client/socket-engine-client.ts';
import { tempDir } from '../../helpers/temp-dir.ts';

const socketPath = join(tempDir(t), 's');
const server = createServer((socket) => socket.pipe(socket));
await once(server.listen(socketPath), 'listening');
t.teardown(() => server.close());

t.test('a connection outlives the signal that bounded its dialling', async (t) => {
  const stop = new AbortController();
  const stream = await unixDialer(socketPath)(stop.signal);
  t.teardown(() => stream.destroy());
  stop.abort();
  stream.write('x');
  const [echo] = await once(stream, 'data');
  t.equal(String(echo), 'x');
});

t.test('dialling ends when its signal does', async (t) => {
  await t.rejects(unixDialer(socketPath)(AbortSignal.abort()), { code: 'CANCELLED' }, 'before');
  const stop = new AbortController();
  const dialling = unixDialer(socketPath)(stop.signal);
  stop.abort();
  await t.rejects(dialling, { code: 'UNAVAILABLE' }, 'meanwhile');
});
