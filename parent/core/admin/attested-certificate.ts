/**
 * The client port's own certificate with an attestation document in it (attestation/client-leaf.ts), renewed at two
 * thirds of its life. Clients that verify attestation need no authority; others use certificates from files.
 */
import { generateKeyPair } from 'node:crypto';
import { promisify } from 'node:util';
import { clientLeafDigest, writeClientLeaf } from '../../../attestation/client-leaf.ts';
import type { MeshLeaf } from '../../../attestation/mesh/leaf.ts';
import type { MeshEndpoint } from '../../../attestation/mesh/mesh-context.ts';
import type { Clock } from '../../../common/clock.ts';
import type { Logger } from '../../../common/log.ts';
import { readClientAuthorities, type TlsMaterial, type TlsSource } from '../../grpc/tls-source.ts';

const CHECK_EVERY_MS = 10_000;
const ATTEST_TIMEOUT_MS = 10_000;
/** Clients' clocks may be behind ours. */
const BACKDATED_MS = 60_000;

/** What of an endpoint is needed. */
export interface CertificateEndpoint {
  /** The mesh's own leaf, of which only its end counts here. */
  leaf(): Promise<Pick<MeshLeaf, 'notAfterMs'>>;
  readonly self: Pick<MeshEndpoint['self'], 'network' | 'party' | 'attester'>;
}

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
  endpoint: CertificateEndpoint,
  clock: Clock,
  clientCa: string | undefined,
): Promise<Held> {
  // The mesh verified its own document when it made its leaf: a newer one of the same device ends no sooner.
  const { notAfterMs } = await endpoint.leaf();
  const { publicKey, privateKey } = await generate('ec', { namedCurve: 'P-256' });
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const { network, party, attester } = endpoint.self;
  const document = await attester.attest(
    { publicKey: spki, userData: clientLeafDigest({ network, party, spki }) },
    AbortSignal.timeout(ATTEST_TIMEOUT_MS),
  );
  const nowMs = clock.nowMs();
  const leafFields = { network, party, document, spki, notBeforeMs: nowMs - BACKDATED_MS, notAfterMs };
  const der = writeClientLeaf(leafFields, privateKey);
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
