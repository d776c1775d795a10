/**
 * The ports of a node: chosen (0 = any free one) and found free before anything starts, so that a taken port is
 * named at once and stays the same when a crashed Core is started again.
 */
import { createServer, type Server } from 'node:net';
import { failure, hasCode } from '../framework/failure.ts';

/** A port that a node wants to listen on. */
export interface WantedPort {
  /** For people: `clients`, `public material`, `ops`. */
  readonly purpose: string;
  /** The option that changes it, named in the cure. */
  readonly option: string;
  readonly address: string;
  /** 0 = any free one. */
  readonly port: number;
  /** Takes another free port, instead of failing, when this one is taken. */
  readonly fallback?: boolean;
}

/**
 * Returns a free port for each wanted one, all different, in the order given.
 *
 * @throws {@link KmsError} `PRECONDITION_FAILED` naming a taken port and what it is for.
 */
export async function choosePorts(wanted: readonly WantedPort[]): Promise<number[]> {
  const servers: Server[] = [];
  try {
    const ports: number[] = [];
    for (const want of wanted) {
      const server = await listen(want);
      servers.push(server);
      const bound = server.address();
      ports.push(typeof bound === 'object' && bound !== null ? bound.port : want.port);
    }
    return ports;
  } finally {
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }
}

async function listen(want: WantedPort): Promise<Server> {
  try {
    return await tryListen(want.address, want.port);
  } catch (error) {
    if (hasCode(error, 'EADDRINUSE') && want.fallback === true) return tryListen(want.address, 0);
    const why = hasCode(error, 'EADDRINUSE') ? 'is taken by another process' : 'cannot be listened on';
    throw failure(
      'PRECONDITION_FAILED',
      `port ${want.port} of ${want.address} (${want.purpose}) ${why}`,
      `stop what listens there, or choose another port with ${want.option} PORT (0 = any free one)`,
      { port: want.port, purpose: want.purpose },
      hasCode(error, 'EADDRINUSE') ? undefined : error,
    );
  }
}

function tryListen(address: string, port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ host: address, port, exclusive: true }, () => resolve(server));
  });
}
