/**
 * A stand-in for engine and core: listens on a port, says that it is ready, and exits when descriptor 3 closes. What is
 * said through that descriptor it says again, as `fake.heard`.
 *
 * Arguments: `serve PORT` | `stubborn PORT` (ignores SIGTERM) | `die` (fails before it is ready) | `silent` (never ready) |
 * `throttled FILE` (ends twice because a service is not available, is ready at the third start; the file counts) |
 * `refused` (complains, never ready) | `late PORT` (complains, is ready once somebody connects to the port).
 */
import { appendFileSync, readFileSync } from 'node:fs';
import { createServer, Socket } from 'node:net';

const [mode = 'serve', port = '0'] = process.argv.slice(2);
const say = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`);

const parent = new Socket({ fd: 3 });
parent.on('close', () => process.exit(0));
parent.on('error', () => process.exit(0));
parent.on('data', (said) => say({ level: 'info', event: 'fake.heard', said: String(said) }));

if (mode === 'die') {
  say({ level: 'error', event: 'fake.fault', msg: 'the disk is on fire' });
  process.exitCode = 3;
  parent.unref();
} else if (mode === 'throttled') {
  appendFileSync(port, '.');
  if (readFileSync(port, 'utf8').length > 2) say({ level: 'info', event: 'fake.ready' });
  else {
    say({
      level: 'fatal',
      event: 'fake.failed',
      err: { code: 'UNAVAILABLE', message: 'AWS KMS asks for fewer requests' },
    });
    process.exitCode = 1;
    parent.unref();
  }
} else if (mode === 'silent' || mode === 'refused') {
  if (mode === 'refused') say({ level: 'warn', event: 'fake.refused', msg: 'nobody lets it in' });
  setInterval(() => {}, 1000);
} else if (mode === 'late') {
  say({ level: 'warn', event: 'fake.retry', err: { code: 'UNAVAILABLE', message: 'AWS KMS asks for fewer requests' } });
  createServer(() => say({ level: 'info', event: 'fake.ready' })).listen({ host: '127.0.0.1', port: Number(port) });
} else {
  if (mode === 'stubborn') process.on('SIGTERM', () => say({ level: 'info', event: 'fake.ignored' }));
  const server = createServer();
  server.listen({ host: '127.0.0.1', port: Number(port) }, () => {
    const bound = server.address();
    const boundPort = typeof bound === 'object' && bound !== null ? bound.port : 0;
    say({ level: 'info', event: 'fake.ready', port: boundPort, pid: process.pid });
  });
}
