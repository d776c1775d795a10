/**
 * A crowd of strangers as a process of its own: so many connections to one address, none of which is a peer.
 *
 * Run with `tcp PORT COUNT` or `unix PATH COUNT`. Prints `done` when all have been opened, holds those that are still
 * open, and ends when its standard input does.
 */
import { connect, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { ALPN } from '../../attestation/mesh/tls.ts';
import { benchContext } from '../bench/frame-peer.ts';

const [transport, where = '', count] = process.argv.slice(2);
const CONCURRENT = 256;
const secureContext = benchContext();

function dial(): Socket {
  return transport === 'tcp' ? connect(Number(where), '127.0.0.1') : connect(where);
}

/** The first flight of a client of the mesh. */
async function captureClientHello(): Promise<Buffer> {
  const { promise, resolve } = Promise.withResolvers<Buffer>();
  const wire = new Duplex({ read: () => undefined, write: (chunk: Buffer) => resolve(chunk) });
  connectTls({ socket: wire, secureContext, rejectUnauthorized: false, ALPNProtocols: [ALPN] }).on(
    'error',
    () => undefined,
  );
  return await promise;
}

const hello = await captureClientHello();
const noise = Buffer.alloc(3000, 0xa5);

/** What strangers do once they are connected. */
const MANNERS: readonly ((socket: Socket) => void)[] = [
  () => undefined,
  (socket) => socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n'),
  (socket) => socket.write(hello.subarray(0, 60)),
  (socket) => socket.write(hello),
  (socket) => socket.write(Buffer.concat([hello, noise])),
  (socket) => socket.end(hello.subarray(0, 5)),
  (socket) => socket.write(Buffer.concat([Buffer.of(22, 3, 1, 0x0f, 0xf0, 1), noise])),
];
/** One in so many does TLS to its end, with a certificate that proves nothing. */
const FULL_TLS_EVERY = 40;

const held = new Set<Socket>();

function visit(index: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = dial();
    held.add(socket);
    let came = false;
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      held.delete(socket);
      // The kernel's queue was full: once more.
      if (came) resolve();
      else setTimeout(() => resolve(visit(index)), 5);
    });
    socket.on('connect', () => {
      came = true;
      if (index % FULL_TLS_EVERY === 0) {
        const options = { secureContext, rejectUnauthorized: false, ALPNProtocols: [ALPN] };
        const tls = connectTls({ socket, ...options }, () => tls.write(noise));
        tls.on('error', () => tls.destroy());
      } else {
        socket.resume();
        MANNERS[index % MANNERS.length]?.(socket);
      }
      setImmediate(resolve);
    });
  });
}

let next = 0;
const worker = async (): Promise<void> => {
  while (next < Number(count)) await visit(next++);
};
await Promise.all(Array.from({ length: CONCURRENT }, worker));
process.stdout.write('done\n');
process.stdin.resume().on('end', () => process.exit(0));
