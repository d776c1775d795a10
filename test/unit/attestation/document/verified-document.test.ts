/** What has verified can be neither imitated nor changed. */
import t from 'tap';
import {
  assertVerified,
  ChainCache,
  matchMeasurements,
  VerifiedDocument,
  verifyLiveDocument,
} from '../../../../attestation/document/index.ts';
import {
  FORGED_AT_MS,
  FORGED_MODULE_ID,
  invalidAt,
  makeForge,
  pcrOf,
  somePcrs,
  trustedMeasurement,
} from '../../../helpers/forge-document.ts';

const forge = makeForge();
const { anchor } = forge;
const live = (fields = {}) => verifyLiveDocument(forge.document(fields), { anchor, nowMs: FORGED_AT_MS });

t.test('only the verifier makes a verified document: copies and look-alikes are refused at run time', async (t) => {
  const document = await live();
  t.doesNotThrow(() => assertVerified(document));
  const lookAlike = { platform: 'enclave', moduleId: FORGED_MODULE_ID, pcrs: somePcrs() };
  const imitations: [string, unknown][] = [
    ['a spread copy', { ...document }],
    ['a structured clone', structuredClone(document)],
    ['an object of the same prototype', Object.create(VerifiedDocument.prototype)],
    ['an object that inherits from it', Object.create(document)],
    ['a proxy', new Proxy(document, {})],
    ['an object with another’s prototype', Object.setPrototypeOf(lookAlike, VerifiedDocument.prototype)],
    ['a plain object', lookAlike],
    ['nothing', undefined],
    ['null', null],
    ['text', 'document'],
  ];
  for (const [why, value] of imitations) {
    t.throws(() => assertVerified(value), { code: 'ATTESTATION_INVALID' }, why);
    const match = () => Reflect.apply(matchMeasurements, undefined, [value, [trustedMeasurement()]]);
    t.throws(match, { code: 'ATTESTATION_INVALID' }, `${why}, where it is consumed`);
  }
});

t.test('the constructor cannot be called from outside', async (t) => {
  const content = { pcrs: somePcrs() };
  t.throws(() => Reflect.construct(VerifiedDocument, [Symbol('verifier'), content]), { code: 'INTERNAL' });
  t.throws(() => Reflect.construct(VerifiedDocument, []), { code: 'INTERNAL' });
  t.throws(() => VerifiedDocument.make(Symbol.for('verifier'), Object(content)), { code: 'INTERNAL' });
});

t.test('a verified document cannot be changed by those it is given to, nor by who gave the bytes', async (t) => {
  const bytes = forge.document({ nonce: Uint8Array.of(1, 2) });
  const document = await verifyLiveDocument(bytes, { anchor, nowMs: FORGED_AT_MS });
  bytes.fill(0);
  t.same(document.pcrs.get(0), pcrOf(0));
  document.pcrs.get(0)?.fill(9);
  document.nonce?.fill(9);
  t.same(document.pcrs.get(0), pcrOf(0));
  t.same(document.nonce, Uint8Array.of(1, 2));
  t.throws(() => Object.defineProperty(document, 'pcrs', { value: new Map() }), TypeError);
  t.throws(() => Object.assign(document, { moduleId: 'other' }), TypeError);
});

t.test('a module id without an instance is its own instance', async (t) => {
  for (const [moduleId, instanceId] of [
    ['i-0a-enc01', 'i-0a'],
    ['i-0a-tpm0000000000000000', 'i-0a'],
    ['dev-1', 'dev-1'],
    ['-enc01', '-enc01'],
  ] as const) {
    t.equal((await live({ moduleId })).instanceId, instanceId, moduleId);
  }
});

t.test('validity is that of the whole chain', async (t) => {
  const document = await live();
  t.equal(document.notBeforeMs, forge.chain.notBeforeMs);
  t.equal(document.notAfterMs, forge.chain.notAfterMs);
  t.equal(document.anchorName, 'test root');
});

t.test('a moment that is none is refused rather than compared with', async (t) => {
  for (const nowMs of [Number.NaN, Number.POSITIVE_INFINITY]) {
    const refusal = verifyLiveDocument(forge.document(), { anchor, nowMs });
    await t.rejects(refusal, { code: 'REQUEST_INVALID' }, `${nowMs}`);
  }
});

t.test('skew and age are the caller’s to set', async (t) => {
  const document = forge.document();
  const at = (nowMs: number, o: { maxAgeMs?: number; skewMs?: number }) =>
    verifyLiveDocument(document, { anchor, nowMs, ...o });
  await t.resolves(at(FORGED_AT_MS + 59_000, { maxAgeMs: 60_000, skewMs: 0 }));
  await t.rejects(at(FORGED_AT_MS + 61_000, { maxAgeMs: 60_000, skewMs: 0 }), invalidAt('4.2'));
  await t.rejects(at(FORGED_AT_MS - 1, { skewMs: 0 }), invalidAt('4.1'));
});

t.test('a chain that the cache knows verifies alike, and what is wrong is still refused', async (t) => {
  const cache = new ChainCache();
  const nowMs = FORGED_AT_MS;
  await verifyLiveDocument(forge.document(), { anchor, nowMs, cache });
  t.equal(cache.size, 5, 'every front part of the chain is known');
  await t.resolves(verifyLiveDocument(forge.document(), { anchor, nowMs, cache }));
  const cut = {
    document: (bytes: Uint8Array) => bytes.map((byte, index) => byte ^ (index === bytes.length - 1 ? 1 : 0)),
  };
  await t.rejects(verifyLiveDocument(forge.document({ form: cut }), { anchor, nowMs, cache }), invalidAt('5.2'));
  const variant = { members: { leaf: { signedByStranger: true } } };
  const bad = forge.document({ variant });
  await t.rejects(verifyLiveDocument(bad, { anchor, nowMs, cache }), invalidAt('5.1'));
  t.equal(cache.size, 5, 'nothing is remembered of what was refused');
  const later = nowMs + 4 * 3_600_000;
  await t.rejects(verifyLiveDocument(forge.document(), { anchor, nowMs: later, cache }), invalidAt('3.8 4.2'));
  const stranger = makeForge();
  const underStranger = { bundle: (all: readonly Uint8Array[]) => [stranger.root.certificate, ...all.slice(1)] };
  const other = verifyLiveDocument(forge.document({ variant: underStranger }), {
    anchor: stranger.anchor,
    nowMs,
    cache,
  });
  await t.rejects(other, invalidAt('5.1'), 'what is known is known under one anchor');
});

t.test('the cache is bounded and forgets what was not used for longest', async (t) => {
  const cache = new ChainCache({ maxEntries: 7 });
  const nowMs = FORGED_AT_MS;
  for (let i = 0; i < 4; i++) await verifyLiveDocument(forge.document({ variant: {} }), { anchor, nowMs, cache });
  t.equal(cache.size, 7);
});
