/**
 * Listeners of the gRPC server: TCP in plaintext, TCP with TLS. Each hands on a byte stream and who is on its end.
 *
 * TLS here is 1.3 alone: every published client speaks it, and no client certificate on a curve that crashes Node
 * survives its handshake. Sessions are never resumed, so each connection is judged by the certificates of its day.
 */
import { constants } from 'node:crypto';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createServer as createTlsServer, type TLSSocket, type TlsOptions, type Server as TlsServer } from 'node:tls';
import { KmsError, systemErrorCode } from '../../common/errors.ts';
import { type Caller, PLAINTEXT } from './caller.ts';
import { subjectOf } from './client-subject.ts';
import type { TlsMaterial, TlsSource } from './tls-source.ts';

/** Takes a connection over, with who is on its end. */
export type OnConnection = (stream: Duplex, caller: Caller) => void;

/** Told why a client was turned away before its first call; the text is ours or OpenSSL's word for it. */
export type OnRefused = (reason: string, source: string) => void;

/** Bounds of a listener. */
export interface ListenerLimits {
  readonly maxConnections: number;
  /** A TLS handshake must be over by then. */
  readonly handshakeTimeoutMs: number;
}

/** A listener of cleartext HTTP/2. */
export function plainListener(limits: ListenerLimits, onConnection: OnConnection): Server {
  const server = createServer({ noDelay: true }, (socket) => onConnection(socket, PLAINTEXT));
  server.maxConnections = limits.maxConnections;
  return server;
}

/** A listener of TLS 1.3 that follows its source's certificates. */
export function tlsListener(
  source: TlsSource,
  limits: ListenerLimits,
  onConnection: OnConnection,
  onRefused: OnRefused,
): TlsServer {
  const server = createTlsServer({
    ...optionsOf(source.current()),
    noDelay: true,
    handshakeTimeout: limits.handshakeTimeoutMs,
  });
  server.maxConnections = limits.maxConnections;
  const unsubscribe = source.onChange((material) => server.setSecureContext(optionsOf(material)));
  server.once('close', unsubscribe);
  server.on('secureConnection', (socket) => {
    socket.on('error', () => socket.destroy());
    const verdict = judge(socket, source.current());
    if (typeof verdict !== 'string') {
      onConnection(socket, verdict);
      return;
    }
    onRefused(verdict, sourceOf(socket));
    socket.destroy();
  });
  server.on('tlsClientError', (error: Error, socket: TLSSocket) => {
    onRefused(systemErrorCode(error) ?? 'TLS handshake failed', sourceOf(socket));
    socket.destroy();
  });
  return server;
}

/** Starts to listen. @throws {@link KmsError} `STATE_INVALID` if the port is taken or not ours to take. */
export function listen(server: Server, host: string, port: number): Promise<{ host: string; port: number }> {
  return new Promise((resolve, reject) => {
    const refused = (error: Error): void => {
      const taken = systemErrorCode(error) === 'EADDRINUSE';
      const why = taken ? 'the port is taken by another process' : 'cannot listen there';
      reject(new KmsError('STATE_INVALID', `${why}: ${host}:${port}`, { host, port }, error));
    };
    server.once('error', refused);
    server.listen(port, host, () => {
      server.off('error', refused);
      server.on('error', () => undefined); // a connection that could not be taken, as with too many open files
      resolve(boundAddress(server, host));
    });
  });
}

/**
 * What both sides may sign with. The last two are never used in a handshake of TLS 1.3: they say that authorities may
 * have signed certificates with them, which some clients ask before they show one.
 */
const SIGNATURES = [
  'ecdsa_secp256r1_sha256',
  'ecdsa_secp384r1_sha384',
  'ecdsa_secp521r1_sha512',
  'ed25519',
  'rsa_pss_rsae_sha256',
  'rsa_pss_rsae_sha384',
  'rsa_pkcs1_sha256',
  'rsa_pkcs1_sha384',
];

function optionsOf({ cert, key, clientCa }: TlsMaterial): TlsOptions {
  return {
    cert,
    key,
    ALPNProtocols: ['h2'],
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    // Without tickets nothing can be resumed: the session cache of Node is off unless somebody listens for it.
    secureOptions: constants.SSL_OP_NO_TICKET,
    sigalgs: SIGNATURES.join(':'),
    ...(clientCa === undefined ? {} : { ca: clientCa, requestCert: true }),
    // A client without a certificate is a caller too; one with a bad certificate is turned away in `judge`.
    rejectUnauthorized: false,
  };
}

/** Says who has connected, or why it is turned away. */
function judge(socket: TLSSocket, { clientCa }: TlsMaterial): Caller | string {
  if (socket.alpnProtocol !== 'h2') return 'the client did not ask for HTTP/2 (ALPN h2)';
  if (socket.isSessionReused()) return 'a TLS session was resumed';
  if (clientCa === undefined) return { kind: 'tls' };
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return { kind: 'tls' };
  if (!socket.authorized) return `the client certificate does not verify: ${socket.authorizationError}`;
  return { kind: 'tls', subject: subjectOf(certificate) };
}

function sourceOf(socket: Socket): string {
  return socket.remoteAddress ?? 'unknown';
}

function boundAddress(server: Server, host: string): { host: string; port: number } {
  const address: AddressInfo | string | null = server.address();
  return { host, port: typeof address === 'object' && address !== null ? address.port : 0 };
}
