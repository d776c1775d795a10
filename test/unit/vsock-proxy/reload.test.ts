/**
 * A new configuration under way: what goes on, what ends, and that a bad one changes nothing.
 */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { KmsError } from '../../../common/errors.ts';
import { tempDir } from '../../helpers/temp-dir.ts';
import { dial, outside, runningProxy, until } from './running-proxy.ts';

const echo = (socket: Socket): void => void socket.pipe(socket);

async function echoed(socket: Socket, said: string): Promise<string> {
  socket.write(said);
  const [heard] = await once(socket, 'data');
  return String(heard);
}

t.test('connections of a kept route go on under its new limits', async (t) => {
  const socketPath = `${tempDir(t)}/engine.sock`;
  const core = { name: 'core', from: `unix:${socketPath}`, to: 'vsock:7100' };
  const { guest, proxy, reload, figure } = await runningProxy(t, () => ({ route: [core] }));
  guest.serve(7100, echo);
  const socket = await dial(t, socketPath);
  t.equal(await echoed(socket, 'before'), 'before');
  await reload({ route: [{ ...core, max_connections: 1 }], drain_secs: 0 });
  t.equal(await echoed(socket, 'after'), 'after');
  t.equal(await text(await dial(t, socketPath)), '', 'the new limit holds');
  t.equal(proxy.size, 1);
  t.equal(await figure('kms_proxy_reloads_total{result="taken"}'), 1);
});

t.test('a target that is no longer allowed is left, the others are not', async (t) => {
  const [a, b] = [await outside(t, echo), await outside(t, echo)];
  const egress = { name: 'egress', from: 'vsock:7002', to: 'connect' };
  const allow = [`127.0.0.1:${a}`, `127.0.0.1:${b}`];
  const { guest, reload, figure } = await runningProxy(t, () => ({ route: [{ ...egress, allow }] }));
  const [toA, toB] = [await guest.dial(7002), await guest.dial(7002)];
  for (const [socket, port] of [
    [toA, a],
    [toB, b],
  ] as const) {
    t.match(await echoed(socket, `CONNECT 127.0.0.1:${port} HTTP/1.1\r\n\r\n`), /^HTTP\/1\.1 200 /);
  }
  await reload({ route: [{ ...egress, allow: [`127.0.0.1:${b}`] }], drain_secs: 0 });
  await until(async () => (await figure('kms_proxy_ended_total{route="egress",outcome="cut"}')) === 1);
  t.equal(await echoed(toB, 'still'), 'still');
  const again = await guest.dial(7002);
  t.match(await echoed(again, `CONNECT 127.0.0.1:${a} HTTP/1.1\r\n\r\n`), /^HTTP\/1\.1 403 /);
});

t.test('a removed route takes nobody more, and its connections may end by themselves', async (t) => {
  const folder = tempDir(t);
  const [core, more] = [
    { name: 'core', from: `unix:${folder}/a.sock`, to: 'vsock:7100' },
    { name: 'more', from: `unix:${folder}/b.sock`, to: 'vsock:7100' },
  ];
  const { guest, reload } = await runningProxy(t, () => ({ route: [core] }));
  guest.serve(7100, echo);
  const socket = await dial(t, `${folder}/a.sock`);
  t.equal(await echoed(socket, 'before'), 'before');
  await reload({ route: [more], drain_secs: 3600 });
  await t.rejects(dial(t, `${folder}/a.sock`), { code: 'ENOENT' });
  t.equal(await echoed(socket, 'after'), 'after');
  t.equal(await echoed(await dial(t, `${folder}/b.sock`), 'new'), 'new');
  socket.end();
  t.equal(await text(socket), '', 'ends in order');
});

t.test('a configuration that cannot be changes nothing', async (t) => {
  const folder = tempDir(t);
  const taken = await outside(t, echo);
  const core = { name: 'core', from: `unix:${folder}/a.sock`, to: 'vsock:7100' };
  const { guest, reload, proxy, figure } = await runningProxy(t, () => ({ route: [core] }));
  guest.serve(7100, echo);
  const mesh = { name: 'mesh', from: `tcp:127.0.0.1:${taken}`, to: 'vsock:7101' };
  const other = { name: 'other', from: `unix:${folder}/b.sock`, to: 'vsock:7101' };
  await t.rejects(reload({ route: [other, mesh] }), { code: 'UNAVAILABLE' }, 'a port that is taken');
  await t.rejects(reload({ route: [{ ...core, name: 'renamed' }] }), { code: 'PRECONDITION_FAILED' }, 'another name');
  const moved = { metrics_listen: '127.0.0.1:1' };
  await t.rejects(reload({ route: [core], telemetry: moved }), { code: 'PRECONDITION_FAILED' }, 'metrics elsewhere');
  const unread = (): never => {
    throw new KmsError('CONFIG_INVALID', 'no such file');
  };
  await t.rejects(proxy.reload(unread), { code: 'CONFIG_INVALID' }, 'a file that is none');
  t.equal(await figure('kms_proxy_reloads_total{result="refused"}'), 4);
  t.equal(await echoed(await dial(t, `${folder}/a.sock`), 'as ever'), 'as ever');
  await t.rejects(dial(t, `${folder}/b.sock`), { code: 'ENOENT' });
});

t.test('a stop takes nobody more and ends what does not end by itself', async (t) => {
  const socketPath = `${tempDir(t)}/engine.sock`;
  const { guest, proxy } = await runningProxy(t, () => ({
    route: [{ name: 'core', from: `unix:${socketPath}`, to: 'vsock:7100' }],
  }));
  guest.serve(7100, echo);
  const socket = await dial(t, socketPath);
  t.equal(await echoed(socket, 'before'), 'before');
  await proxy.close(0);
  t.equal(await text(socket).catch(() => ''), '');
  await until(() => proxy.size === 0);
  await t.rejects(dial(t, socketPath), { code: 'ENOENT' });
});
