/**
 * How relayed connections end when they do not end well: closed in the middle, reset, written to when nobody is left.
 */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import t from 'tap';
import { fakeVsock, openDescriptors } from './nitro-fake.ts';
import { connected, MB, remote, until } from './nitro-vsock-pairs.ts';

t.test('closing in the middle of a transfer, from either end, leaves no descriptor and no relay', async (t) => {
  const { relay, addressOf } = fakeVsock(t);
  const peers: Socket[] = [];
  await remote(t, addressOf(3, 5000), (peer) => {
    peer.on('error', () => undefined);
    peers.push(peer);
  });
  const round = async (close: (local: Socket, peer: Socket) => void) => {
    const local = await relay.connect({ cid: 3, port: 5000, timeoutMs: 60_000 });
    await until(() => peers.length === 1);
    const [peer] = peers.splice(0);
    if (!peer) throw new Error('no connection');
    local.on('error', () => undefined);
    const block = Buffer.alloc(4 * MB);
    local.write(block);
    peer.write(block);
    await once(local, 'data');
    close(local, peer);
    local.resume();
    await until(() => local.destroyed && peer.destroyed);
    await until(() => relay.size === 0);
  };
  const closings = [
    (local: Socket, peer: Socket) => {
      local.destroy();
      peer.resume();
    },
    (local: Socket, peer: Socket) => {
      peer.destroy();
      local.resume();
    },
    (local: Socket, peer: Socket) => {
      local.destroy();
      peer.destroy();
    },
  ];
  for (const close of closings) await round(close);
  const before = openDescriptors();
  for (let i = 0; i < 15; i++) {
    for (const close of closings) await round(close);
  }
  await until(() => openDescriptors() <= before);
  t.pass('all descriptors are back');
});

t.test('a reset by the peer destroys the socket with an error', async (t) => {
  const { relay, local, peer } = await connected(t);
  const failed = once(local, 'error');
  // A Unix socket that is closed with bytes unread resets its peer. More is written than the stream reads ahead.
  peer.pause();
  local.write(Buffer.alloc(4 * MB));
  await until(() => peer.readableLength > 0);
  peer.destroy();
  const [error] = await failed;
  t.match(error, { code: /^(UNAVAILABLE|EPIPE|ECONNRESET)$/ }, 'an error and not an end');
  await until(() => relay.size === 0);
});

t.test('writing to a peer that has gone fails', async (t) => {
  const { relay, local, peer } = await connected(t, { allowHalfOpen: true });
  const failed = once(local, 'error');
  local.resume();
  peer.destroy();
  await once(local, 'end');
  const write = () => {
    if (!local.destroyed) local.write('anyone?', () => setImmediate(write));
  };
  write();
  await failed;
  local.destroy();
  await until(() => relay.size === 0);
});
