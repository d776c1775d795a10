/** Every form that real devices write is read alike, and every malformed one is refused at its own check. */
import t from 'tap';
import { encodeCanonical } from '../../../../attestation/cbor.ts';
import type { DocumentForm, PayloadEntry } from '../../../../attestation/developer/sign-document.ts';
import { type DocumentInput, verifyLiveDocument } from '../../../../attestation/document/index.ts';
import { concatBytes } from '../../../../common/bytes.ts';
import {
  FORGED_AT_MS,
  FORGED_MODULE_ID,
  invalidAt,
  makeForge,
  pcrOf,
  somePcrs,
} from '../../../helpers/forge-document.ts';

const forge = makeForge();
const { anchor } = forge;
const live = (document: DocumentInput) => verifyLiveDocument(document, { anchor, nowMs: FORGED_AT_MS });
const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'));

/** A form with one entry of the payload changed, or left out. */
const withEntry = (name: string, encoded: Uint8Array | undefined): DocumentForm => ({
  entries: (entries) => [
    ...entries.filter(([key]) => key !== name),
    ...(encoded === undefined ? [] : [[name, encoded] satisfies PayloadEntry]),
  ],
});
const set = (name: string, value: Parameters<typeof encodeCanonical>[0]) => withEntry(name, encodeCanonical(value));

t.test('definite and indefinite maps, tagged or not, say the same', async (t) => {
  const indefinitePcrs = (pcrs: ReadonlyMap<number, Uint8Array>) =>
    concatBytes(bytes('bf'), ...[...pcrs].flatMap(([k, v]) => [encodeCanonical(k), encodeCanonical(v)]), bytes('ff'));
  const forms: DocumentForm[] = [
    { map: 'definite' },
    { map: 'indefinite' },
    { tagged: true },
    { tagged: true, map: 'definite' },
    { encodePcrs: indefinitePcrs },
    { entries: (entries) => [...entries].reverse() },
  ];
  for (const [index, form] of forms.entries()) {
    const document = await live(forge.document({ form, nonce: bytes('0102') }));
    t.equal(document.moduleId, FORGED_MODULE_ID, `form ${index}`);
    t.equal(document.instanceId, 'i-0123456789abcdef0', `form ${index}`);
    t.equal(document.timestampMs, FORGED_AT_MS, `form ${index}`);
    t.same(document.pcrs.get(7), pcrOf(7), `form ${index}`);
    t.same(document.nonce, bytes('0102'), `form ${index}`);
    t.equal(document.certificates, 5, `form ${index}`);
  }
});

t.test('optional fields that are null, absent or empty are not set', async (t) => {
  for (const unset of ['null', 'absent', 'empty'] as const) {
    const document = await live(forge.document({ form: { unset }, userData: bytes('aa') }));
    t.equal(document.nonce, undefined, unset);
    t.equal(document.publicKey, undefined, unset);
    t.same(document.userData, bytes('aa'), unset);
  }
});

t.test('optional fields of up to 1024 bytes are read', async (t) => {
  const full = new Uint8Array(1024).fill(7);
  const document = await live(forge.document({ publicKey: full, userData: full, nonce: full }));
  t.same([document.publicKey, document.userData, document.nonce], [full, full, full]);
});

t.test('16, 17 and 32 PCRs of an enclave and 24 of an EC2 instance are read', async (t) => {
  for (const count of [16, 17, 32]) {
    t.equal((await live(forge.document({ pcrs: somePcrs('enclave', count) }))).pcrs.size, count, `${count} PCRs`);
  }
  const document = await live(forge.document({ platform: 'nitro-tpm', moduleId: 'i-0abc-tpm0000000000000000' }));
  t.equal(document.platform, 'nitro-tpm');
  t.equal(document.instanceId, 'i-0abc');
  t.equal(document.pcrs.size, 24);
});

t.test('hex and base64 text and files of either are read', async (t) => {
  const document = forge.document();
  const hex = Buffer.from(document).toString('hex');
  const base64 = Buffer.from(document).toString('base64');
  const forms: DocumentInput[] = [
    hex,
    hex.toUpperCase(),
    `0x${hex}`,
    base64,
    base64.replace(/(.{76})/g, '$1\r\n'),
    Buffer.from(document).toString('base64url'),
    Buffer.from(`${base64}\n`),
    Buffer.from(document),
  ];
  for (const [index, form] of forms.entries()) await t.resolves(live(form), `form ${index}`);
});

t.test('input that is no document is refused before it is decoded', async (t) => {
  const document = forge.document();
  const inputs: [DocumentInput, string][] = [
    ['', 'nothing'],
    [new Uint8Array(0), 'no bytes'],
    ['no document!', 'neither hex nor base64'],
    ['abcdE', 'base64 of no length'],
    [concatBytes(document, new Uint8Array(16_640)), 'too many bytes'],
    ['a'.repeat(200_000), 'too much text'],
  ];
  for (const [input, why] of inputs) await t.rejects(live(input), invalidAt('1.1'), why);
});

t.test('a malformed envelope is refused at its own check', async (t) => {
  const document = forge.document();
  const rows: [string, string, Uint8Array][] = [
    ['1.2', 'trailing byte', concatBytes(document, bytes('00'))],
    ['1.2', 'a second document', concatBytes(document, document)],
    ['1.2', 'cut short', document.subarray(0, -1)],
    ['1.2', 'another tag', concatBytes(bytes('d3'), document)],
    ['1.2', 'the tag twice', concatBytes(bytes('d2d2'), document)],
    ['1.2', 'a tag in longer form', concatBytes(bytes('d812'), document)],
    ['1.2', 'an array head longer than needed', concatBytes(bytes('9804'), document.subarray(1))],
    ['1.2', 'nested too deep', bytes(`${'81'.repeat(4000)}00`)],
    ['1.2', 'a length beyond the end', bytes('9b00ffffffffffffff')],
    ['1.3', 'no array', bytes('f5')],
  ];
  for (const [check, why, input] of rows) await t.rejects(live(input), invalidAt(check), why);
  const parts = (...items: Parameters<typeof encodeCanonical>[0][]) => encodeCanonical(items);
  const header = bytes('a1013822');
  const signature = new Uint8Array(96);
  await t.rejects(live(parts(header, new Map(), header)), invalidAt('1.3'), 'three parts');
  await t.rejects(live(parts(header, new Map(), header, signature, 0)), invalidAt('1.3'), 'five parts');
  await t.rejects(live(parts(header, null, header, signature)), invalidAt('1.3'), 'no unprotected header');
  await t.rejects(live(parts('a', new Map(), header, signature)), invalidAt('1.3'), 'a protected header of text');
  await t.rejects(live(parts(header, new Map(), null, signature)), invalidAt('1.3'), 'a detached payload');
  await t.rejects(live(parts(header, new Map(), header, [...signature])), invalidAt('1.3'), 'a signature of integers');
  await t.rejects(live(parts(header, new Map(), new Uint8Array(0), signature)), invalidAt('1.7'), 'an empty payload');
  const large = new Uint8Array(16_385);
  await t.rejects(live(parts(header, new Map(), large, signature)), invalidAt('1.7'), 'a payload too large');
  for (const size of [0, 95, 97]) {
    const form = { signature: () => new Uint8Array(size) };
    await t.rejects(live(forge.document({ form })), invalidAt('1.6'), `a signature of ${size} bytes`);
  }
});

t.test('the protected header has one form only', async (t) => {
  for (const hex of ['', 'a0', 'bf013822ff', 'a101390022', 'a1013822ff', 'a1183822', 'a201382201 3822', '3822', 'f6']) {
    const form = { protectedHeader: bytes(hex.replace(' ', '')) };
    await t.rejects(live(forge.document({ form })), invalidAt('1.4'), hex);
  }
});

t.test('a payload that is not strict CBOR is refused, though it is signed', async (t) => {
  const rows: [string, (payload: Uint8Array) => Uint8Array][] = [
    ['trailing byte', (payload) => concatBytes(payload, bytes('00'))],
    ['a missing break', (payload) => payload.subarray(0, -1)],
    ['a list', () => bytes('80')],
    ['text', () => bytes('6161')],
    ['a key that is no text', (payload) => concatBytes(bytes('bf0000'), payload.subarray(1))],
    ['a key of bytes', (payload) => concatBytes(bytes('bf4100f6'), payload.subarray(1))],
    ['a float', (payload) => concatBytes(bytes('bf6161f93c00'), payload.subarray(1))],
    ['undefined', (payload) => concatBytes(bytes('bf6161f7'), payload.subarray(1))],
    ['a tag', (payload) => concatBytes(bytes('bf6161c000'), payload.subarray(1))],
    ['text in pieces', (payload) => concatBytes(bytes('bf61617f6161ff'), payload.subarray(1))],
    ['bytes in pieces', (payload) => concatBytes(bytes('bf61615f4100ff'), payload.subarray(1))],
    ['an integer longer than needed', (payload) => concatBytes(bytes('bf61611801'), payload.subarray(1))],
    ['text that is no UTF-8', (payload) => concatBytes(bytes('bf61ff00'), payload.subarray(1))],
    ['nested too deep', (payload) => concatBytes(bytes('bf6161818100'), payload.subarray(1))],
  ];
  for (const [why, payload] of rows)
    await t.rejects(live(forge.document({ form: { payload } })), invalidAt('2.1'), why);
});

t.test('a key that stands twice is refused, whichever it is', async (t) => {
  for (const name of ['module_id', 'digest', 'timestamp', 'pcrs', 'certificate', 'cabundle', 'nonce']) {
    const entries = (all: readonly PayloadEntry[]) => [...all, ...all.filter(([key]) => key === name)];
    await t.rejects(live(forge.document({ form: { entries } })), invalidAt('2.1'), name);
  }
  const encodePcrs = (pcrs: ReadonlyMap<number, Uint8Array>) =>
    concatBytes(
      bytes('a2'),
      ...[0, 0].flatMap((index) => [encodeCanonical(index), encodeCanonical(pcrs.get(index) ?? null)]),
    );
  await t.rejects(live(forge.document({ form: { encodePcrs } })), invalidAt('2.1'), 'PCR0 twice');
});

t.test('an unknown text key is no fault: a later device may write more', async (t) => {
  await t.resolves(live(forge.document({ form: set('later', 'more') })));
});

t.test('a field that is missing or of the wrong kind is refused at its own check', async (t) => {
  const pcrs = (map: ReadonlyMap<number | string, Uint8Array | null>) => set('pcrs', map);
  const rows: [string, string, DocumentForm][] = [
    ['2.2', 'no module id', withEntry('module_id', undefined)],
    ['2.2', 'an empty module id', set('module_id', '')],
    ['2.2', 'a module id of bytes', set('module_id', bytes('61'))],
    ['2.2', 'a module id with an escape sequence', set('module_id', 'i-1\u001b[31m')],
    ['2.2', 'a long module id', set('module_id', 'i'.repeat(257))],
    ['2.3', 'no digest', withEntry('digest', undefined)],
    ['2.3', 'another digest', set('digest', 'SHA256')],
    ['2.3', 'a digest of bytes', set('digest', bytes('534841333834'))],
    ['2.4', 'no timestamp', withEntry('timestamp', undefined)],
    ['2.4', 'timestamp 0', set('timestamp', 0)],
    ['2.4', 'a negative timestamp', set('timestamp', -1)],
    ['2.4', 'a timestamp of text', set('timestamp', '1768480200250')],
    ['2.4', 'a timestamp beyond every clock', set('timestamp', 0xffff_ffff_ffff_ffffn)],
    ['2.5', 'no PCRs', withEntry('pcrs', undefined)],
    ['2.5', 'both kinds of PCRs', set('nitrotpm_pcrs', somePcrs('nitro-tpm'))],
    ['2.6', 'PCRs in a list', set('pcrs', [pcrOf(0)])],
    ['2.6', 'no PCR in the map', pcrs(new Map())],
    ['2.6', 'PCR32', pcrs(new Map([[32, pcrOf(0)]]))],
    ['2.6', 'PCR-1', pcrs(new Map([[-1, pcrOf(0)]]))],
    ['2.6', 'a PCR named by text', pcrs(new Map([['0', pcrOf(0)]]))],
    ['2.6', 'a PCR of 32 bytes', pcrs(new Map([[0, pcrOf(0).subarray(16)]]))],
    ['2.6', 'a PCR of 64 bytes', pcrs(new Map([[0, new Uint8Array(64).fill(1)]]))],
    ['2.6', 'a PCR that is null', pcrs(new Map([[0, null]]))],
    ['2.6', '33 PCRs', set('pcrs', somePcrs('enclave', 33))],
    ['2.7', 'no certificate', withEntry('certificate', undefined)],
    ['2.7', 'an empty certificate', set('certificate', bytes(''))],
    ['2.7', 'a certificate of 1025 bytes', set('certificate', new Uint8Array(1025))],
    ['2.8', 'no bundle', withEntry('cabundle', undefined)],
    ['2.8', 'an empty bundle', set('cabundle', [])],
    ['2.8', 'a bundle of text', set('cabundle', ['a'])],
    ['2.8', 'an empty certificate in the bundle', set('cabundle', [anchor.certificate, bytes('')])],
    [
      '2.8',
      'nine certificates',
      set(
        'cabundle',
        Array.from({ length: 9 }, () => anchor.certificate),
      ),
    ],
    ['2.9', 'a nonce of text', set('nonce', 'nonce')],
    ['2.9', 'a nonce of 1025 bytes', set('nonce', new Uint8Array(1025))],
    ['2.9', 'a public key of 1025 bytes', set('public_key', new Uint8Array(1025))],
    ['2.9', 'user data of 1025 bytes', set('user_data', new Uint8Array(1025))],
    ['2.9', 'user data that is false', set('user_data', false)],
  ];
  for (const [check, why, form] of rows) await t.rejects(live(forge.document({ form })), invalidAt(check), why);
  const tpm = { platform: 'nitro-tpm', pcrs: new Map([[24, pcrOf(0)]]) } as const;
  await t.rejects(live(forge.document(tpm)), invalidAt('2.6'), 'PCR24 of a TPM');
});

t.test('everything wrong with a payload is told at once', async (t) => {
  const form = { entries: () => [['digest', encodeCanonical('SHA1')]] satisfies PayloadEntry[] };
  await t.rejects(live(forge.document({ form })), invalidAt('2.2 2.3 2.4 2.5 2.7 2.8'));
});
