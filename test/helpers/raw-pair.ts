/** The two ends of a raw connection in one process, without TLS. */
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { type Teardown, tempDir } from './temp-dir.ts';

/** How two ends of a raw connection are joined. */
export type RawTransport = 'unix' | 'tcp';

/** Returns the two ends of a new raw connection, the client's first; both are destroyed with the test. */
export async function rawPair(t: Teardown, transport: RawTransport = 'unix'): Promise<readonly [Duplex, Duplex]> {
  const pair = await socketPair(transport === 'unix' ? join(tempDir(t), 's') : undefined);
  t.teardown(() => {
    for (const end of pair) end.destroy();
  });
  return pair;
}

async function socketPair(path: string | undefined): Promise<[Duplex, Duplex]> {
  const server = createServer({ allowHalfOpen: false });
  await new Promise<void>((resolve) => {
    if (path === undefined) server.listen(0, '127.0.0.1', resolve);
    else server.listen(path, resolve);
  });
  const accepted = new Promise<Duplex>((resolve) => {
    server.once('connection', resolve);
  });
  const address = server.address();
  const client = path === undefined ? connect(portOf(address), '127.0.0.1') : connect(path);
  const pair: [Duplex, Duplex] = [client, await accepted];
  server.close();
  return pair;
}

function portOf(address: AddressInfo | string | null): number {
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port');
  return address.port;
}
