/** What a forge that shares no code with ours found: times that are none, chains with a member twice, odd DER. */
import { generateKeyPairSync, sign } from 'node:crypto';
import t from 'tap';
import {
  type DocumentInput,
  explainDocument,
  type LiveOptions,
  VerifiedDocument,
  verifyArchivedDocument,
  verifyLiveDocument,
} from '../../../../attestation/document/index.ts';
import { parseCertificate } from '../../../../attestation/x509/certificate.ts';
import { readDer, readItems } from '../../../../attestation/x509/der.ts';
import { DER_TAG, encodeDer, encodeOid } from '../../../../attestation/x509/der-encode.ts';
import {
  basicConstraints,
  encodeName,
  encodeTbsCertificate,
  keyUsage,
} from '../../../../attestation/x509/encode-certificate.ts';
import { OID } from '../../../../attestation/x509/oids.ts';
import { concatBytes } from '../../../../common/bytes.ts';
import { FORGED_AT_MS, invalidAt, makeForge } from '../../../helpers/forge-document.ts';

const forge = makeForge();
const { anchor } = forge;
const live = (document: DocumentInput, o: Partial<LiveOptions> = {}) =>
  verifyLiveDocument(document, { anchor, nowMs: FORGED_AT_MS, ...o });

t.test('a certificate that stands in the chain twice is refused, the root included', async (t) => {
  const bundle = (cabundle: readonly Uint8Array[]) => [...cabundle.slice(0, 1), ...cabundle];
  const document = forge.document({ variant: { bundle } });
  await t.rejects(live(document), invalidAt('3.9'));
  await t.rejects(verifyArchivedDocument(document, { anchor }), invalidAt('3.9'));
});

t.test('a certificate that ends before it begins is refused, however far validity is stretched', async (t) => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
  const name = encodeName([[OID.commonName, 'r']]);
  const tbs = encodeTbsCertificate({
    serial: Uint8Array.of(1),
    issuer: name,
    subject: name,
    notBeforeMs: FORGED_AT_MS + 10_000,
    notAfterMs: FORGED_AT_MS - 10_000,
    publicKey: publicKey.export({ type: 'spki', format: 'der' }),
    digest: 'SHA-384',
    extensions: [basicConstraints(true), keyUsage(['keyCertSign'])],
  });
  const root = certificateOf(tbs, sign('sha384', tbs, privateKey));
  const chain = { ...forge.chain, cabundle: [root, ...forge.chain.cabundle.slice(1)] };
  const explanation = await explainDocument(forge.document({ chain }), {
    anchor: { name: 'odd', certificate: root },
    time: { kind: 'live', nowMs: FORGED_AT_MS },
  });
  const validity = explanation.checks.flatMap(({ checks = [] }) => checks).find(({ number }) => number === '3.8');
  t.equal(validity?.detail, 'certificate 1 of 5 ends before it begins');
});

t.test('parameters of ecdsa-with-SHA384 are refused: it has none', async (t) => {
  const { tbs, signature } = parseCertificate(forge.chain.leaf);
  t.doesNotThrow(() => parseCertificate(certificateOf(tbs, signature)));
  const none = Uint8Array.of(5, 0);
  const parts = readItems(readDer(tbs, DER_TAG.sequence)).map(({ whole }) => whole);
  const odd = encodeDer(DER_TAG.sequence, concatBytes(...parts.with(2, algorithm(none))));
  t.throws(() => parseCertificate(certificateOf(odd, signature, none)), /parameters of an algorithm/);
});

t.test('a time or a limit that is no finite number is refused, and switches nothing off', async (t) => {
  const document = forge.document({ timestampMs: FORGED_AT_MS - 86_400_000 });
  const bad: [string, Partial<LiveOptions>][] = [
    ['now NaN', { nowMs: Number.NaN }],
    ['now beyond all dates', { nowMs: 1e20 }],
    ['now as text', JSON.parse('{"nowMs":"1768480200250"}')],
    ['age NaN', { maxAgeMs: Number.NaN }],
    ['age infinite', { maxAgeMs: Number.POSITIVE_INFINITY }],
    ['age negative', { maxAgeMs: -1 }],
    ['skew NaN', { skewMs: Number.NaN }],
    ['skew infinite', { skewMs: Number.POSITIVE_INFINITY }],
    ['skew null', JSON.parse('{"skewMs":null}')],
  ];
  for (const [why, o] of bad) {
    await t.rejects(live(document, o), { code: 'REQUEST_INVALID' }, why);
    const time = { kind: 'live', nowMs: FORGED_AT_MS, ...o } as const;
    await t.rejects(explainDocument(document, { anchor, time }), { code: 'REQUEST_INVALID' }, why);
  }
});

t.test('what is neither bytes nor text is a failed check, not an exception of another kind', async (t) => {
  for (const json of ['null', '5', '{}', '[132,68]', '{"length":5}', 'true']) {
    await t.rejects(live(JSON.parse(json)), invalidAt('1.1'), json);
  }
});

t.test('the class of verified documents cannot be changed by those who hold it', async (t) => {
  t.ok(Object.isFrozen(VerifiedDocument));
  t.ok(Object.isFrozen(VerifiedDocument.prototype));
});

/** Puts a certificate together, with parameters of its algorithm if told so. */
function certificateOf(tbs: Uint8Array, signature: Uint8Array, parameters?: Uint8Array): Uint8Array {
  const bits = encodeDer(DER_TAG.bitString, Uint8Array.of(0, ...signature));
  return encodeDer(DER_TAG.sequence, Uint8Array.from([...tbs, ...algorithm(parameters), ...bits]));
}

function algorithm(parameters: Uint8Array = new Uint8Array(0)): Uint8Array {
  return encodeDer(DER_TAG.sequence, Uint8Array.from([...encodeOid(OID.ecdsaWithSha384), ...parameters]));
}
