/**
 * Ports for servers that cannot be told to choose one themselves.
 */
import { once } from 'node:events';
import { createServer } from 'node:net';

/** Returns `count` different loopback ports that were free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  try {
    return await Promise.all(
      servers.map(async (server) => {
        server.listen(0, '127.0.0.1');
        await once(server, 'listening');
        const address = server.address();
        if (address === null || typeof address === 'string') throw new Error('a TCP server has a port');
        return address.port;
      }),
    );
  } finally {
    for (const server of servers) server.close();
  }
}
