/**
 * Client certificates on a curve that makes Node 24 crash where it is asked for their legacy form. The server runs in a
 * process of its own: a crash there must be seen, not suffered.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { connect } from 'node:tls';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { openKmsClient } from '../../../parent/grpc/client.ts';
import { tempDir } from '../../helpers/temp-dir.ts';
import { makeTestCa } from '../../helpers/test-ca.ts';

const ca = makeTestCa();
const clientCa = makeTestCa('Client CA');
const hostileCa = makeTestCa('Client CA', 'secp256k1');

async function startChild(t: Test): Promise<{ port: number; exited: () => boolean }> {
  const dir = tempDir(t);
  const { cert, key } = ca.issue({ subject: 'localhost' });
  const file = join(dir, 'tls.json');
  writeFileSync(file, JSON.stringify({ cert, key, clientCa: clientCa.pem }));
  const program = fileURLToPath(new URL('./tls-server-child.ts', import.meta.url));
  const child = spawn(process.execPath, [program, file], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  const [line] = await once(createInterface(child.stdout), 'line');
  return { port: Number(line), exited: () => child.exitCode !== null || child.signalCode !== null };
}

t.test('a secp256k1 client certificate ends in a refusal, not in a crash', async (t) => {
  const { port, exited } = await startChild(t);
  const certificates = [
    ['signed by nobody that is known', hostileCa.issue({ subject: 'x', curve: 'secp256k1' })],
    ['signed by the authority of clients', clientCa.issue({ subject: 'x', curve: 'secp256k1' })],
    ['on a good curve, by a secp256k1 authority', hostileCa.issue({ subject: 'x' })],
  ] as const;
  for (const [why, certificate] of certificates) {
    for (const maxVersion of ['TLSv1.3', 'TLSv1.2'] as const) {
      for (const cert of [certificate.cert, certificate.cert + hostileCa.pem]) {
        const socket = connect({
          host: '127.0.0.1',
          port,
          ca: ca.pem,
          ALPNProtocols: ['h2'],
          maxVersion,
          cert,
          key: certificate.key,
        });
        socket.on('error', () => undefined);
        // A client that has no certificate fit for TLS 1.3 shows none, and is served as one without.
        await new Promise<void>((resolve) => {
          socket.once('data', () => resolve());
          socket.once('close', () => resolve());
        });
        socket.destroy();
        t.notOk(exited(), `${why}, ${maxVersion}`);
      }
    }
  }
  const client = openKmsClient(`https://127.0.0.1:${port}`, { ca: ca.pem, ...clientCa.issue({ subject: 'alice' }) });
  t.teardown(() => client.close());
  const answer = await client.callRaw('/test.Echo/Who', new Uint8Array(0), { timeoutMs: 5000 });
  t.match(JSON.parse(Buffer.from(answer).toString()), { subject: { commonName: 'alice' } }, 'others are served');
});
