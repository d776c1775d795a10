/** Every variant of documents that the verifier has to know, made by the software NSM through its own interface. */
import { sign } from 'node:crypto';
import t from 'tap';
import { openNsm } from '../../../../attestation/attester/nsm.ts';
import { encodeCanonical } from '../../../../attestation/cbor.ts';
import type { ChainVariant, SigningChain } from '../../../../attestation/developer/chain.ts';
import { createSoftwareNsm, type SoftwareNsmOptions } from '../../../../attestation/developer/software-nsm.ts';
import { matchMeasurements, verifyLiveDocument } from '../../../../attestation/document/index.ts';
import { concatBytes } from '../../../../common/bytes.ts';
import {
  FORGED_AT_MS,
  FORGED_MODULE_ID,
  invalidAt,
  makeForge,
  pcrOf,
  somePcrs,
  trustedMeasurement,
} from '../../../helpers/forge-document.ts';
import { directTransport } from '../../../helpers/software-nsm.ts';

const forge = makeForge();
const { root, anchor } = forge;
const clock = { nowMs: () => FORGED_AT_MS, monotonicMs: () => 0 };
const open = (o: Partial<SoftwareNsmOptions> = {}) => {
  const device = createSoftwareNsm({
    root,
    platform: 'enclave',
    moduleId: FORGED_MODULE_ID,
    pcrs: somePcrs('enclave', 16),
    clock,
    ...o,
  });
  return openNsm(directTransport(device), 'developer');
};

/** A document of the device under another chain than its own. */
const underChain = (chain: SigningChain): NonNullable<SoftwareNsmOptions['form']> => ({
  entries: (all) =>
    all.map(([name, value]) => {
      if (name === 'certificate') return [name, encodeCanonical(chain.leaf)];
      return [name, name === 'cabundle' ? encodeCanonical(chain.cabundle) : value];
    }),
  signature: (_, signed) => new Uint8Array(sign('sha384', signed, { key: chain.leafKey, dsaEncoding: 'ieee-p1363' })),
});

const live = (document: Uint8Array) => verifyLiveDocument(document, { anchor, nowMs: FORGED_AT_MS });

t.test('definite and indefinite maps; fields that are null, absent or empty', async (t) => {
  for (const map of ['definite', 'indefinite'] as const) {
    for (const unset of ['null', 'absent', 'empty'] as const) {
      const document = await live(await open({ form: { map, unset } }).attest({ userData: Uint8Array.of(1) }));
      t.same([document.nonce, document.publicKey, document.userData], [undefined, undefined, Uint8Array.of(1)]);
      t.ok(matchMeasurements(document, [trustedMeasurement()]).matched, `${map} ${unset}`);
    }
  }
});

t.test('16, 17 and 32 PCRs, and the 24 of an EC2 instance', async (t) => {
  const nsm = open();
  t.equal((await live(await nsm.attest({}))).pcrs.size, 16);
  await nsm.extendPcr(16, pcrOf(1));
  await nsm.lockPcr(16);
  t.equal((await live(await nsm.attest({}))).pcrs.size, 17);
  await nsm.lockPcrs(32);
  t.equal((await live(await nsm.attest({}))).pcrs.size, 32);
  const tpm = open({ platform: 'nitro-tpm', moduleId: 'i-0-tpm0', pcrs: new Map([4, 7].map((i) => [i, pcrOf(i)])) });
  t.equal((await live(await tpm.attest({}))).pcrs.size, 24);
});

t.test('zero PCRs verify and are trusted by nobody', async (t) => {
  const document = await live(await open({ pcrs: new Map() }).attest({}));
  const zero = new Map([0, 1, 2].map((index) => [index, new Uint8Array(48)]));
  t.equal(
    matchMeasurements(document, [trustedMeasurement(), trustedMeasurement('enclave', { pcrs: zero })]).matched,
    undefined,
  );
});

t.test('expired and wrong members of the chain, wrong path length, wrong curve', async (t) => {
  const rows: [string, ChainVariant][] = [
    ['3.8', { members: { leaf: { validity: 'expired' } } }],
    ['3.8', { members: { zonal: { validity: 'not-yet-valid' } } }],
    ['5.1', { members: { instance: { signedByStranger: true } } }],
    ['3.4', { members: { region: { issuerName: 'stranger' } } }],
    ['3.5', { members: { region: { pathLen: 0 } } }],
    ['3.3', { members: { instance: { curve: 'P-256' } } }],
    ['1.6', { members: { leaf: { curve: 'P-256' } } }],
    ['3.1', { bundle: (all) => all.slice(1) }],
  ];
  for (const [checks, variant] of rows) {
    const document = await open({ form: underChain(forge.makeChain(variant)) }).attest({});
    await t.rejects(live(document), invalidAt(checks), JSON.stringify(variant));
  }
  await t.resolves(live(await open({ form: underChain(forge.makeChain({})) }).attest({})), 'a good chain is fine');
});

t.test('DER signatures, trailing bytes, keys that stand twice', async (t) => {
  const rows: [string, string, NonNullable<SoftwareNsmOptions['form']>][] = [
    ['1.6', 'a DER signature', { signature: (_, signed, key) => new Uint8Array(sign('sha384', signed, key)) }],
    ['1.2', 'a byte after it', { document: (document) => concatBytes(document, Uint8Array.of(0)) }],
    ['2.1', 'a byte after the payload', { payload: (payload) => concatBytes(payload, Uint8Array.of(0)) }],
    ['2.1', 'a key twice', { entries: (all) => [...all, ['digest', encodeCanonical('SHA384')]] }],
  ];
  for (const [checks, why, form] of rows) {
    await t.rejects(live(await open({ form }).attest({})), invalidAt(checks), why);
  }
});
