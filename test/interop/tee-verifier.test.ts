/**
 * An independent verifier of Nitro documents (@0xsequence/tee-verifier 0.1.2, on pkijs and its own cbor2) beside
 * ours, on documents good and bad. Where it takes what we refuse, or the reverse, the row says why.
 */
import { sign } from 'node:crypto';
import t from 'tap';
import { encodeCanonical } from '../../attestation/cbor.ts';
import type { ChainMember } from '../../attestation/developer/chain.ts';
import type { DocumentForm, PayloadEntry } from '../../attestation/developer/sign-document.ts';
import { verifyLiveDocument } from '../../attestation/document/index.ts';
import { encodeDer } from '../../attestation/x509/der-encode.ts';
import { concatBytes } from '../../common/bytes.ts';
import { FORGED_AT_MS, type ForgedFields, makeForge, pcrOf, somePcrs } from '../helpers/forge-document.ts';

// It asks for a browser's `window`, for crypto alone.
Reflect.set(globalThis, 'window', globalThis);
const { SignedAttestation } = await import('@0xsequence/tee-verifier');

const forge = makeForge();
const stranger = makeForge();
const { anchor } = forge;
const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'));

/** Theirs, used as its own fetch wrapper does: chain at a date, fingerprint of the root, signature. */
async function theirs(document: Uint8Array): Promise<boolean> {
  try {
    const attestation = SignedAttestation.fromDocument(Buffer.from(document).toString('base64'));
    const digest = await crypto.subtle.digest('SHA-256', Uint8Array.from(anchor.certificate));
    const trusted = (await attestation.rootCertFingerprint()) === Buffer.from(digest).toString('hex');
    const chain = await attestation.verifyRootOfTrust(new Date(FORGED_AT_MS));
    return trusted && chain && (await attestation.verifySignature());
  } catch {
    return false;
  }
}

async function ours(document: Uint8Array): Promise<boolean> {
  return verifyLiveDocument(document, { anchor, nowMs: FORGED_AT_MS }).then(
    () => true,
    () => false,
  );
}

const entry = (name: string, encoded: Uint8Array): DocumentForm => ({
  entries: (all) => [...all.filter(([key]) => key !== name), [name, encoded] satisfies PayloadEntry],
});
const without = (name: string): DocumentForm => ({ entries: (all) => all.filter(([key]) => key !== name) });
const inFront = (hex: string): DocumentForm => ({
  payload: (payload) => concatBytes(bytes(hex), payload.subarray(1)),
});
const variant = (member: ChainMember, change: object): ForgedFields => ({ variant: { members: { [member]: change } } });
const bundle = (change: (all: readonly Uint8Array[]) => readonly Uint8Array[]): ForgedFields => ({
  variant: { bundle: change },
});
const critical = { oid: '1.2.3.4', critical: true, value: encodeDer(0x05, new Uint8Array(0)) };
const flip = (at: (length: number) => number) => (document: Uint8Array) =>
  document.map((byte, index) => (index === at(document.length) ? byte ^ 1 : byte));

/** Both take these. */
const GOOD: readonly [string, ForgedFields][] = [
  ['the form of today', {}],
  ['a definite map', { form: { map: 'definite' } }],
  ['fields that are absent', { form: { unset: 'absent' } }],
  ['fields that are empty', { form: { unset: 'empty' } }],
  ['a nonce', { nonce: bytes('01') }],
  ['user data', { userData: new Uint8Array(512).fill(1) }],
  ['a public key', { publicKey: new Uint8Array(1024).fill(1) }],
  ['all three', { nonce: bytes('01'), userData: bytes('02'), publicKey: bytes('03') }],
  ['17 PCRs', { pcrs: somePcrs('enclave', 17) }],
  ['32 PCRs', { pcrs: somePcrs('enclave', 32) }],
  ['zero PCRs: neither verifier judges releases', { pcrs: new Map([[0, new Uint8Array(48)]]) }],
  ['another order of fields', { form: { entries: (all) => [...all].reverse() } }],
  ['an unknown field', { form: entry('later', encodeCanonical(1)) }],
  ['a shorter chain', { variant: { omit: ['zonal'] } }],
  ['a root that signs the leaf', { variant: { omit: ['region', 'zonal', 'instance'] } }],
  ['no path length', variant('region', { pathLen: 'absent' })],
  ['a document of another module', { moduleId: 'i-0-enc0' }],
];

/** Both refuse these. */
const BAD: readonly [string, ForgedFields][] = [
  ['a signature changed', { form: { document: flip((length) => length - 1) } }],
  ['a payload changed', { form: { document: flip(() => 40) } }],
  ['a protected header changed', { form: { document: flip(() => 5) } }],
  ['a DER signature', { form: { signature: (_, signed) => sign('sha384', signed, forge.chain.leafKey) } }],
  ['no signature', { form: { signature: () => new Uint8Array(0) } }],
  ['a signature of zeros', { form: { signature: () => new Uint8Array(96) } }],
  ['a signature cut', { form: { signature: (signature) => signature.subarray(1) } }],
  ['cut', { form: { document: (document) => document.subarray(0, -1) } }],
  ['a byte after it', { form: { document: (document) => concatBytes(document, bytes('00')) } }],
  ['a byte after its payload', { form: { payload: (payload) => concatBytes(payload, bytes('00')) } }],
  ['a payload that is no map', { form: { payload: () => bytes('80') } }],
  ['a key that is no text', { form: inFront('bf0000') }],
  ['no certificate', { form: without('certificate') }],
  ['a certificate that is none', { form: entry('certificate', encodeCanonical(bytes('3000'))) }],
  ['no PCRs', { form: without('pcrs') }],
  ['an expired leaf', variant('leaf', { validity: 'expired' })],
  ['a leaf of tomorrow', variant('leaf', { validity: 'not-yet-valid' })],
  ['an expired instance certificate', variant('instance', { validity: 'expired' })],
  ['an expired zonal certificate', variant('zonal', { validity: 'expired' })],
  ['an expired region certificate', variant('region', { validity: 'expired' })],
  ['a leaf signed by a stranger', variant('leaf', { signedByStranger: true })],
  ['a region signed by a stranger', variant('region', { signedByStranger: true })],
  ['another issuer', variant('instance', { issuerName: 'stranger' })],
  ['no authority', variant('zonal', { ca: false, pathLen: 'absent' })],
  ['an authority without basic constraints', variant('zonal', { without: ['basicConstraints'] })],
  ['an authority that may not sign', variant('zonal', { keyUsage: ['digitalSignature'] })],
  ['a certificate of version 1', variant('zonal', { version: 1 })],
  ['a chain with a gap', bundle((all) => all.filter((_, index) => index !== 2))],
  ['a bundle without its root', bundle((all) => all.slice(1))],
  ['an empty bundle', bundle(() => [])],
];

/** We refuse what it takes, and why. */
const STRICTER: readonly [string, ForgedFields][] = [
  ['the timestamp is not compared with now', { timestampMs: FORGED_AT_MS - 3_600_000 }],
  ['a timestamp of 0 is taken in archives', { timestampMs: 0 }],
  ['the unprotected header is not looked at', { form: { unprotectedHeader: new Map([[1, -7]]) } }],
  ['the algorithm of the protected header is not looked at', { form: { protectedHeader: bytes('a10126') } }],
  ['of a field that stands twice the last is taken', { form: { entries: (all) => [...all, ...all.slice(0, 1)] } }],
  ['heads longer than needed are taken', { form: inFront('bf61611801') }],
  ['PCRs of any length are taken', { pcrs: new Map([[0, pcrOf(0).subarray(16)]]) }],
  ['PCR99 is taken', { pcrs: new Map([[99, pcrOf(0)]]) }],
  ['both PCR maps are taken', { form: entry('nitrotpm_pcrs', encodeCanonical(somePcrs('nitro-tpm'))) }],
  ['any digest is taken', { form: entry('digest', encodeCanonical('SHA256')) }],
  ['no module id is taken', { form: without('module_id') }],
  ['fields of any length are taken', { nonce: new Uint8Array(2000) }],
  ['a leaf that is an authority is taken', variant('leaf', { ca: true })],
  ['a leaf that may not sign is taken', variant('leaf', { keyUsage: ['keyAgreement'] })],
  ['a leaf without key usage is taken', variant('leaf', { without: ['keyUsage'] })],
  ['a certificate signed with SHA-256 is taken', variant('leaf', { digest: 'SHA-256' })],
  ['a P-256 authority is taken', variant('instance', { curve: 'P-256' })],
  ['an authority without key usage is taken', variant('zonal', { without: ['keyUsage'] })],
  ['the path length is not counted', variant('region', { pathLen: 0 })],
  ['an unknown critical extension is taken', variant('leaf', { extraExtensions: [critical] })],
];

/** We take what it refuses, and why. */
const LAXER: readonly [string, ForgedFields][] = [
  ['COSE’s tag 18: it wants the bare array; the standard allows both', { form: { tagged: true } }],
  ['the document of an EC2 instance: it knows enclaves alone', { platform: 'nitro-tpm' }],
];

for (const [title, rows, expected] of [
  ['both take good documents', GOOD, [true, true]],
  ['both refuse bad documents', BAD, [false, false]],
  ['we refuse what it takes', STRICTER, [false, true]],
  ['we take what it refuses', LAXER, [true, false]],
] as const) {
  t.test(title, async (t) => {
    for (const [why, fields] of rows) {
      const document = forge.document(fields);
      t.same([await ours(document), await theirs(document)], expected, why);
    }
  });
}

t.test('both refuse a stranger’s root, and his chain behind the right one', async (t) => {
  const behind = bundle((all) => [anchor.certificate, ...all.slice(1)]);
  for (const [why, document] of [
    ['a stranger’s root', stranger.document()],
    ['the right root before his chain', stranger.document(behind)],
  ] as const) {
    t.same([await ours(document), await theirs(document)], [false, false], why);
  }
});

t.test('the two agree on more than forty documents', async (t) => {
  t.ok(GOOD.length + BAD.length >= 40, `${GOOD.length + BAD.length} documents`);
});
