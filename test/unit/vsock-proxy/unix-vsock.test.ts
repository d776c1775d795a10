/**
 * The Unix-socket form of vsock, against a stand-in of the daemon.
 */
import { once } from 'node:events';
import { linkSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { parentVsock } from '../../../vsock-proxy/parent-vsock.ts';
import { unixVsock } from '../../../vsock-proxy/unix-vsock.ts';
import { fakeGuest } from './fake-daemon.ts';

t.test('a port of the guest is dialled, and nothing is sent before the daemon has answered', async (t) => {
  const guest = await fakeGuest(t);
  guest.serve(7100, (socket) => void text(socket).then((said) => socket.end(`you said ${said}`)));
  const vsock = parentVsock({ path: guest.path });
  t.same(vsock.address, { path: guest.path });
  const socket = await vsock.connect(7100, undefined, { allowHalfOpen: true });
  socket.end('hello');
  t.equal(await text(socket), 'you said hello');
});

t.test('what the guest says right behind the daemon’s answer is not lost', async (t) => {
  const guest = await fakeGuest(t, 'OK 5\nfirst words;');
  guest.serve(7100, (socket) => socket.end('last words'));
  const socket = await parentVsock({ path: guest.path }).connect(7100);
  t.equal(await text(socket), 'first words;last words');
});

t.test('a port on which nobody listens is unavailable', async (t) => {
  const guest = await fakeGuest(t);
  await t.rejects(parentVsock({ path: guest.path }).connect(7100), { code: 'UNAVAILABLE' });
  await t.rejects(parentVsock({ path: `${guest.path}-none` }).connect(7100), { code: 'UNAVAILABLE' });
});

t.test('a daemon that answers something else is refused', async (t) => {
  for (const answer of ['NO 5\n', 'OK\n', 'OK -1\n', 'OK 99999999999\n', '\n', `OK ${'5'.repeat(64)}`, 'ok 5\n']) {
    const guest = await fakeGuest(t, answer);
    guest.serve(7100, () => undefined);
    await t.rejects(parentVsock({ path: guest.path }).connect(7100), { code: 'UNAVAILABLE' }, JSON.stringify(answer));
  }
});

t.test('a connect ends in time, or when it is given up', async (t) => {
  const guest = await fakeGuest(t, '');
  guest.serve(7100, () => undefined);
  await t.rejects(unixVsock(guest.path, 20).connect(7100), { code: 'DEADLINE_EXCEEDED' });
  const giveUp = new AbortController();
  const connecting = unixVsock(guest.path, 60_000).connect(7100, giveUp.signal);
  giveUp.abort();
  await t.rejects(connecting, { code: 'CANCELLED' });
  await t.rejects(unixVsock(guest.path, 60_000).connect(7100, giveUp.signal), { code: 'CANCELLED' }, 'from the start');
});

t.test('a port of the host serves the guest over a socket that is for this user alone', async (t) => {
  const guest = await fakeGuest(t);
  await staleSocket(`${guest.path}_7000`);
  const sockets: Socket[] = [];
  const listener = await parentVsock({ path: guest.path }).listen(7000, (socket) => void sockets.push(socket.resume()));
  t.equal(statSync(`${guest.path}_7000`).mode & 0o777, 0o600);
  const inside = await guest.dial(7000);
  inside.resume().end('a line');
  await once(inside, 'end');
  t.equal(sockets.length, 1);
  await listener.close();
  await t.rejects(guest.dial(7000), { code: 'ENOENT' }, 'closed');
});

/** A socket file as a killed process leaves it: a second name outlives the listener. */
async function staleSocket(path: string): Promise<void> {
  const server = createServer();
  server.listen(`${path}.first`);
  await once(server, 'listening');
  linkSync(`${path}.first`, path);
  server.close();
  await once(server, 'close');
}

t.test('a file that is no socket, and a socket that answers, stay where they are', async (t) => {
  const guest = await fakeGuest(t);
  const vsock = parentVsock({ path: guest.path });
  writeFileSync(`${guest.path}_7000`, 'somebody’s file');
  await t.rejects(
    vsock.listen(7000, () => undefined),
    { code: 'UNAVAILABLE' },
  );
  t.equal(readFileSync(`${guest.path}_7000`, 'utf8'), 'somebody’s file');
  const listener = await vsock.listen(7001, (socket) => void socket.on('error', () => undefined).end('here'));
  t.teardown(() => listener.close());
  await t.rejects(
    vsock.listen(7001, () => undefined),
    { code: 'UNAVAILABLE', message: /another process listens/ },
  );
  t.equal(await text(await guest.dial(7001)), 'here');
});

t.test('ports that are none are refused', async (t) => {
  const vsock = parentVsock({ path: '/nowhere/vm' });
  for (const port of [-1, 1.5, 2 ** 32, Number.NaN]) {
    await t.rejects(vsock.connect(port), { code: 'REQUEST_INVALID' }, String(port));
    await t.rejects(
      vsock.listen(port, () => undefined),
      { code: 'REQUEST_INVALID' },
      String(port),
    );
  }
});
