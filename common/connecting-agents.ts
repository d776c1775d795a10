/**
 * HTTP agents over streams that somebody else opens: a relay may carry them, and TLS ends here, inside of this process.
 * One pool per client, kept alive between requests.
 */
import { type AgentOptions, Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent, type AgentOptions as HttpsAgentOptions } from 'node:https';
import { connect as connectTcp, isIP, Socket } from 'node:net';
import { type Duplex, PassThrough } from 'node:stream';
import { connect as connectTls, rootCertificates } from 'node:tls';

/** Opens a byte stream to a host, at once or once a relay has it. */
export type Connect = (host: string, port: number) => Duplex | Promise<Duplex>;

/** How connections come to be. */
export interface ConnectingOptions {
  /** Straight over TCP if absent. */
  readonly connect?: Connect | undefined;
  /** Authorities whose certificates count, PEM; those that Node ships if absent. */
  readonly ca?: readonly string[] | undefined;
}

/** Pools for the two kinds of address; `destroy` closes each. */
export interface ConnectingAgents {
  readonly httpAgent: HttpAgent;
  readonly httpsAgent: HttpsAgent;
}

const POOL: AgentOptions = { keepAlive: true, maxSockets: 16, scheduling: 'lifo' };

/** Opens pools whose every connection goes through `connect`, and trusts nobody but the given authorities. */
export function connectingAgents({ connect = overTcp, ca = rootCertificates }: ConnectingOptions): ConnectingAgents {
  return { httpAgent: new PlainAgent(connect), httpsAgent: new TlsAgent(connect, ca) };
}

const overTcp: Connect = (host, port) => connectTcp({ host, port });

class PlainAgent extends HttpAgent {
  readonly #connect: Connect;

  constructor(connect: Connect) {
    super(POOL);
    this.#connect = connect;
  }

  override createConnection({ host, port }: Target, onOpened?: OnOpened): Duplex | undefined {
    return opened(this.#connect(host ?? '', Number(port ?? 80)), onOpened, (stream) => {
      // The pool sets keep-alive and timeouts on what it is given.
      if (!(stream instanceof Socket)) throw new TypeError('without TLS a socket is needed, not just a stream');
      return stream;
    });
  }
}

class TlsAgent extends HttpsAgent {
  readonly #connect: Connect;
  readonly #ca: readonly string[];

  constructor(connect: Connect, ca: readonly string[]) {
    super(POOL satisfies HttpsAgentOptions);
    this.#connect = connect;
    this.#ca = ca;
  }

  override createConnection(target: Target, onOpened?: OnOpened): Duplex | undefined {
    const host = target.host ?? '';
    return opened(this.#connect(host, Number(target.port ?? 443)), onOpened, (socket) => {
      const secured = connectTls({
        socket,
        host,
        ...(isIP(host) === 0 && { servername: host }),
        ca: [...this.#ca],
        minVersion: 'TLSv1.2',
        ALPNProtocols: ['http/1.1'],
      });
      // What breaks below, before or after the handshake, is told above.
      socket.on('error', (error) => secured.destroy(error));
      return secured;
    });
  }
}

interface Target {
  readonly host?: string | null;
  readonly port?: string | number | null;
}

type OnOpened = (error: Error | null, stream: Duplex) => void;

/** Hands a stream to the pool: as the result, or by its callback where it has yet to be opened. */
function opened(
  stream: Duplex | Promise<Duplex>,
  onOpened: OnOpened | undefined,
  prepare: (stream: Duplex) => Duplex,
): Duplex | undefined {
  if (!(stream instanceof Promise)) return prepare(stream);
  stream.then(prepare).then(
    (ready) => onOpened?.(null, ready),
    // The pool looks at the error alone, but its type wants a stream.
    (error: unknown) => onOpened?.(error instanceof Error ? error : new Error('no connection'), new PassThrough()),
  );
  return undefined;
}
