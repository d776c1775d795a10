/**
 * Connections to AWS KMS over streams that somebody else opens: a relay carries them, TLS ends here. The envelope in which KMS
 * answers is not authenticated, so this connection is what proves that KMS made it.
 */
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { connect as connectTcp, isIP, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, rootCertificates } from 'node:tls';
import { KmsError } from '../../common/errors.ts';

/** Opens a byte stream to a host. */
export type Connect = (host: string, port: number) => Duplex;

/** How AWS is reached. */
export interface AwsConnection {
  /** Straight over TCP unless set. */
  readonly connect?: Connect | undefined;
  /** Authorities whose certificates count, PEM; those that Node ships unless set. */
  readonly ca?: readonly string[] | undefined;
  /** Developer mode alone: an emulator's address. AWS's own is computed. */
  readonly developerEndpoint?: string | undefined;
  /** Uses the endpoint whose modules are validated by FIPS 140. */
  readonly fips?: boolean | undefined;
}

interface Wanted {
  readonly host?: string | null;
  readonly port?: string | number | null;
}

const POOL = { keepAlive: true, maxSockets: 8 } as const;
const REGION = /^(?:[a-z]{2}(?:-gov|-iso[a-z]?)?)-[a-z]+-\d{1,2}$/;

/**
 * Returns the address of a service in a region, for nothing else but this is ever called.
 *
 * @throws KmsError `CONFIG_INVALID` for what is no region.
 */
export function awsEndpoint(service: 'kms' | 'sts', region: string, fips = false): string {
  if (!REGION.test(region)) throw new KmsError('CONFIG_INVALID', 'needs an AWS region such as eu-central-1');
  const suffix = region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com';
  return `https://${service}${fips ? '-fips' : ''}.${region}.${suffix}`;
}

/** Returns pools for the two kinds of address; `destroy` closes both. */
export function awsAgents({ connect = overTcp, ca = rootCertificates }: AwsConnection): {
  readonly httpAgent: HttpAgent;
  readonly httpsAgent: HttpsAgent;
} {
  return { httpAgent: new PlainAgent(connect), httpsAgent: new TlsAgent(connect, ca) };
}

const overTcp: Connect = (host, port) => connectTcp({ host, port });

/** Emulators of developer mode speak HTTP. */
class PlainAgent extends HttpAgent {
  readonly #connect: Connect;

  constructor(connect: Connect) {
    super(POOL);
    this.#connect = connect;
  }

  override createConnection({ host, port }: Wanted): Duplex {
    const stream = this.#connect(host ?? '', Number(port ?? 80));
    // The pool sets keep-alive on what it is given.
    if (!(stream instanceof Socket)) throw new TypeError('without TLS a socket is needed, not any stream');
    return stream;
  }
}

class TlsAgent extends HttpsAgent {
  readonly #connect: Connect;
  readonly #ca: readonly string[];

  constructor(connect: Connect, ca: readonly string[]) {
    super(POOL);
    this.#connect = connect;
    this.#ca = ca;
  }

  override createConnection({ host, port }: Wanted): Duplex {
    const name = host ?? '';
    const below = this.#connect(name, Number(port ?? 443));
    const secured = connectTls({
      socket: below,
      host: name,
      ...(isIP(name) === 0 ? { servername: name } : {}),
      ca: [...this.#ca],
      minVersion: 'TLSv1.2',
      ALPNProtocols: ['http/1.1'],
    });
    below.on('error', (error) => secured.destroy(error));
    return secured;
  }
}
