/** A document that the AWS hypervisor signed, and the root it chains to. Origin: the vector file. */
import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import t from 'tap';
import {
  AWS_NITRO_ROOT,
  explainDocument,
  matchMeasurements,
  verifyArchivedDocument,
  verifyLiveDocument,
} from '../../../../attestation/document/index.ts';
import { invalidAt, makeForge, trustedMeasurement } from '../../../helpers/forge-document.ts';

const vector: { sha256: string; document: string } = JSON.parse(
  readFileSync(new URL('../../../vectors/attestation/aws-debug-2024-11.json', import.meta.url), 'utf8'),
);
const SIGNED_AT_MS = Date.parse('2024-11-14T23:46:29.450Z');
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

t.test('the pinned root is the one that AWS publishes', async (t) => {
  t.equal(sha256(AWS_NITRO_ROOT.certificate), '641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b');
  const root = new X509Certificate(AWS_NITRO_ROOT.certificate);
  t.equal(root.subject, 'C=US\nO=Amazon\nOU=AWS\nCN=aws.nitro-enclaves');
  t.ok(root.verify(root.publicKey), 'it is signed by itself');
});

t.test('a document of a real enclave verifies as archived evidence', async (t) => {
  t.equal(sha256(Buffer.from(vector.document, 'base64')), vector.sha256, 'the vector is whole');
  const document = await verifyArchivedDocument(vector.document, { anchor: AWS_NITRO_ROOT });
  t.equal(document.platform, 'enclave');
  t.equal(document.moduleId, 'i-0f73a4b4cb74cc9f2-enc0192e4188fef781d');
  t.equal(document.instanceId, 'i-0f73a4b4cb74cc9f2');
  t.equal(document.timestampMs, SIGNED_AT_MS);
  t.equal(document.pcrs.size, 16);
  t.equal(document.userData?.length, 32);
  t.equal(document.publicKey, undefined);
  t.equal(document.notAfterMs, Date.parse('2024-11-15T00:24:29Z'), 'the leaf ends first');
});

t.test('PCR4 of a real document is the extension of zero by the instance id', async (t) => {
  const document = await verifyArchivedDocument(vector.document, { anchor: AWS_NITRO_ROOT });
  const expected = createHash('sha384').update(new Uint8Array(48)).update(document.instanceId).digest();
  t.same(Buffer.from(document.pcrs.get(4) ?? []), expected);
});

t.test('a real document of 2024 is no live document today, but was one when it was made', async (t) => {
  const anchor = AWS_NITRO_ROOT;
  await t.resolves(verifyLiveDocument(vector.document, { anchor, nowMs: SIGNED_AT_MS + 10_000 }));
  const nowMs = SIGNED_AT_MS + 365 * 86_400_000;
  await t.rejects(verifyLiveDocument(vector.document, { anchor, nowMs }), invalidAt('3.8 4.2'));
});

t.test('a developer’s root refuses a real document, and the production root a developer’s', async (t) => {
  const forge = makeForge();
  await t.rejects(verifyArchivedDocument(vector.document, { anchor: forge.anchor }), { code: 'ATTESTATION_INVALID' });
  const refusal = verifyArchivedDocument(forge.document(), { anchor: AWS_NITRO_ROOT });
  await t.rejects(refusal, { code: 'ATTESTATION_INVALID' });
});

t.test('the real enclave ran in debug mode, so no release is its own', async (t) => {
  const document = await verifyArchivedDocument(vector.document, { anchor: AWS_NITRO_ROOT });
  t.equal(matchMeasurements(document, [trustedMeasurement()]).matched, undefined);
  const measurements = [trustedMeasurement()];
  const { checks } = await explainDocument(vector.document, {
    anchor: AWS_NITRO_ROOT,
    time: { kind: 'archived' },
    measurements,
  });
  const detail = checks.flatMap((group) => group.checks ?? []).find(({ number }) => number === '6.1')?.detail;
  t.equal(detail, 'PCR0 is zero: debug mode; PCR1 is zero: debug mode; PCR2 is zero: debug mode');
});
