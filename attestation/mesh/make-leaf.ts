/**
 * Makes the ephemeral leaf of this process: a key, a document that binds it, a certificate that carries both. The
 * private key is secret: it goes into OpenSSL's context and its copies here are wiped.
 */
import { generateKeyPair, type KeyObject } from 'node:crypto';
import type { SecureContext } from 'node:tls';
import { promisify } from 'node:util';
import { judgeOwn } from './judge.ts';
import type { Judge } from './judge-identity.ts';
import { encodeLeafPayload, leafDigest, type MeshLeaf, sha256 } from './leaf.ts';
import { writeLeafCertificate } from './leaf-certificate.ts';
import { meshSecureContext } from './tls.ts';

/** A peer whose clock is behind ours by less than the allowed skew shall not find our leaf too young. */
const BACKDATED_MS = 60_000;
const generate = promisify(generateKeyPair);

/**
 * Makes a key, has it attested and writes its certificate.
 *
 * The own document is verified first, so a process whose clock or chain its peers would refuse learns it here.
 *
 * @throws {@link KmsError} what the attester throws; `ATTESTATION_INVALID` if the own document does not verify.
 */
export async function makeLeaf(judge: Judge, signal?: AbortSignal): Promise<MeshLeaf> {
  const { self, clock } = judge;
  const { publicKey, privateKey } = await generate('ec', { namedCurve: 'P-256' });
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const { network, party, role, identity } = self;
  const digest = leafDigest({ network, party, role, spki });
  const document = await self.attester.attest({ publicKey: spki, userData: digest }, signal);
  const nowMs = clock.nowMs();
  const own = await judgeOwn(document, judge);
  const notBeforeMs = Math.max(nowMs - BACKDATED_MS, own.notBeforeMs);
  const payload = encodeLeafPayload({
    network,
    party,
    role,
    document,
    identityCertificate: identity?.certificate,
    meshSignature: identity?.sign(digest),
  });
  const der = writeLeafCertificate({ spki, notBeforeMs, notAfterMs: own.notAfterMs, payload }, privateKey);
  const notAfterMs = Math.floor(own.notAfterMs / 1000) * 1000;
  return {
    der,
    sha256: sha256(der),
    spki,
    secureContext: toSecureContext(der, privateKey),
    notBeforeMs,
    notAfterMs,
    renewAtMs: nowMs + ((notAfterMs - nowMs) * 2) / 3,
  };
}

function toSecureContext(der: Uint8Array, privateKey: KeyObject): SecureContext {
  const pkcs8 = privateKey.export({ type: 'pkcs8', format: 'der' });
  const keyPem = pem('PRIVATE KEY', pkcs8);
  try {
    return meshSecureContext(pem('CERTIFICATE', der), keyPem);
  } finally {
    keyPem.fill(0);
    pkcs8.fill(0);
  }
}

const BASE64 = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/');

/** Writes PEM into a buffer of its own: a private key must not pass through a string, which nobody can wipe. */
function pem(label: string, bytes: Uint8Array): Buffer {
  const [head, foot] = [`-----BEGIN ${label}-----\n`, `-----END ${label}-----\n`];
  const groups = Math.ceil(bytes.length / 3);
  const out = Buffer.alloc(head.length + groups * 4 + Math.ceil(groups / 16) + foot.length);
  let at = out.write(head);
  for (let group = 0; group < groups; group++) {
    const from = group * 3;
    const word = ((bytes[from] ?? 0) << 16) | ((bytes[from + 1] ?? 0) << 8) | (bytes[from + 2] ?? 0);
    for (let i = 0; i < 4; i++) {
      const digit = from + i <= bytes.length ? BASE64[(word >> (18 - 6 * i)) & 0x3f] : 0x3d;
      out[at++] = digit ?? 0x3d;
    }
    if (group % 16 === 15 || group === groups - 1) out[at++] = 0x0a;
  }
  out.write(foot, at);
  return out;
}
