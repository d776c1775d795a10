/** Explanations: numbered checks, every reason at once, and never an exception. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import t from 'tap';
import { encodeCanonical } from '../../../../attestation/cbor.ts';
import type { PayloadEntry } from '../../../../attestation/developer/sign-document.ts';
import {
  CHECKS,
  type Check,
  type DocumentInput,
  type ExplainOptions,
  type Explanation,
  explainDocument,
  formatExplanation,
} from '../../../../attestation/document/index.ts';
import { FORGED_AT_MS, makeForge, pcrOf, somePcrs, trustedMeasurement } from '../../../helpers/forge-document.ts';

const forge = makeForge();
const live = { kind: 'live', nowMs: FORGED_AT_MS } as const;
const explain = (document: DocumentInput, o: Partial<ExplainOptions> = {}) =>
  explainDocument(document, { anchor: forge.anchor, time: live, ...o });
const flat = (checks: readonly Check[]): Check[] => checks.flatMap((check) => [check, ...flat(check.checks ?? [])]);
const find = (explanation: Explanation, number: string) =>
  flat(explanation.checks).find((check) => check.number === number);

t.test('a good document passes every check that was asked for', async (t) => {
  const nonce = Uint8Array.of(1, 2, 3);
  const document = forge.document({ nonce, userData: Uint8Array.of(4), publicKey: Uint8Array.of(5) });
  const expect = { nonce, userData: Uint8Array.of(4), publicKey: Uint8Array.of(5) };
  const explanation = await explain(document, { measurements: [trustedMeasurement()], expect });
  t.ok(explanation.ok && explanation.parsed && explanation.verified);
  t.equal(explanation.release, '1.0.0');
  t.same(
    flat(explanation.checks).filter(({ status }) => status !== 'passed'),
    [],
  );
  t.equal(explanation.facts?.nonce, '010203');
  t.equal(explanation.facts?.certificates.length, 5);
});

t.test('what was not asked for is not reached and no failure', async (t) => {
  const explanation = await explain(forge.document());
  t.ok(explanation.ok);
  for (const number of ['6.1', '6.2', '7.1', '7.2', '7.3']) {
    t.equal(find(explanation, number)?.status, 'not-reached', number);
  }
  t.equal(find(explanation, '7')?.status, 'not-reached');
});

t.test('everything that is wrong is told at once, across groups', async (t) => {
  const variant = {
    members: { zonal: { validity: 'expired' }, region: { pathLen: 0 }, leaf: { signedByStranger: true } },
  } as const;
  const document = forge.document({
    variant,
    timestampMs: FORGED_AT_MS - 3_600_000,
    pcrs: somePcrs().set(1, pcrOf(60)),
  });
  const explanation = await explain(document, {
    measurements: [trustedMeasurement()],
    expect: { nonce: Uint8Array.of(1), userData: Uint8Array.of(2) },
  });
  t.notOk(explanation.ok);
  t.ok(explanation.parsed);
  t.notOk(explanation.verified);
  const failed = flat(explanation.checks).filter(({ status, checks }) => status === 'failed' && !checks);
  t.same(
    failed.map(({ number }) => number),
    ['3.5', '3.8', '4.2', '5.1', '6.2', '7.1', '7.3'],
  );
  t.equal(find(explanation, '5.2')?.status, 'passed', 'the leaf did sign it');
  t.match(formatExplanation(explanation), 'NOT verified');
});

t.test('every PCR that differs is told with both values', async (t) => {
  const document = forge.document({ pcrs: somePcrs().set(0, pcrOf(60)).set(2, pcrOf(61)) });
  const explanation = await explain(document, { measurements: [trustedMeasurement()] });
  t.same(
    explanation.mismatches.map(({ pcr, expected, actual }) => [pcr, expected.slice(0, 4), actual?.slice(0, 4)]),
    [
      [0, '0104', 'a5a8'],
      [2, '0f12', 'acaf'],
    ],
  );
  const text = formatExplanation(explanation);
  t.match(text, /PCR0 expected 0104.*actual a5a8/);
  t.match(text, /PCR2 expected 0f12.*actual acaf/);
});

t.test('checks behind an unreadable part are not reached', async (t) => {
  const explanation = await explain(forge.document().subarray(0, 400));
  t.notOk(explanation.ok || explanation.parsed || explanation.verified);
  t.equal(explanation.facts, undefined);
  t.equal(find(explanation, '1.2')?.status, 'failed');
  const later = flat(explanation.checks).filter(({ number }) => number > '1.3');
  t.ok(later.every(({ status }) => status === 'not-reached'));
});

t.test('a wrong header, signature or field hides nothing of what stands behind it', async (t) => {
  const form = {
    protectedHeader: Uint8Array.of(0xa1, 0x01, 0x26),
    signature: (raw: Uint8Array) => raw.subarray(1),
    entries: (entries: readonly PayloadEntry[]) =>
      entries
        .filter(([name]) => name !== 'module_id')
        .map((entry): PayloadEntry => (entry[0] === 'nonce' ? ['nonce', encodeCanonical('text')] : entry)),
  };
  const variant = { members: { zonal: { validity: 'expired' }, leaf: { curve: 'P-256' } } } as const;
  const document = forge.document({ form, variant, pcrs: somePcrs().set(1, pcrOf(60)) });
  const explanation = await explain(document, { measurements: [trustedMeasurement()], expect: { nonce: pcrOf(1) } });
  t.ok(explanation.parsed, 'it is COSE_Sign1 over a map: the tree says the rest');
  t.notOk(explanation.ok || explanation.verified);
  const failed = flat(explanation.checks).filter(({ status, checks }) => status === 'failed' && !checks);
  t.same(
    failed.map(({ number }) => number),
    ['1.4', '1.6', '2.2', '2.9', '3.3', '3.8', '6.2'],
  );
  t.equal(find(explanation, '5.2')?.status, 'not-reached', 'there is no signature to check');
  t.equal(find(explanation, '7.1')?.status, 'not-reached', 'what could not be read is not compared');
  t.match(formatExplanation(explanation), /module {6}cannot be read/);
});

t.test('without a readable time the rest is still judged', async (t) => {
  const entries = (all: readonly PayloadEntry[]) => all.filter(([name]) => name !== 'timestamp');
  const document = forge.document({ form: { entries } });
  const archived = await explain(document, { time: { kind: 'archived' } });
  t.equal(find(archived, '3.8')?.status, 'not-reached');
  t.equal(find(archived, '5.2')?.status, 'passed');
  t.notOk(archived.ok || archived.verified);
  t.equal(find(await explain(document), '3.8')?.status, 'passed', 'a live one is judged at our time');
});

t.test('every PCR of every release is there with both values, equal or not', async (t) => {
  const document = forge.document({ pcrs: new Map([...somePcrs()].filter(([index]) => index !== 2)) });
  const other = trustedMeasurement('nitro-tpm', { release: '2.0.0' });
  const explanation = await explain(document, { measurements: [trustedMeasurement(), other] });
  const hex = (number: number): string => Buffer.from(pcrOf(number)).toString('hex');
  t.same(explanation.comparisons, [
    {
      release: '1.0.0',
      role: 'engine',
      pcrs: [
        { pcr: 0, expected: hex(0), actual: hex(0), equal: true },
        { pcr: 1, expected: hex(1), actual: hex(1), equal: true },
        { pcr: 2, expected: hex(2), equal: false },
      ],
    },
  ]);
  t.match(formatExplanation(explanation), /PCR1 +equal .*\n.*\n +PCR2 +DIFFERS/);
});

t.test('a nonce that nobody asked for fails when bindings are judged', async (t) => {
  const explanation = await explain(forge.document({ nonce: Uint8Array.of(1) }), { expect: {} });
  t.notOk(explanation.ok);
  t.equal(find(explanation, '7.1')?.status, 'failed');
});

t.test('an expected field that is not set fails', async (t) => {
  const explanation = await explain(forge.document(), { expect: { publicKey: Uint8Array.of(1) } });
  t.equal(find(explanation, '7.2')?.detail, 'expected 01, actual not set');
});

t.test('an empty list of releases fails: it trusts nobody', async (t) => {
  const explanation = await explain(forge.document(), { measurements: [] });
  t.notOk(explanation.ok);
  t.equal(find(explanation, '6.2')?.detail, 'no release is trusted');
});

t.test('the tree has every numbered check once, whatever the document', async (t) => {
  for (const document of [forge.document(), new Uint8Array(0), '!']) {
    const { checks } = await explain(document);
    const numbers = checks.flatMap((group) => group.checks ?? []).map(({ number }) => number);
    t.same(numbers, Object.keys(CHECKS));
  }
});

t.test('an explanation is plain JSON and its text has no control characters', async (t) => {
  const explanation = await explain(forge.document(), { measurements: [trustedMeasurement()] });
  t.same(JSON.parse(JSON.stringify(explanation)), explanation);
  const text = formatExplanation(explanation);
  t.notMatch(text.replaceAll('\n', ''), /\p{Cc}/u);
  t.match(text, /^The document holds\.\n/);
  t.match(text, /^ {2}5\.2 .*: ok$/m);
});

t.test('no input makes it throw', async (t) => {
  const good = forge.document();
  const anything = fc.oneof(
    fc.string({ maxLength: 200 }),
    fc.uint8Array({ maxLength: 300 }),
    fc.uint8Array({ maxLength: 300 }).map((tail) => Uint8Array.from([...good.subarray(0, 9), ...tail])),
  );
  await fc.assert(fc.asyncProperty(anything, async (input) => !(await explain(input)).ok));
  t.pass('1 property');
});

t.test('the manual lists every check with its number and title', async (t) => {
  const manual = readFileSync(new URL('../../../../docs/attestation.md', import.meta.url), 'utf8');
  const rows = [...manual.matchAll(/^\| (\d\.\d) \| (.+) \|$/gm)].map((row) => [row[1], row[2]]);
  t.same(rows, Object.entries(CHECKS));
});
