import t from 'tap';
import { openNsm } from '../../../../attestation/attester/nsm.ts';
import { decodeNsmResponse, encodeNsmRequest } from '../../../../attestation/attester/nsm-codec.ts';
import { type CborValue, encodeCanonical } from '../../../../attestation/cbor.ts';
import { createRegisterSigner, withSignedDocuments } from '../../../../attestation/developer/register-signer.ts';
import { verifyLiveDocument } from '../../../../attestation/document/index.ts';
import { systemClock } from '../../../../common/clock.ts';
import { directTransport, startTestAttester } from '../../../helpers/software-nsm.ts';

const ask = { kind: 'Attestation', userData: undefined, nonce: undefined, publicKey: undefined } as const;

/** A device of one root, and a signer of another. */
async function setUp() {
  const device = await startTestAttester({ role: 'engine' });
  const root = (await startTestAttester({ role: 'engine' })).root;
  const signer = createRegisterSigner({ root, clock: systemClock });
  const nsm = openNsm(withSignedDocuments(directTransport(device.device), directTransport(signer)), 'nsm');
  const anchor = { name: 'developer root', certificate: root.certificate };
  return { device, signer, nsm, anchor };
}

t.test('a document is signed over the registers of the device, and over no others', async (t) => {
  const { device, nsm, anchor } = await setUp();
  await nsm.extendPcr(16, Uint8Array.of(1, 2, 3));
  await nsm.lockPcrs(32);
  const nonce = Uint8Array.of(7, 8, 9);
  const document = await nsm.attest({ nonce });
  const nowMs = systemClock.nowMs();
  const verified = await verifyLiveDocument(document, { anchor, nowMs, maxAgeMs: 60_000, skewMs: 60_000 });
  t.equal(verified.moduleId, device.moduleId);
  t.same(verified.nonce, nonce);
  t.equal(verified.pcrs.size, 32);
  for (const index of [0, 1, 2, 4, 16]) {
    t.same(verified.pcrs.get(index), (await device.nsm.describePcr(index)).value, `register ${index}`);
  }
  t.notSame(verified.pcrs.get(16), new Uint8Array(48), 'the extension went to the device');
  await t.rejects(nsm.extendPcr(16, nonce), { code: 'STATE_INVALID' }, 'and so did the lock');
});

t.test('what is no request is refused, and nothing is signed', async (t) => {
  const { signer } = await setUp();
  const request = encodeNsmRequest(ask);
  const register = new Uint8Array(48);
  const refused: readonly (readonly [string, CborValue])[] = [
    ['no array', 1],
    ['too few', ['i-1-enc1', new Map()]],
    ['too many', ['i-1-enc1', new Map(), request, 1]],
    ['no module', ['', new Map(), request]],
    ['a long module', ['m'.repeat(129), new Map(), request]],
    ['no registers', ['i-1-enc1', [], request]],
    ['a short register', ['i-1-enc1', new Map([[0, register.subarray(1)]]), request]],
    ['a register that there is not', ['i-1-enc1', new Map([[32, register]]), request]],
    ['another request', ['i-1-enc1', new Map(), encodeNsmRequest({ kind: 'GetRandom' })]],
    ['no request', ['i-1-enc1', new Map(), Uint8Array.of(0xff)]],
  ];
  for (const [why, value] of refused) {
    const answer = decodeNsmResponse(await signer.handle(encodeCanonical(value)));
    t.same(answer, { kind: 'Error', error: 'InvalidArgument' }, why);
  }
  t.same(decodeNsmResponse(await signer.handle(Uint8Array.of(0xff))), { kind: 'Error', error: 'InvalidArgument' });
  const long = encodeNsmRequest({ ...ask, nonce: new Uint8Array(600) });
  const answer = decodeNsmResponse(await signer.handle(encodeCanonical(['i-1-enc1', new Map(), long])));
  t.same(answer, { kind: 'Error', error: 'InputTooLarge' }, 'fields that are too long');
});
