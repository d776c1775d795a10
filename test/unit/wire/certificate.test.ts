/** The node's CA certificate, judged by OpenSSL through Node. Never through toLegacyObject or TLS: Node would crash. */
import { X509Certificate } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { buildCaCertificate, type CaCertificateArgs, certificatePem } from '../../../wire/certificate.ts';
import { createReferenceNode } from '../../helpers/reference-node.ts';

const node = createReferenceNode();
const args: CaCertificateArgs = {
  publicKey: node.publicKeyUncompressed,
  commonName: 'arca-node',
  notBefore: new Date('2026-01-01T00:00:00Z'),
  notAfter: new Date('2046-01-01T00:00:00Z'),
  serial: Uint8Array.of(0x12, 0x34),
  sign: node.signDer,
};

t.test('the certificate is a self-issued CA that verifies under its own key', async (t) => {
  const certificate = new X509Certificate(certificatePem(buildCaCertificate(args)));
  t.equal(certificate.subject, 'CN=arca-node');
  t.equal(certificate.issuer, certificate.subject);
  t.equal(certificate.serialNumber, '1234');
  t.equal(certificate.ca, true);
  t.equal(certificate.checkIssued(certificate), true);
  t.equal(certificate.verify(certificate.publicKey), true);
  t.same(certificate.validFromDate, args.notBefore);
  t.same(certificate.validToDate, args.notAfter);
  t.equal(certificate.publicKey.asymmetricKeyDetails?.namedCurve, 'secp256k1');
  const spki = certificate.publicKey.export({ format: 'der', type: 'spki' });
  t.same(spki.subarray(-65), Buffer.from(node.publicKeyUncompressed));
});

t.test('basic constraints and key usage are critical and as peers want them', async (t) => {
  const der = Buffer.from(buildCaCertificate(args)).toString('hex');
  t.match(der, '0603551d130101ff040830060101ff020100', 'CA, path length 0');
  t.match(der, '0603551d0f0101ff040403020186', 'digitalSignature, keyCertSign, cRLSign');
});

t.test('dates from 2050 on are written in the longer form', async (t) => {
  const notAfter = new Date('2096-07-08T09:10:11Z');
  const certificate = new X509Certificate(buildCaCertificate({ ...args, notAfter }));
  t.same(certificate.validToDate, notAfter);
  t.equal(certificate.verify(certificate.publicKey), true);
});

t.test('any serial of up to 20 bytes is written as a positive number', async (t) => {
  const serials = fc
    .uint8Array({ minLength: 1, maxLength: 20 })
    .filter((serial) => serial.some((byte) => byte !== 0) && (serial[0] ?? 0) < 128);
  fc.assert(
    fc.property(serials, (serial) => {
      const certificate = new X509Certificate(buildCaCertificate({ ...args, serial }));
      return BigInt(`0x${certificate.serialNumber}`) === BigInt(`0x${Buffer.from(serial).toString('hex')}`);
    }),
    { numRuns: 20 },
  );
  t.pass('1 property');
});

t.test('a signature by another key does not verify', async (t) => {
  const other = createReferenceNode(new Uint8Array(32).fill(7));
  const certificate = new X509Certificate(buildCaCertificate({ ...args, sign: other.signDer }));
  t.equal(certificate.verify(certificate.publicKey), false);
});

t.test('arguments that cannot be written are refused', async (t) => {
  const cases: [string, Partial<CaCertificateArgs>][] = [
    ['a compressed key', { publicKey: node.publicKey }],
    ['no name', { commonName: '' }],
    ['a long name', { commonName: 'x'.repeat(65) }],
    ['an end before the begin', { notAfter: args.notBefore }],
    ['an invalid date', { notAfter: new Date('never') }],
    ['no serial', { serial: new Uint8Array(0) }],
    ['serial zero', { serial: new Uint8Array(4) }],
    ['a negative serial', { serial: Uint8Array.of(128) }],
    ['a long serial', { serial: new Uint8Array(21).fill(1) }],
  ];
  for (const [why, wrong] of cases) {
    t.throws(() => buildCaCertificate({ ...args, ...wrong }), { code: 'REQUEST_INVALID' }, why);
  }
});
