/** PID 1 of an enclave: how it readies the machine, what it refuses, and what it forwards. */
import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { ROOT } from '../../helpers/import-graph.ts';
import { CMDLINE, runInit } from '../../helpers/init-machine.ts';
import { type Teardown, tempDir } from '../../helpers/temp-dir.ts';

const LINUX = process.platform === 'linux' ? {} : { skip: 'enclaves run Linux' };

t.test('the machine is ready before the engine starts, and ends after it', LINUX, async (t) => {
  const run = await runInit(t, { engine: 'console.log(JSON.stringify({ event: "mine" }));' });
  t.equal(run.status, 0);
  t.equal(run.beats, 1, 'the heartbeat was answered');
  const events = run.lines.map(({ event }) => event);
  t.same(events, ['init.booted', 'init.clock', 'init.engine', 'mine', 'init.exit']);
  t.match(run.lines.at(-1), { name: 'init', reason: 'the engine ended with status 0', status: 0 });
  t.match(run.console, /init\.exit/, 'the console has its own lines');
  t.notMatch(run.console, /mine/, 'and none of the engine');
  const order = ['mount devtmpfs', 'mount proc', 'mount sysfs', 'mount tmpfs /tmp', 'mount tmpfs /run', 'ioctl'];
  for (const [index, call] of order.entries()) {
    t.ok(run.calls.findIndex((made) => made.startsWith(call)) >= index, call);
  }
  t.equal(run.calls.at(-1), 'reboot 1234567', 'a reset is how an enclave ends');
});

t.test('the engine gets constants, no rights and no core dumps', LINUX, async (t) => {
  const engine = `
    import { readFileSync } from 'node:fs';
    const { argv, execArgv, env } = process;
    const status = readFileSync('/proc/self/status', 'utf8');
    const limits = readFileSync('/proc/self/limits', 'utf8');
    console.log(JSON.stringify({ event: 'mine', argv: argv.length, execArgv, env: Object.keys(env).sort(),
      noNewPrivs: /NoNewPrivs:\\t1/.test(status), core: /Max core file size +0 +0/.test(limits) }));`;
  const { lines, calls } = await runInit(t, { engine, cmdline: `${CMDLINE} quiet` });
  t.match(
    lines.find(({ event }) => event === 'mine'),
    { argv: 2, execArgv: ['--disable-sigusr1', '--max-semi-space-size=2'], noNewPrivs: true, core: true },
  );
  const env = calls.filter((call) => call.startsWith('env ')).map((call) => call.slice(4));
  t.match(env.pop(), /^UV_THREADPOOL_SIZE=\d+$/);
  t.same(env, ['HOME=/tmp', 'TMPDIR=/tmp', 'OPENSSL_CONF=/dev/null', 'NODE_ENV=production']);
  const rights = ['chown /dev/nsm 1000 1000', 'setgroups 0', 'setgid 1000', 'setuid 1000'];
  t.same(calls.slice(calls.indexOf(rights[0] ?? ''), -1).slice(0, 4), rights, 'in this order');
});

t.test('only the command line of the image boots', LINUX, async (t) => {
  const engine = 'console.log(JSON.stringify({ event: "mine" }));';
  const good = [
    'quiet',
    'reboot=t quiet',
    'virtio_mmio.device=4K@0xd0000000:5 virtio_mmio.device=0x200@0xfeb00e00:16:3',
    '  quiet  ',
  ];
  for (const more of good) {
    const { lines } = await runInit(t, { engine, cmdline: `${CMDLINE} ${more}` });
    t.ok(
      lines.some(({ event }) => event === 'mine'),
      more,
    );
  }
  const bad: readonly string[] = [
    '',
    CMDLINE.replace('nomodules ', ''),
    CMDLINE.slice(0, -1),
    `${CMDLINE}x`,
    `quiet ${CMDLINE}`,
    `${CMDLINE} init=/bin/sh`,
    `${CMDLINE} rdinit=/app/x`,
    `${CMDLINE} -- --inspect`,
    `${CMDLINE} NODE_OPTIONS=--inspect`,
    `${CMDLINE} random.trust_cpu=off`,
    `${CMDLINE} virtio_mmio.device=4K@0xd0000000:5;x`,
    `${CMDLINE} arca.parent_cid=`,
    `${CMDLINE} arca.parent_cid=1`,
    `${CMDLINE} arca.parent_cid=4294967295`,
    `${CMDLINE} arca.parent_cid=-3`,
    `${CMDLINE} arca.parent_cid=3x`,
    `${CMDLINE} arca.parent_cid=99999999999`,
    `${CMDLINE} ${'quiet '.repeat(1000)}`,
  ];
  for (const cmdline of bad) {
    const { status, lines, beats } = await runInit(t, { engine, cmdline });
    t.equal(status, 1, cmdline.slice(-40));
    t.equal(beats, 0, 'nobody was told that it runs');
    t.match(lines, [{ event: 'init.exit', reason: /^the command line/ }], cmdline.slice(-40));
  }
});

t.test("the parent's context id is passed on, and dialled", LINUX, async (t) => {
  const engine = `
    import { readFileSync } from 'node:fs';
    const cid = readFileSync(new URL('../run/arca/parent-cid', import.meta.url), 'utf8');
    console.log(JSON.stringify({ event: 'mine', cid }));`;
  const { lines, beats } = await runInit(t, { engine, cmdline: `${CMDLINE} arca.parent_cid=2`, parentCid: 2 });
  t.equal(beats, 1);
  t.match(lines[0], { event: 'init.booted', parentCid: 2 });
  t.equal(lines.find(({ event }) => event === 'mine')?.cid, '2\n');
});

t.test('the clock comes from PTP, or else from the security module', LINUX, async (t) => {
  const ptp = await runInit(t, { ptpSecs: 1_700_000_123 });
  t.match(ptp.lines, [{}, { event: 'init.clock', source: 'ptp', unix: 1_700_000_123 }, {}, {}]);
  t.ok(ptp.calls.includes('clock_settime 0 1700000123'));
  const before = Math.floor(performance.timeOrigin / 1000);
  const nsm = await runInit(t);
  t.match(nsm.lines, [{}, { event: 'init.clock', source: 'nsm' }, {}, {}]);
  t.ok(Number(nsm.lines[1]?.unix) >= before, 'the time of the document');
});

t.test('a pool that the module does not feed starts no engine', LINUX, async (t) => {
  const run = await runInit(t, { rngCurrent: 'virtio_rng.0', engine: 'console.log("{}");' });
  t.equal(run.status, 1);
  t.match(run.lines.at(-1), { event: 'init.exit', reason: 'rng_current is not nsm-hwrng' });
  t.notOk(run.calls.some((call) => call.startsWith('argv')));
});

t.test('last words say why, as the engine put it', LINUX, async (t) => {
  const engine = `
    import { writeFileSync } from 'node:fs';
    const folder = new URL('../run/arca/', import.meta.url);
    writeFileSync(new URL('exit-reason', folder), 'CONFIG_INVALID: "quoted" \\\\ and\\ntwo lines');
    writeFileSync(new URL('need-mb', folder), '1408');
    process.stdout.write('{"event":"mine"}\\nwithout an end');
    process.exit(2);`;
  const run = await runInit(t, { engine });
  t.equal(run.status, 2);
  const last = run.lines.at(-1);
  t.match(last, { event: 'init.exit', reason: 'CONFIG_INVALID: "quoted" \\ and two lines', status: 2, neededMb: 1408 });
  t.ok(Number(last?.memoryMb) > 0);
  t.match(run.raw, /\nwithout an end\n/, 'the rest of a line is not lost');
});

t.test('an engine that was killed for memory says how much is needed', LINUX, async (t) => {
  const engine = `
    import { writeFileSync } from 'node:fs';
    writeFileSync(new URL('../run/arca/need-mb', import.meta.url), '1408');
    process.kill(process.pid, 'SIGKILL');`;
  const { status, lines } = await runInit(t, { engine });
  t.equal(status, 137);
  t.match(lines.at(-1), { event: 'init.exit', reason: /^out of memory/, status: 137, neededMb: 1408 });
});

t.test('a parent that does not read holds nobody up, and learns that lines are missing', LINUX, async (t) => {
  const written = meeting(t);
  const engine = `
    import { connect } from 'node:net';
    const line = JSON.stringify({ event: 'mine', text: 'x'.repeat(1000) }) + '\\n';
    for (let i = 1; i < 2000; i++) process.stdout.write(line);
    process.stdout.write(line, () => connect('${written.path}'));`;
  let raw = '';
  const closed = Promise.withResolvers<void>();
  const run = await runInit(t, {
    engine,
    onLogs: (socket) => {
      socket.pause();
      socket.on('data', (bytes: Buffer) => {
        raw += bytes.toString();
      });
      socket.on('close', closed.resolve);
      void written.met.then((engineSocket) => {
        socket.resume();
        engineSocket.destroy();
      });
    },
  });
  t.equal(run.status, 0);
  await closed.promise;
  const lines = raw.split('\n').filter(Boolean);
  const events = lines.map((line) => String(JSON.parse(line).event));
  t.same(events.slice(-2), ['init.dropped', 'init.exit'], 'last words have a place of their own');
  t.ok(events.filter((event) => event === 'mine').length < 2000);
});

t.test('a log connection that breaks is made again', LINUX, async (t) => {
  const broken = meeting(t);
  const engine = `
    import { connect } from 'node:net';
    console.log(JSON.stringify({ event: 'one' }));
    connect('${broken.path}').on('close', () => console.log(JSON.stringify({ event: 'two' })));`;
  let connections = 0;
  let raw = '';
  await runInit(t, {
    engine,
    onLogs: (socket) => {
      connections += 1;
      socket.on('data', (bytes: Buffer) => {
        raw += bytes.toString();
        if (connections > 1 || !raw.includes('"one"')) return;
        socket.on('close', () => void broken.met.then((engineSocket) => engineSocket.destroy()));
        socket.destroy();
      });
    },
  });
  t.equal(connections, 2);
  t.match(raw, /"one"[\s\S]*"two"[\s\S]*init\.exit/);
});

t.test('the binary of an image has no stand-in in it, and the same bytes in every folder', LINUX, async (t) => {
  const build = join(ROOT, 'native/init/build');
  const init = readFileSync(join(build, 'init'));
  t.notOk(init.includes('INIT_ROOT'));
  t.ok(readFileSync(join(build, 'init-fake')).includes('INIT_ROOT'), 'which the other has');
  const elsewhere = tempDir(t);
  for (const path of ['scripts/build-init', 'native/init/src', 'native/init/test']) {
    cpSync(join(ROOT, path), join(elsewhere, path), { recursive: true });
  }
  execFileSync(join(elsewhere, 'scripts/build-init'), { stdio: 'ignore' });
  t.equal(Buffer.compare(readFileSync(join(elsewhere, 'native/init/build/init')), init), 0);
});

/** A place where an engine waits for the test. */
function meeting(t: Teardown): { readonly path: string; readonly met: Promise<Socket> } {
  const path = join(tempDir(t), 'meeting');
  const { promise: met, resolve } = Promise.withResolvers<Socket>();
  const server = createServer(resolve).listen(path);
  t.teardown(() => void server.close());
  return { path, met };
}
