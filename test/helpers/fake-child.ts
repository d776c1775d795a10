/**
 * A stand-in for engine and core: listens on a port, says that it is ready, and exits when descriptor 3 closes.
 *
 * Arguments: `serve PORT` | `stubborn PORT` (ignores SIGTERM) | `die` (fails before it is ready) | `silent` (never ready) |
 * `refused` (complains, never ready).
 */
import { createServer, Socket } from 'node:net';

const [mode = 'serve', port = '0'] = process.argv.slice(2);
const say = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`);

const parent = new Socket({ fd: 3 });
parent.on('close', () => process.exit(0));
parent.on('error', () => process.exit(0));
parent.resume();

if (mode === 'die') {
  say({ level: 'error', event: 'fake.fault', msg: 'the disk is on fire' });
  process.exitCode = 3;
  parent.unref();
} else if (mode === 'silent' || mode === 'refused') {
  if (mode === 'refused') say({ level: 'warn', event: 'fake.refused', msg: 'nobody lets it in' });
  setInterval(() => {}, 1000);
} else {
  if (mode === 'stubborn') process.on('SIGTERM', () => say({ level: 'info', event: 'fake.ignored' }));
  const server = createServer();
  server.listen({ host: '127.0.0.1', port: Number(port) }, () => {
    const bound = server.address();
    const boundPort = typeof bound === 'object' && bound !== null ? bound.port : 0;
    say({ level: 'info', event: 'fake.ready', port: boundPort, pid: process.pid });
  });
}
