/** Chains: every rule broken alone is refused at its own check, and what real chains differ in is fine. */
import t from 'tap';
import { verifyLiveDocument } from '../../../../attestation/document/index.ts';
import { encodeDer } from '../../../../attestation/x509/der-encode.ts';
import { concatBytes } from '../../../../common/bytes.ts';
import { FORGED_AT_MS, invalidAt, makeForge } from '../../../helpers/forge-document.ts';

const forge = makeForge();
const { anchor } = forge;
const live = (document: Uint8Array) => verifyLiveDocument(document, { anchor, nowMs: FORGED_AT_MS });
const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'));

t.test('a wrong chain is refused at its own check', async (t) => {
  const critical = { oid: '1.2.3.4', critical: true, value: encodeDer(0x05, bytes('')) };
  const rows: [string, string, Parameters<typeof forge.makeChain>[0]][] = [
    ['3.1', 'the root left out', { bundle: (bundle) => bundle.slice(1) }],
    ['3.1 3.4 3.5', 'leaf first', { bundle: (bundle) => [...bundle].reverse() }],
    [
      '3.2',
      'a certificate with a byte after it',
      { bundle: (all) => [...all.slice(0, 3), concatBytes(...all.slice(3), bytes('00'))] },
    ],
    ['3.2', 'a certificate that is no DER', { bundle: (bundle) => [...bundle, bytes('3080')] }],
    ['3.2', 'version 1', { members: { zonal: { version: 1 } } }],
    ['3.4', 'a wrong issuer', { members: { instance: { issuerName: 'stranger' } } }],
    ['3.4', 'a certificate left out', { bundle: (bundle) => bundle.filter((_, index) => index !== 2) }],
    ['3.5', 'no authority', { members: { region: { ca: false, pathLen: 'absent' } } }],
    ['3.5', 'no basic constraints', { members: { zonal: { without: ['basicConstraints'] } } }],
    ['3.5', 'no key usage', { members: { zonal: { without: ['keyUsage'] } } }],
    [
      '3.5',
      'an authority that may not sign certificates',
      { members: { instance: { keyUsage: ['digitalSignature'] } } },
    ],
    ['3.5', 'a path length that is too short', { members: { region: { pathLen: 1 } } }],
    ['3.5', 'a path length of 0 above an authority', { members: { zonal: { pathLen: 0 } } }],
    ['3.6', 'a leaf that is an authority', { members: { leaf: { ca: true } } }],
    ['3.6', 'a leaf with a path length', { members: { leaf: { pathLen: 0, ca: true } } }],
    ['3.6', 'a leaf that may not sign', { members: { leaf: { keyUsage: ['keyAgreement'] } } }],
    ['3.6', 'a leaf without key usage', { members: { leaf: { without: ['keyUsage'] } } }],
    [
      '3.6',
      'a leaf that may sign certificates',
      { members: { leaf: { keyUsage: ['digitalSignature', 'keyCertSign'] } } },
    ],
    ['3.7', 'an unknown critical extension in the leaf', { members: { leaf: { extraExtensions: [critical] } } }],
    ['3.7', 'an unknown critical extension above it', { members: { region: { extraExtensions: [critical] } } }],
    ['5.1', 'a certificate signed by a stranger', { members: { zonal: { signedByStranger: true } } }],
    ['5.1', 'a leaf signed by a stranger', { members: { leaf: { signedByStranger: true } } }],
  ];
  for (const [check, why, variant] of rows) await t.rejects(live(forge.document({ variant })), invalidAt(check), why);
});

t.test('chains of another depth and harmless extensions are fine', async (t) => {
  const extension = { oid: '1.2.3.4', critical: false, value: encodeDer(0x05, bytes('')) };
  const variants: Parameters<typeof forge.makeChain>[0][] = [
    { members: { leaf: { extraExtensions: [extension] } } },
    { members: { region: { pathLen: 'absent' } } },
    { members: { region: { pathLen: 5 } } },
    { members: { leaf: { without: ['basicConstraints'] } } },
    { omit: ['region'] },
    { omit: ['region', 'zonal', 'instance'] },
  ];
  for (const [index, variant] of variants.entries()) await t.resolves(live(forge.document({ variant })), `${index}`);
});

t.test('a chain of seven authorities under the root is read, an eighth is refused before it is parsed', async (t) => {
  const filler = bytes('00');
  const more = (count: number) => ({
    bundle: (all: readonly Uint8Array[]) => [...all, ...Array.from({ length: count }, () => filler)],
  });
  await t.rejects(live(forge.document({ variant: more(4) })), invalidAt('3.2'));
  await t.rejects(live(forge.document({ variant: more(5) })), invalidAt('2.8'));
});
