/** The mistakes that public verifiers have made, each with a document that one of them would have taken. */
import { createPrivateKey, generateKeyPairSync, sign } from 'node:crypto';
import t from 'tap';
import { decodeStrict, encodeCanonical } from '../../../../attestation/cbor.ts';
import {
  type DocumentInput,
  matchMeasurements,
  verifyArchivedDocument,
  verifyLiveDocument,
} from '../../../../attestation/document/index.ts';
import {
  FORGED_AT_MS,
  invalidAt,
  makeForge,
  pcrOf,
  somePcrs,
  trustedMeasurement,
} from '../../../helpers/forge-document.ts';

const forge = makeForge();
const { anchor } = forge;
const live = (document: DocumentInput, nowMs = FORGED_AT_MS) => verifyLiveDocument(document, { anchor, nowMs });
const EMPTY = new Uint8Array(0);

t.test('the root in the bundle is not trusted: a whole chain of a stranger is refused', async (t) => {
  const stranger = makeForge();
  await t.rejects(live(stranger.document()), invalidAt('3.1'));
  await t.rejects(verifyArchivedDocument(stranger.document(), { anchor }), invalidAt('3.1'));
});

t.test('the right root in front of a stranger’s chain of the same names is refused', async (t) => {
  const stranger = makeForge();
  const variant = { bundle: (bundle: readonly Uint8Array[]) => [anchor.certificate, ...bundle.slice(1)] };
  await t.rejects(live(stranger.document({ variant })), invalidAt('5.1'));
});

t.test('PCR0 alone is not enough: PCR1 and PCR2 are compared too, and all that differ are told', async (t) => {
  const document = await live(forge.document());
  const pcrs = new Map([0, 1, 2].map((index) => [index, pcrOf(index === 0 ? 0 : index + 50)]));
  const { matched, mismatches } = matchMeasurements(document, [trustedMeasurement('enclave', { pcrs })]);
  t.equal(matched, undefined);
  t.same(
    mismatches.map(({ pcr }) => pcr),
    [1, 2],
  );
});

t.test('a release that lists PCR0 alone trusts nobody', async (t) => {
  const document = await live(forge.document());
  const verdict = matchMeasurements(document, [trustedMeasurement('enclave', { pcrs: new Map([[0, pcrOf(0)]]) })]);
  t.equal(verdict.matched, undefined);
  t.same(verdict.unusable, [{ release: '1.0.0', reason: 'it lacks PCR1, PCR2' }]);
});

t.test('zero PCRs, as debug mode has them, are trusted by no release, not even by one that lists zeros', async (t) => {
  const zero = new Uint8Array(48);
  for (const index of [0, 1, 2]) {
    const pcrs = somePcrs().set(index, zero);
    const document = await live(forge.document({ pcrs }));
    const listed = new Map([0, 1, 2].map((pcr) => [pcr, pcrs.get(pcr) ?? zero]));
    const verdict = matchMeasurements(document, [trustedMeasurement('enclave', { pcrs: listed })]);
    t.equal(verdict.matched, undefined, `PCR${index}`);
  }
});

t.test('a live document is compared with now: an old one and one from the future are refused', async (t) => {
  const document = forge.document();
  await t.resolves(live(document, FORGED_AT_MS + 300_000), 'five minutes are fine');
  await t.rejects(live(document, FORGED_AT_MS + 300_001), invalidAt('4.2'), 'more are not');
  await t.rejects(live(forge.document({ timestampMs: FORGED_AT_MS + 61_000 })), invalidAt('4.1'), 'a minute ahead');
});

t.test('archived evidence is judged at its own time, never at now and never without a time', async (t) => {
  const document = forge.document();
  await t.rejects(live(document, FORGED_AT_MS + 86_400_000 * 30), invalidAt('3.8 4.2'));
  await t.resolves(verifyArchivedDocument(document, { anchor }));
  const beyondLeaf = forge.document({ timestampMs: FORGED_AT_MS + 4 * 3_600_000 });
  await t.rejects(verifyArchivedDocument(beyondLeaf, { anchor }), invalidAt('3.8'));
});

t.test('the signature is checked over the bytes received: the same meaning in other bytes is refused', async (t) => {
  const form = { map: 'indefinite' } as const;
  const document = forge.document({ form });
  await t.resolves(live(document));
  const limits = { maxBytes: 20_000, maxDepth: 4, allowIndefinite: true };
  const parts = decodeStrict(document, limits);
  if (!Array.isArray(parts) || !(parts[2] instanceof Uint8Array)) throw new Error('the forge makes COSE_Sign1');
  const encodedAgain = encodeCanonical(decodeStrict(parts[2], limits));
  await t.rejects(live(encodeCanonical([parts[0], new Map(), encodedAgain, parts[3]])), invalidAt('5.2'));
});

t.test('a DER signature is refused, whole or cut to 96 bytes', async (t) => {
  const der = (signed: Uint8Array) => new Uint8Array(sign('sha384', signed, forge.chain.leafKey));
  const whole = forge.document({ form: { signature: (_, signed) => der(signed) } });
  await t.rejects(live(whole), invalidAt('1.6'));
  const cut = forge.document({ form: { signature: (_, signed) => der(signed).subarray(0, 96) } });
  await t.rejects(live(cut), invalidAt('5.2'));
});

t.test('every certificate’s validity is checked, not the leaf’s alone', async (t) => {
  for (const member of ['region', 'zonal', 'instance', 'leaf'] as const) {
    for (const validity of ['expired', 'not-yet-valid'] as const) {
      const document = forge.document({ variant: { members: { [member]: { validity } } } });
      await t.rejects(live(document), invalidAt('3.8'), `${member} ${validity}, live`);
      await t.rejects(
        verifyArchivedDocument(document, { anchor }),
        invalidAt('3.8'),
        `${member} ${validity}, archived`,
      );
    }
  }
});

t.test('a P-256 key is refused anywhere in the chain, though its signature would verify', async (t) => {
  for (const member of ['region', 'zonal', 'instance'] as const) {
    const document = forge.document({ variant: { members: { [member]: { curve: 'P-256' } } } });
    await t.rejects(live(document), invalidAt('3.3'), member);
  }
  const leaf = forge.document({ variant: { members: { leaf: { curve: 'P-256' } } } });
  await t.rejects(live(leaf), invalidAt('1.6'), 'a P-256 signature has 64 bytes');
  const padded = forge.document({
    variant: { members: { leaf: { curve: 'P-256' } } },
    form: { signature: (signature) => new Uint8Array(96).fill(1).map((_, index) => signature[index] ?? 0) },
  });
  await t.rejects(live(padded), invalidAt('3.3'), 'a P-256 leaf');
});

t.test('an algorithm other than ES384 is refused, wherever it stands', async (t) => {
  const header = (algorithm: number) => encodeCanonical(new Map([[1, algorithm]]));
  for (const algorithm of [-7, -36, -1, -37, 5]) {
    const document = forge.document({ form: { protectedHeader: header(algorithm) } });
    await t.rejects(live(document), invalidAt('1.4'), `protected ${algorithm}`);
  }
  const unprotectedHeader = new Map([[1, -35]]);
  await t.rejects(live(forge.document({ form: { unprotectedHeader } })), invalidAt('1.5'));
  await t.rejects(live(forge.document({ form: { protectedHeader: EMPTY, unprotectedHeader } })), invalidAt('1.4 1.5'));
  const critical = encodeCanonical(
    new Map([
      [1, -35],
      [2, 1],
    ]),
  );
  await t.rejects(live(forge.document({ form: { protectedHeader: critical } })), invalidAt('1.4'), 'a second entry');
});

t.test('a certificate signed with another digest is refused', async (t) => {
  for (const member of ['region', 'leaf'] as const) {
    const document = forge.document({ variant: { members: { [member]: { digest: 'SHA-256' } } } });
    await t.rejects(live(document), invalidAt('3.3'), member);
  }
});

t.test('a verified document of other code is trusted by nobody until its PCRs are looked at', async (t) => {
  const document = await live(forge.document({ pcrs: somePcrs().set(0, pcrOf(99)) }));
  t.equal(matchMeasurements(document, []).matched, undefined, 'an empty list trusts nobody');
  t.equal(matchMeasurements(document, [trustedMeasurement()]).matched, undefined, 'another image');
});

t.test('a signature of any other key is refused', async (t) => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
  const key = createPrivateKey(privateKey.export({ format: 'pem', type: 'pkcs8' }));
  const signature = (_: Uint8Array, signed: Uint8Array) =>
    new Uint8Array(sign('sha384', signed, { key, dsaEncoding: 'ieee-p1363' }));
  await t.rejects(live(forge.document({ form: { signature } })), invalidAt('5.2'));
  for (const fill of [0, 0xff]) {
    const constant = () => new Uint8Array(96).fill(fill);
    await t.rejects(live(forge.document({ form: { signature: constant } })), invalidAt('5.2'), `all ${fill}`);
  }
});
