/**
 * A program that answers calls at once and does nothing else: what HTTP/2, or the hop to the engine, costs by itself.
 * Run with `grpc` or with `frames SOCKET`; prints where it listens, and ends when its standard input does.
 */
import { createServer } from 'node:net';
import { openGrpcServer } from '../../parent/grpc/server.ts';
import { FrameDecoder } from '../../wire/frame-decoder.ts';
import { encodeFrame, FRAME_KIND } from '../../wire/frames.ts';

/** As long as the answer of a public decryption. */
const ANSWER = new Uint8Array(400);
const [mode, socketPath] = process.argv.slice(2);

async function serveGrpc(): Promise<void> {
  const handle = async () => ANSWER;
  const methods = new Map([['/null/Call', { kind: 'unary', handle } as const]]);
  const server = openGrpcServer({ methods, onFault: (error) => process.stderr.write(`${error}\n`) });
  const { host, port } = await server.listen('127.0.0.1', 0);
  process.stdout.write(`${host}:${port}\n`);
}

function serveFrames(path: string): void {
  const server = createServer((socket) => {
    const decoder = new FrameDecoder();
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk) => {
      for (const { kind, callId } of decoder.push(chunk)) {
        if (kind !== FRAME_KIND.call) continue;
        socket.cork();
        for (const part of encodeFrame(FRAME_KIND.result, callId, ANSWER)) socket.write(part);
        socket.uncork();
      }
    });
  });
  server.listen(path, () => process.stdout.write(`${path}\n`));
}

if (mode === 'grpc') await serveGrpc();
else if (mode === 'frames' && socketPath !== undefined) serveFrames(socketPath);
else throw new Error('usage: null-server.ts grpc | frames SOCKET');
process.stdin.resume().on('end', () => process.exit(0));
