/**
 * The client port's own certificate with an attestation document in it: an ephemeral P-256 key, self-signed, renewed at
 * two thirds of its life. Clients that verify attestation need no authority; others use certificates from files.
 *
 * Extension = canonical CBOR ['arca-client-leaf-1', network, party, document]; the document's public_key is the
 * certificate's key, its user_data SHA-384 over canonical CBOR ['arca-client-leaf-1', network, party, SPKI]. The label
 * keeps it from passing for a leaf of the mesh. Format: docs/security/client-certificates.md.
 */
import { createHash, generateKeyPair } from 'node:crypto';
import { promisify } from 'node:util';
import { encodeCanonical } from '../../../attestation/cbor.ts';
import { writeLeafCertificate } from '../../../attestation/mesh/leaf-certificate.ts';
import type { MeshEndpoint } from '../../../attestation/mesh/mesh-context.ts';
import type { Clock } from '../../../common/clock.ts';
import type { Logger } from '../../../common/log.ts';
import { readClientAuthorities, type TlsMaterial, type TlsSource } from '../../grpc/tls-source.ts';

const LABEL = 'arca-client-leaf-1';
const CHECK_EVERY_MS = 10_000;
const ATTEST_TIMEOUT_MS = 10_000;
/** Clients' clocks may be behind ours. */
const BACKDATED_MS = 60_000;

/** What of an endpoint is needed. */
export type CertificateEndpoint = Pick<MeshEndpoint, 'leaf'> & {
  readonly self: Pick<MeshEndpoint['self'], 'network' | 'party' | 'attester'>;
};

/** Settings of {@link openAttestedTlsSource}. */
export interface AttestedTlsOptions {
  readonly endpoint: CertificateEndpoint;
  readonly clientCaPath?: string | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly checkEveryMs?: number;
}

/** A source that can be told to look at its clock. */
export interface AttestedTlsSource extends TlsSource {
  /** Renews the certificate if it is due. @returns Whether a new one is served. Never rejects. */
  check(): Promise<boolean>;
  reasons(): readonly string[];
}

const generate = promisify(generateKeyPair);

/** Returns the user_data of a client certificate's document. */
export function clientLeafDigest(network: string, party: number, spki: Uint8Array): Uint8Array {
  return createHash('sha384')
    .update(encodeCanonical([LABEL, network, party, spki]))
    .digest();
}

/**
 * Makes the first certificate and keeps it fresh.
 *
 * @throws {@link KmsError} what the attester throws; `CONFIG_INVALID` for a file of authorities that is no good.
 */
export async function openAttestedTlsSource(options: AttestedTlsOptions): Promise<AttestedTlsSource> {
  const { endpoint, clientCaPath, clock, log, checkEveryMs = CHECK_EVERY_MS } = options;
  const clientCa = clientCaPath === undefined ? undefined : await readClientAuthorities(clientCaPath);
  const listeners = new Set<(material: TlsMaterial) => void>();
  let held = await makeCertificate(endpoint, clock, clientCa);
  let failures = 0;
  let checking: Promise<boolean> = Promise.resolve(false);

  const look = async (): Promise<boolean> => {
    if (clock.nowMs() < held.renewAtMs) return false;
    try {
      held = await makeCertificate(endpoint, clock, clientCa);
    } catch (err) {
      failures++;
      log.warn({ event: 'tls.renewal_failed', failures, validTo: new Date(held.notAfterMs).toISOString(), err });
      return false;
    }
    failures = 0;
    log.info({ event: 'tls.renewed', validTo: new Date(held.notAfterMs).toISOString() });
    for (const listener of listeners) listener(held.material);
    return true;
  };
  const check = (): Promise<boolean> => {
    checking = checking.then(look, look);
    return checking;
  };
  const timer = setInterval(() => void check(), checkEveryMs).unref();
  log.info({ event: 'tls.attested', validTo: new Date(held.notAfterMs).toISOString() });

  return {
    current: () => held.material,
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    check,
    reasons: () =>
      clock.nowMs() < held.notAfterMs
        ? []
        : [`the attested certificate of the client port ended and ${failures} renewals failed`],
    close: () => clearInterval(timer),
  };
}

interface Held {
  readonly material: TlsMaterial;
  readonly notAfterMs: number;
  readonly renewAtMs: number;
}

async function makeCertificate(
  { leaf, self }: CertificateEndpoint,
  clock: Clock,
  clientCa: string | undefined,
): Promise<Held> {
  // The mesh verified its own document when it made its leaf: a newer one of the same device ends no sooner.
  const { notAfterMs } = await leaf();
  const { publicKey, privateKey } = await generate('ec', { namedCurve: 'P-256' });
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const { network, party, attester } = self;
  const document = await attester.attest(
    { publicKey: spki, userData: clientLeafDigest(network, party, spki) },
    AbortSignal.timeout(ATTEST_TIMEOUT_MS),
  );
  const nowMs = clock.nowMs();
  const payload = encodeCanonical([LABEL, network, party, document]);
  const der = writeLeafCertificate({ spki, notBeforeMs: nowMs - BACKDATED_MS, notAfterMs, payload }, privateKey);
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return {
    material: { cert: toPem(der), key, ...(clientCa === undefined ? {} : { clientCa }) },
    notAfterMs,
    renewAtMs: nowMs + ((notAfterMs - nowMs) * 2) / 3,
  };
}

function toPem(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}
