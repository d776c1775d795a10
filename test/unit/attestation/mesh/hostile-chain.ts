/**
 * Certificates over secp256k1 in every place of a chain. OpenSSL's tool would do; this writes them itself, so that
 * tests need nothing installed.
 */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import {
  assembleCertificate,
  basicConstraints,
  encodeName,
  encodeTbsCertificate,
} from '../../../../attestation/x509/encode-certificate.ts';
import { OID } from '../../../../attestation/x509/oids.ts';
import { toPem } from './adversary.ts';

/** What a peer shows and the key it shows it with, as PEM. */
export interface HostilePeer {
  readonly name: string;
  readonly cert: string;
  readonly key: string;
}

interface Keys {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

const makeKeys = (namedCurve: string): Keys => generateKeyPairSync('ec', { namedCurve });

/** A secp256k1 leaf; P-256 leaves under a secp256k1 authority, alone and with it. */
export function hostileChain(): readonly HostilePeer[] {
  const [authority, koblitz, honest] = [makeKeys('secp256k1'), makeKeys('secp256k1'), makeKeys('P-256')];
  const root = certify('authority', authority, 'authority', authority, true);
  const leaf = certify('authority', authority, 'leaf', honest, false);
  return [
    { name: 'secp256k1 leaf', cert: toPem(certify('self', koblitz, 'self', koblitz, false)), key: pemOf(koblitz) },
    { name: 'P-256 leaf of a secp256k1 authority', cert: toPem(leaf), key: pemOf(honest) },
    { name: 'the same with its authority', cert: toPem(leaf) + toPem(root), key: pemOf(honest) },
    {
      name: 'the same with a stranger between',
      cert: toPem(leaf) + toPem(certify('x', koblitz, 'x', koblitz, true)),
      key: pemOf(honest),
    },
  ];
}

/** PEM of a secp256k1 authority, and of a P-256 leaf that it certifies, with the leaf's key. */
export function trustedAuthority(): HostilePeer & { readonly authority: string } {
  const [authority, honest] = [makeKeys('secp256k1'), makeKeys('P-256')];
  const cert = toPem(certify('authority', authority, 'localhost', honest, false));
  const root = toPem(certify('authority', authority, 'authority', authority, true));
  return { name: 'leaf of a trusted secp256k1 authority', cert, key: pemOf(honest), authority: root };
}

const pemOf = ({ privateKey }: Keys): string => String(privateKey.export({ type: 'pkcs8', format: 'pem' }));
const nameOf = (text: string): Uint8Array => encodeName([[OID.commonName, text]]);

function certify(issuer: string, by: Keys, subject: string, of: Keys, ca: boolean): Uint8Array {
  const now = Date.now();
  const tbs = encodeTbsCertificate({
    serial: Uint8Array.of(0x41),
    issuer: nameOf(issuer),
    subject: nameOf(subject),
    notBeforeMs: now - 60_000,
    notAfterMs: now + 3_600_000,
    publicKey: of.publicKey.export({ type: 'spki', format: 'der' }),
    digest: 'SHA-256',
    extensions: [basicConstraints(ca)],
  });
  return assembleCertificate(tbs, 'SHA-256', sign('sha256', tbs, by.privateKey));
}
