/** Certificates: what we write, Node reads; what we read is strict DER; no bytes make the reader do anything but refuse. */
import { createHash, generateKeyPairSync, sign, verify, X509Certificate } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { makeDeveloperRoot, makeSigningChain } from '../../../../attestation/developer/chain.ts';
import { parseCertificate, rawSignature } from '../../../../attestation/x509/certificate.ts';
import { DER_TAG, encodeDer, encodeOid } from '../../../../attestation/x509/der-encode.ts';
import {
  assembleCertificate,
  basicConstraints,
  type CertificateFields,
  encodeName,
  encodeTbsCertificate,
  keyUsage,
} from '../../../../attestation/x509/encode-certificate.ts';
import { KEY_USAGE_BIT, type KeyUsage, OID } from '../../../../attestation/x509/oids.ts';
import { concatBytes } from '../../../../common/bytes.ts';
import { isKmsError } from '../../../../common/errors.ts';
import { FORGED_AT_MS } from '../../../helpers/forge-document.ts';

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
const name = encodeName([
  [OID.country, 'US'],
  [OID.commonName, 'tëst'],
]);
const FIELDS: CertificateFields = {
  serial: Uint8Array.of(0x80, 1),
  issuer: name,
  subject: name,
  notBeforeMs: FORGED_AT_MS,
  notAfterMs: FORGED_AT_MS + 86_400_000,
  publicKey: publicKey.export({ type: 'spki', format: 'der' }),
  digest: 'SHA-384',
  extensions: [basicConstraints(true, 3), keyUsage(['keyCertSign'])],
};
const issue = (change: Partial<CertificateFields> = {}) => {
  const tbs = encodeTbsCertificate({ ...FIELDS, ...change });
  return assembleCertificate(tbs, change.digest ?? 'SHA-384', sign('sha384', tbs, privateKey));
};
const refused = { code: 'REQUEST_INVALID' };

t.test('a certificate of ours is read alike by Node and by our own reader', async (t) => {
  const der = issue();
  const node = new X509Certificate(der);
  const ours = parseCertificate(der);
  t.equal(node.subject, 'C=US\nCN=tëst');
  t.ok(node.ca);
  t.ok(node.verify(publicKey));
  t.equal(node.serialNumber, '8001');
  t.equal(node.validFromDate.getTime(), ours.notBeforeMs);
  t.equal(node.validToDate.getTime(), ours.notAfterMs);
  t.same(ours.constraints, { ca: true, pathLen: 3 });
  t.same([...(ours.uses ?? [])], ['keyCertSign']);
  t.equal(ours.curveOid, OID.p384);
  t.equal(ours.version, 3);
  t.ok(verify('sha384', ours.tbs, { key: publicKey, dsaEncoding: 'ieee-p1363' }, rawSignature(ours.signature, 48)));
});

t.test('every chain that is made is one that Node accepts link by link', async (t) => {
  const root = makeDeveloperRoot({ nowMs: FORGED_AT_MS });
  const chain = makeSigningChain(root, { nowMs: FORGED_AT_MS, moduleId: 'i-0-enc0' });
  const all = [...chain.cabundle, chain.leaf].map((der) => new X509Certificate(der));
  t.equal(all.length, 5);
  for (const [index, certificate] of all.entries()) {
    const issuer = all[Math.max(0, index - 1)];
    t.ok(issuer && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey), `certificate ${index + 1}`);
  }
  t.equal(chain.notAfterMs - chain.notBeforeMs, 3 * 3_600_000);
  t.same(chain.leafKey.asymmetricKeyDetails, { namedCurve: 'secp384r1' });
});

t.test('dates on both sides of 2050 survive', async (t) => {
  for (const [from, to] of [
    ['1950-01-01T00:00:00Z', '1999-12-31T23:59:59Z'],
    ['2049-12-31T23:59:59Z', '2050-01-01T00:00:00Z'],
    ['2024-02-29T12:00:00Z', '9999-12-31T23:59:59Z'],
  ] as const) {
    const { notBeforeMs, notAfterMs } = parseCertificate(
      issue({ notBeforeMs: Date.parse(from), notAfterMs: Date.parse(to) }),
    );
    t.same([notBeforeMs, notAfterMs], [Date.parse(from), Date.parse(to)], from);
  }
});

t.test('every set of key usages survives', async (t) => {
  const uses = fc.subarray(Object.keys(KEY_USAGE_BIT).filter((use): use is KeyUsage => use in KEY_USAGE_BIT));
  fc.assert(
    fc.property(uses, (set) => {
      const read = parseCertificate(issue({ extensions: [keyUsage(set)] })).uses;
      return read?.size === set.length && set.every((use) => read.has(use));
    }),
    { numRuns: 40 },
  );
  t.pass('1 property');
});

t.test('serial numbers, object identifiers and long names survive', async (t) => {
  for (const serial of [[0], [0, 0, 1], [0x7f], [0xff, 0, 0]]) {
    t.doesNotThrow(() => parseCertificate(issue({ serial: Uint8Array.from(serial) })), `${serial}`);
  }
  const oid = '1.3.6.1.4.1.58270.1.2147483647';
  const extension = { oid, critical: false, value: encodeDer(DER_TAG.octetString, new Uint8Array(70_000)) };
  const read = parseCertificate(issue({ extensions: [extension] }));
  t.equal(read.extensions.get(oid)?.value.length, 70_000 + 5);
  t.equal(read.constraints, undefined);
});

t.test('version 1 is read as version 1', async (t) => {
  const { version, extensions } = parseCertificate(issue({ version: 1 }));
  t.equal(version, 1);
  t.equal(extensions.size, 0);
});

t.test('what is not strict DER is refused', async (t) => {
  const good = issue();
  const tbs = encodeTbsCertificate(FIELDS);
  const sequence = (...parts: Uint8Array[]) => encodeDer(DER_TAG.sequence, concatBytes(...parts));
  const algorithm = sequence(encodeOid(OID.ecdsaWithSha384));
  const bits = encodeDer(DER_TAG.bitString, Uint8Array.of(0, 1));
  const twice = { ...FIELDS, extensions: [keyUsage(['cRLSign']), keyUsage(['keyCertSign'])] };
  const withValue = (oid: string, value: Uint8Array) => issue({ extensions: [{ oid, critical: true, value }] });
  const rows: [string, Uint8Array][] = [
    ['nothing', new Uint8Array(0)],
    ['a byte after it', concatBytes(good, Uint8Array.of(0))],
    ['cut', good.subarray(0, -1)],
    ['an indefinite length', concatBytes(Uint8Array.of(0x30, 0x80), tbs, algorithm, bits, Uint8Array.of(0, 0))],
    ['a length longer than needed', concatBytes(Uint8Array.of(0x30, 0x83, 0), good.subarray(2))],
    ['a fourth part', sequence(tbs, algorithm, bits, bits)],
    ['no signature', sequence(tbs, algorithm)],
    ['another algorithm outside', sequence(tbs, sequence(encodeOid(OID.ecdsaWithSha256)), bits)],
    ['a signature of odd bits', sequence(tbs, algorithm, encodeDer(DER_TAG.bitString, Uint8Array.of(1, 2)))],
    ['an extension twice', sequence(encodeTbsCertificate(twice), algorithm, bits)],
    ['a month 13', replaceText(good, '260115123000Z', '261315123000Z')],
    ['a 30th of February', replaceText(good, '260115123000Z', '260230123000Z')],
    ['a 25th hour', replaceText(good, '260115123000Z', '260115253000Z')],
    ['a local time', replaceText(good, '260115123000Z', '260115123000A')],
    ['basic constraints of text', withValue(OID.basicConstraints, encodeDer(DER_TAG.utf8String, new Uint8Array(1)))],
    [
      'a negative path length',
      withValue(
        OID.basicConstraints,
        sequence(encodeDer(DER_TAG.boolean, Uint8Array.of(0xff)), encodeDer(DER_TAG.integer, Uint8Array.of(0x80))),
      ),
    ],
    ['a boolean of 1', withValue(OID.basicConstraints, sequence(encodeDer(DER_TAG.boolean, Uint8Array.of(1))))],
    ['key usage with unused bits set', withValue(OID.keyUsage, encodeDer(DER_TAG.bitString, Uint8Array.of(7, 0xff)))],
    ['key usage with a zero at its end', withValue(OID.keyUsage, encodeDer(DER_TAG.bitString, Uint8Array.of(0, 0x80)))],
    ['key usage of many bytes', withValue(OID.keyUsage, encodeDer(DER_TAG.bitString, Uint8Array.of(0, 0, 0, 1)))],
  ];
  for (const [why, der] of rows) t.throws(() => parseCertificate(der), refused, why);
});

t.test('an ECDSA signature has one form', async (t) => {
  const integer = (...bytes: number[]) => encodeDer(DER_TAG.integer, Uint8Array.from(bytes));
  const pair = (...parts: Uint8Array[]) => encodeDer(DER_TAG.sequence, concatBytes(...parts));
  t.same(rawSignature(pair(integer(1), integer(0, 0x80)), 2), Uint8Array.of(0, 1, 0, 0x80));
  const rows: [string, Uint8Array][] = [
    ['one integer', pair(integer(1))],
    ['three', pair(integer(1), integer(1), integer(1))],
    ['a negative one', pair(integer(0x80), integer(1))],
    ['one longer than needed', pair(integer(0, 1), integer(1))],
    ['one too large', pair(integer(1, 0, 0), integer(1))],
    ['bytes after it', concatBytes(pair(integer(1), integer(1)), Uint8Array.of(0))],
  ];
  for (const [why, der] of rows) t.throws(() => rawSignature(der, 2), refused, why);
});

t.test('no change of a certificate makes the reader throw anything but a refusal', async (t) => {
  const good = issue();
  const digest = createHash('sha256').update(good).digest('hex');
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), fc.nat(3), (at, flip, kind) => {
      const changed = Uint8Array.from(good);
      if (kind === 0) changed[at] = (changed[at] ?? 0) ^ flip;
      const input =
        kind === 1 ? good.subarray(0, at) : kind === 2 ? concatBytes(good.subarray(0, at), changed) : changed;
      try {
        parseCertificate(input);
        return true;
      } catch (error) {
        return isKmsError(error, 'REQUEST_INVALID');
      }
    }),
    { numRuns: 3000 },
  );
  t.equal(createHash('sha256').update(good).digest('hex'), digest, 'the input is not changed');
});

/** Replaces ASCII text of the same length inside DER. */
function replaceText(der: Uint8Array, from: string, to: string): Uint8Array {
  const at = Buffer.from(der).indexOf(from);
  if (at < 0) throw new Error(`${from} is not there`);
  const changed = Uint8Array.from(der);
  changed.set(new TextEncoder().encode(to), at);
  return changed;
}
