/**
 * The receiving process of the frame channel's benchmark: takes TLS connections as the mesh sets them up, without the
 * proof. Each brings so many bytes, bare or as frames, and gets one byte back when all have come.
 *
 * Run with the number of bytes; prints the ports of bare TLS and of frames; ends when its standard input does.
 */
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:net';
import { type SecureContext, TLSSocket } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { FrameLink } from '../../attestation/mesh/frame-link.ts';
import { writeLeafCertificate } from '../../attestation/mesh/leaf-certificate.ts';
import { meshSecureContext } from '../../attestation/mesh/tls.ts';
import { systemClock } from '../../common/clock.ts';

/** The session that the benchmark's frames belong to. */
export const BENCH_SESSION: Uint8Array = new Uint8Array(32).fill(7);

/** Key and certificate as the mesh makes them, under which nothing is proven. */
export function benchContext(): SecureContext {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const nowMs = systemClock.nowMs();
  const fields = {
    spki: publicKey.export({ format: 'der', type: 'spki' }),
    notBeforeMs: nowMs - 60_000,
    notAfterMs: nowMs + 3_600_000,
    payload: new Uint8Array(100),
  };
  const der = Buffer.from(writeLeafCertificate(fields, privateKey));
  const certificate = `-----BEGIN CERTIFICATE-----\n${der.toString('base64')}\n-----END CERTIFICATE-----\n`;
  return meshSecureContext(
    Buffer.from(certificate),
    Buffer.from(privateKey.export({ format: 'pem', type: 'pkcs8' }) as string),
  );
}

function takeBytes(stream: TLSSocket, totalBytes: number): void {
  let got = 0;
  stream.on('data', (chunk: Uint8Array) => {
    got += chunk.byteLength;
    if (got >= totalBytes) {
      got -= totalBytes;
      stream.write('.');
    }
  });
}

async function takeFrames(stream: TLSSocket, totalBytes: number): Promise<void> {
  const link = new FrameLink({ peer: 'the sender', clock: systemClock });
  link.attach(stream);
  const session = link.open(BENCH_SESSION);
  let got = 0;
  for await (const { payload } of session) {
    got += payload.byteLength;
    if (got >= totalBytes) {
      got -= totalBytes;
      await session.send(0, Buffer.from('.'));
    }
  }
}

async function main(): Promise<void> {
  const totalBytes = Number(process.argv[2]);
  const secureContext = benchContext();
  const listen = async (take: (stream: TLSSocket) => void): Promise<number> => {
    const server = createServer({ noDelay: true }, (raw) => {
      const stream = new TLSSocket(raw, {
        isServer: true,
        secureContext,
        requestCert: true,
        rejectUnauthorized: false,
      });
      stream.on('error', () => stream.destroy());
      stream.once('secure', () => take(stream));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    return typeof address === 'object' && address ? address.port : 0;
  };
  const bare = await listen((stream) => takeBytes(stream, totalBytes));
  const frames = await listen((stream) => void takeFrames(stream, totalBytes).catch(() => stream.destroy()));
  process.stdout.write(`${bare} ${frames}\n`);
  process.stdin.resume().on('end', () => process.exit(0));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
