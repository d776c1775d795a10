/**
 * The ports of a node: chosen (0 = any free one) and found free before anything starts, so that a taken port is
 * named at once and stays the same when a crashed Core is started again.
 *
 * Seconds pass until a child binds its port. A port from the range that the system hands out by itself may be another
 * connection's by then, so any free one comes from below that range, and is reserved among processes of ours.
 */
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { systemRandom } from '../../../common/random.ts';
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

/** Ports below are known services' more often than not. */
const FIRST_PORT = 16_384;
/** Where the system's own range begins if nothing else is known: on Linux. */
const USUAL_RANGE_START = 32_768;
const MOST_TRIES = 50;

async function listen(want: WantedPort): Promise<Server> {
  try {
    return want.port === 0 ? await listenAnywhere(want.address) : await tryListen(want.address, want.port);
  } catch (error) {
    if (hasCode(error, 'EADDRINUSE') && want.fallback === true) return listenAnywhere(want.address);
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

/** Listens on a free port that the system gives to nobody who asks for any. */
async function listenAnywhere(address: string): Promise<Server> {
  const end = await systemRangeStart();
  for (let tries = 0; end > FIRST_PORT && tries < MOST_TRIES; tries++) {
    const drawn = new DataView(systemRandom(4).buffer).getUint32(0);
    const port = FIRST_PORT + (drawn % (end - FIRST_PORT));
    if (!(await reserve(port))) continue;
    try {
      return await tryListen(address, port);
    } catch (error) {
      if (!hasCode(error, 'EADDRINUSE')) throw error;
    }
  }
  return tryListen(address, 0);
}

/**
 * Keeps other processes of ours from choosing a port for as long as this one runs, by a name that ends with it: a socket of
 * Linux's abstract namespace. Elsewhere nothing is kept.
 */
function reserve(port: number): Promise<boolean> {
  if (process.platform !== 'linux') return Promise.resolve(true);
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy()).unref();
    server.once('error', (error) => resolve(!hasCode(error, 'EADDRINUSE')));
    server.listen(`\0arca-port-${port}`, () => resolve(true));
  });
}

async function systemRangeStart(): Promise<number> {
  const range = await readFile('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').catch(() => '');
  const start = Number.parseInt(range, 10);
  return Number.isNaN(start) ? USUAL_RANGE_START : Math.min(start, USUAL_RANGE_START);
}

function tryListen(address: string, port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ host: address, port, exclusive: true }, () => resolve(server));
  });
}
