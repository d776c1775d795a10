/**
 * The TLS that the mesh speaks, the same on both sides and for every connection: 1.3 only, mutual, P-256 leaves only,
 * nothing resumed, no certificate authority trusted. TLS proves that the peer holds its leaf's key; who that is says
 * `judge.ts` alone.
 *
 * Node 24 ends with a segmentation fault when it verifies or converts a secp256k1 certificate. So no authority is
 * given to TLS (nothing can chain to a trusted one), the only signature algorithm is that of P-256, and the peer's
 * certificate is read by `getPeerX509Certificate` alone.
 */
import type { X509Certificate } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { connect, createSecureContext, type SecureContext, TLSSocket } from 'node:tls';
import { equalBytes } from '../../common/bytes.ts';
import { peerLeft, refuse } from './reasons.ts';

/** Named in both TLS hellos, so that another protocol or version is refused before anything is made or verified. */
export const ALPN = 'arca-mesh/1';
const EXPORTER_LABEL = 'EXPORTER-arca-mesh-proof-1';
const EXPORTER_BYTES = 32;

/** Returns key and certificate as TLS takes them, with the one set of algorithms. */
export function meshSecureContext(certificatePem: Buffer, keyPem: Buffer): SecureContext {
  return createSecureContext({
    cert: certificatePem,
    key: keyPem,
    // An empty list, not an absent one: absent means the public authorities.
    ca: [],
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    ciphers: 'TLS_AES_256_GCM_SHA384',
    sigalgs: 'ecdsa_secp256r1_sha256',
    // Hybrid first: what is recorded today shall not be read by tomorrow's machines.
    ecdhCurve: 'X25519MLKEM768:X25519',
  });
}

const OPTIONS = { rejectUnauthorized: false, requestCert: true, ALPNProtocols: [ALPN] } as const;

/**
 * Runs TLS as client over a raw stream.
 *
 * @throws What the socket fails with, or the signal's reason.
 */
export function clientTls(raw: Duplex, secureContext: SecureContext, signal: AbortSignal): Promise<TLSSocket> {
  return settled(connect({ socket: raw, secureContext, ...OPTIONS }), 'secureConnect', signal);
}

/** Runs TLS as server over a raw stream; see {@link clientTls}. */
export async function serverTls(raw: Duplex, secureContext: SecureContext, signal: AbortSignal): Promise<TLSSocket> {
  const socket = await settled(new TLSSocket(raw, { isServer: true, secureContext, ...OPTIONS }), 'secure', signal);
  // Only a tls.Server resets this; node:http2 waits for ever for a socket that still says it connects.
  return Object.assign(socket, { secureConnecting: false });
}

function settled(socket: TLSSocket, event: 'secure' | 'secureConnect', signal: AbortSignal): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      stop();
      // Its errors have been told by now; one without a listener would end the process.
      socket.on('error', () => {});
      socket.destroy();
      reject(error);
    };
    const onClose = (): void => fail(peerLeft());
    const onAbort = (): void => fail(signal.reason);
    const done = (): void => {
      stop();
      resolve(socket);
    };
    const stop = (): void => {
      socket.off(event, done).off('error', fail).off('close', onClose);
      signal.removeEventListener('abort', onAbort);
    };
    socket.once(event, done).once('error', fail).once('close', onClose);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}

/**
 * Returns the peer's one certificate as DER. To be called once per socket: Node takes it off its list.
 *
 * @throws KmsError `ATTESTATION_INVALID` or `ATTESTATION_REJECTED` for a resumed session, no certificate, several,
 * another TLS version or another protocol.
 */
export function peerCertificate(socket: TLSSocket): Uint8Array {
  if (socket.isSessionReused()) throw refuse('resumed', 'sessions of the mesh are never resumed');
  if (socket.getProtocol() !== 'TLSv1.3') throw refuse('version', 'the mesh needs TLS 1.3');
  if (socket.alpnProtocol !== ALPN) throw refuse('version', `the mesh needs the protocol ${ALPN}`);
  const certificate: X509Certificate | undefined = socket.getPeerX509Certificate();
  if (certificate === undefined) throw refuse('certificate', 'it showed no leaf certificate');
  const issuer = certificate.issuerCertificate;
  if (issuer !== undefined && !equalBytes(issuer.raw, certificate.raw)) {
    throw refuse('certificate', 'it showed more than its leaf certificate');
  }
  return certificate.raw;
}

/** Returns the value that both ends of this one TLS connection share with nobody else. */
export function exporterValue(socket: TLSSocket): Uint8Array {
  return socket.exportKeyingMaterial(EXPORTER_BYTES, EXPORTER_LABEL, Buffer.alloc(0));
}
