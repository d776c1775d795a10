/** TLS before a server of a test that speaks none: what comes in is decrypted and passed on as it is. */
import { connect } from 'node:net';
import { pipeline } from 'node:stream';
import { createServer } from 'node:tls';
import type { Teardown } from './temp-dir.ts';
import type { TestCa } from './test-ca.ts';

/** Listens on a free port of 127.0.0.1 until the test ends; returns its address, `https://127.0.0.1:port`. */
export async function tlsFront(t: Teardown, ca: TestCa, behind: string): Promise<string> {
  const { hostname, port } = new URL(behind);
  const server = createServer(ca.issue({ subject: 'front' }), (socket) => {
    const inner = connect(Number(port), hostname);
    pipeline(socket, inner, socket, () => undefined);
  });
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => void server.close());
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not listening on a port');
  return `https://127.0.0.1:${address.port}`;
}
