/**
 * Checks the attestation of a node as docs/auditors describes it, step by step, and imports nothing of Arca: `cbor2` and
 * Node alone. Prints one JSON object; exit code 0 only if every step holds. Whether the PCRs are those of a release you
 * trust is for you to compare: they are printed.
 *
 * node scripts/verify-attestation.mjs http://HOST:PORT [root.pem]      (without a root: the one of AWS, by its hash)
 */
import { createHash, randomBytes, verify, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { decode, encode, Tag } from 'cbor2';

/** SHA-256 of the DER of AWS's root, as AWS publishes it. */
const AWS_ROOT = '641A0321A3E244EFE456463195D606317ED7CDCC3C1756E09893F3C68F79BB5B';
const [base, rootFile] = process.argv.slice(2);
if (base === undefined) throw new Error('usage: verify-attestation.mjs http://HOST:PORT [root.pem]');

const sha = (name, bytes) => createHash(name).update(bytes).digest();
const same = (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)) === 0;
const must = (holds, what) => {
  if (!holds) throw new Error(`does not hold: ${what}`);
};

// 1. A fresh answer over a nonce of our own.
const nonce = randomBytes(32);
const response = await fetch(new URL(`/attestation?nonce=${nonce.toString('hex')}`, base));
must(response.status === 200, `HTTP ${response.status}`);
const answer = await response.json();

// 2. COSE_Sign1: protected header ES384, empty unprotected header, payload, signature of 96 bytes.
const outer = decode(new Uint8Array(Buffer.from(answer.document, 'base64')));
const [header, unprotected, payload, signature] = outer instanceof Tag ? outer.contents : outer;
must(Buffer.from(header).toString('hex') === 'a1013822', 'the protected header is {1: -35}');
must(Object.keys(unprotected).length === 0 && signature.length === 96, 'the envelope is a plain COSE_Sign1');
const raw = decode(payload);
const document = raw instanceof Map ? Object.fromEntries(raw) : raw;

// 3. The certificates: the root is pinned, each signs the next, all are valid now.
const chain = [...document.cabundle, document.certificate].map((der) => new X509Certificate(Buffer.from(der)));
const pinned = rootFile === undefined ? AWS_ROOT : new X509Certificate(readFileSync(rootFile)).fingerprint256;
must(
  chain[0].fingerprint256.replaceAll(':', '') === pinned.replaceAll(':', ''),
  'the first certificate is the root that is trusted',
);
const now = Date.now();
chain.forEach((certificate, at) => {
  const issuer = chain[Math.max(0, at - 1)];
  must(certificate.verify(issuer.publicKey), `certificate ${at + 1} is signed by the one before`);
  must(certificate.issuer === issuer.subject, `certificate ${at + 1} names the one before`);
  must(certificate.publicKey.asymmetricKeyDetails.namedCurve === 'secp384r1', `certificate ${at + 1} is P-384`);
  must(certificate.ca === at < chain.length - 1, `certificate ${at + 1} is an authority, the last is not`);
  must(Date.parse(certificate.validFrom) <= now + 60_000, `certificate ${at + 1} has begun`);
  must(now <= Date.parse(certificate.validTo), `certificate ${at + 1} has not ended`);
});

// 4. The signature, over the bytes as they came.
const signed = encode(['Signature1', header, new Uint8Array(0), payload]);
const key = { key: chain.at(-1).publicKey, dsaEncoding: 'ieee-p1363' };
must(verify('sha384', signed, key, signature), 'the document is signed by the last certificate');

// 5. It is fresh and ours.
must(Math.abs(now - Number(document.timestamp)) < 60_000, 'it was signed just now');
must(same(document.nonce, nonce), 'it carries our nonce');

// 6. The facts: their commitment is what was signed.
const { facts } = answer;
const commitment = encode([
  'arca-attest-1',
  facts.network,
  new Uint8Array(Buffer.from(facts.charterDigest, 'hex')),
  facts.party,
  new Uint8Array(Buffer.from(facts.address.slice(2), 'hex')),
  facts.release,
  facts.incarnation,
]);
must(same(document.user_data, sha('sha384', commitment)), 'user_data commits to the facts');

// 7. The charter is in PCR16, and the enclave is no debug enclave.
const pcrs = document.pcrs instanceof Map ? document.pcrs : new Map(Object.entries(document.pcrs ?? {}));
const pcr = (index) => Buffer.from(pcrs.get(index) ?? pcrs.get(String(index)) ?? []);
const charter = Buffer.concat([Buffer.alloc(48), Buffer.from(facts.charterDigest, 'hex')]);
must(same(pcr(16), sha('sha384', charter)), 'PCR16 is the extension of the charter');
for (const index of [0, 1, 2])
  must(
    pcr(index).some((byte) => byte !== 0),
    `PCR${index} is not zero`,
  );

const shown = Object.fromEntries([0, 1, 2, 16].map((index) => [index, pcr(index).toString('hex')]));
process.stdout.write(`${JSON.stringify({ holds: true, facts, pcrs: shown })}\n`);
