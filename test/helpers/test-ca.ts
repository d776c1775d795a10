/**
 * Certificate authorities of tests: server and client certificates on any curve, good or not.
 */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { encodeDer } from '../../attestation/x509/der-encode.ts';
import {
  assembleCertificate,
  basicConstraints,
  encodeName,
  encodeTbsCertificate,
  keyUsage,
} from '../../attestation/x509/encode-certificate.ts';
import { OID } from '../../attestation/x509/oids.ts';

/** Curves by their names in OpenSSL. */
type Curve = 'P-256' | 'P-384' | 'secp256k1';
type Attribute = readonly [oid: string, text: string];

/** A certificate and its key, both PEM. */
export interface TestCertificate {
  readonly cert: string;
  readonly key: string;
}

/** What may differ from a P-256 certificate of an hour around now. */
export interface IssueOptions {
  readonly subject: readonly Attribute[] | string;
  readonly curve?: Curve;
  readonly notBeforeMs?: number;
  readonly notAfterMs?: number;
}

/** See the file comment. */
export interface TestCa {
  /** PEM. */
  readonly pem: string;
  issue(options: IssueOptions): TestCertificate;
}

const HOUR_MS = 3_600_000;
const SUBJECT_ALT_NAME = '2.5.29.17';

/** Makes an authority. */
export function makeTestCa(commonName = 'Test CA', curve: Curve = 'P-256'): TestCa {
  const keys = generateKeyPairSync('ec', { namedCurve: curve });
  const name = encodeName([[OID.commonName, commonName]]);
  const own = certify(
    { subject: name, publicKey: keys.publicKey, extensions: [basicConstraints(true), keyUsage(['keyCertSign'])] },
    name,
    keys.privateKey,
  );
  return {
    pem: own,
    issue({ subject, curve: leafCurve = 'P-256', notBeforeMs, notAfterMs }) {
      const leaf = generateKeyPairSync('ec', { namedCurve: leafCurve });
      const attributes = typeof subject === 'string' ? [[OID.commonName, subject] as const] : subject;
      const extensions = [basicConstraints(false), keyUsage(['digitalSignature']), localhost()];
      const fields = {
        subject: encodeName(attributes),
        publicKey: leaf.publicKey,
        extensions,
        notBeforeMs,
        notAfterMs,
      };
      return {
        cert: certify(fields, name, keys.privateKey),
        key: leaf.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      };
    },
  };
}

interface Fields {
  readonly subject: Uint8Array;
  readonly publicKey: KeyObject;
  readonly extensions: Parameters<typeof encodeTbsCertificate>[0]['extensions'];
  readonly notBeforeMs?: number | undefined;
  readonly notAfterMs?: number | undefined;
}

function certify(fields: Fields, issuer: Uint8Array, key: KeyObject): string {
  const nowMs = Date.now();
  const tbs = encodeTbsCertificate({
    serial: randomBytes(16),
    issuer,
    subject: fields.subject,
    notBeforeMs: fields.notBeforeMs ?? nowMs - HOUR_MS,
    notAfterMs: fields.notAfterMs ?? nowMs + HOUR_MS,
    publicKey: fields.publicKey.export({ type: 'spki', format: 'der' }),
    digest: 'SHA-256',
    extensions: fields.extensions,
  });
  const der = assembleCertificate(tbs, 'SHA-256', sign('sha256', tbs, key));
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

/** Names under which tests reach their servers: 127.0.0.1 and localhost. */
function localhost(): Fields['extensions'][number] {
  const dns = encodeDer(0x82, Buffer.from('localhost'));
  const ip = encodeDer(0x87, Uint8Array.of(127, 0, 0, 1));
  return { oid: SUBJECT_ALT_NAME, critical: false, value: encodeDer(0x30, Buffer.concat([dns, ip])) };
}
