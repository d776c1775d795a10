/**
 * A recovery request is answered only if everything stands on the custodian's paper and in a fresh document.
 */
import t from 'tap';
import { charterDigest, charterFor, pcr16Of } from '../../../attestation/governance/index.ts';
import {
  type AttestedRequest,
  decodeAttestedRequest,
  encodeAttestedRequest,
} from '../../../attestation/recovery/attested-request.ts';
import { isKmsError } from '../../../common/errors.ts';
import { type RequestJudge, verifyRecoveryRequest } from '../../../custodian/verify-request.ts';
import { encapsulationKeyOf, kemKeyFromSeed } from '../../../wire/custodian/kem-keys.ts';
import { encodeEncKey } from '../../../wire/enc-key.ts';
import { FORGED_AT_MS, makeForge } from '../../helpers/forge-document.ts';
import { engineEntry, pcrsOf } from '../attestation/governance/fixtures.ts';
import { CHALLENGE, makeScene, nodeSigner, type RequestFields } from './scene.ts';

const MINUTE_MS = 60_000;
const scene = makeScene(FORGED_AT_MS);
const judge: RequestJudge = {
  trust: scene.trust,
  challenge: CHALLENGE,
  releases: scene.releases,
  anchor: scene.forge.anchor,
  nowMs: FORGED_AT_MS + MINUTE_MS,
};

/** The refusal of a request, as people read it. */
async function refusal(attested: AttestedRequest, by: Partial<RequestJudge> = {}): Promise<string> {
  try {
    await verifyRecoveryRequest(attested, { ...judge, ...by });
  } catch (error) {
    if (isKmsError(error, 'ATTESTATION_REJECTED')) return error.message;
    throw error;
  }
  return 'answered';
}

t.test('a fresh request of a trusted engine for this custodian may be answered', async (t) => {
  const verified = await verifyRecoveryRequest(scene.attested(), judge);
  t.equal(verified.release, 'arca-1.0');
  t.equal(verified.attestedAtMs, FORGED_AT_MS);
  t.ok(verified.developer);
  t.same(verified.request.ciphertexts, scene.material.ciphertexts);
});

t.test('a request survives its way as text, and nothing but its own text is read', async (t) => {
  const attested = scene.attested();
  const text = encodeAttestedRequest(attested);
  const bytes = Uint8Array.from(Buffer.from(text.replaceAll('\n', ''), 'base64'));
  t.same(decodeAttestedRequest(bytes), attested);
  t.ok(text.split('\n').every((line) => line.length <= 76));
  t.throws(() => decodeAttestedRequest(bytes.subarray(0, -1)), { code: 'REQUEST_INVALID' }, 'cut');
  t.throws(() => decodeAttestedRequest(Uint8Array.of(...bytes, 0)), { code: 'REQUEST_INVALID' }, 'longer');
  t.throws(() => decodeAttestedRequest(Uint8Array.of(0xa0)), { code: 'REQUEST_INVALID' }, 'an empty map');
  t.throws(() => decodeAttestedRequest(Uint8Array.of(0x80)), { code: 'REQUEST_INVALID' }, 'no map');
});

t.test('whatever differs from the paper is refused by name', async (t) => {
  const other = nodeSigner(new Uint8Array(32).fill(0x22));
  const cases: [string, RequestFields, RegExp][] = [
    ['charter', { facts: { charterDigest: charterDigest(charterFor(scene.charter, 2)) } }, /another charter/],
    ['MPC context', { facts: { mpcContextId: new Uint8Array(32).fill(9) } }, /another MPC context/],
    ['custodian context', { facts: { custodianContextId: new Uint8Array(32).fill(9) } }, /another custodian context/],
    ['address', { facts: { address: other.address } }, /it is of the node 0x/],
    ['node key', { request: { operatorKey: other.publicKey } }, /it is of the node 0x/],
    ['challenge', { facts: { challenge: new Uint8Array(16) } }, /challenge of somebody else/],
  ];
  for (const [what, fields, why] of cases) t.match(await refusal(scene.attested(fields)), why, what);
});

t.test('a document that is about something else is refused by name', async (t) => {
  const stolen = encapsulationKeyOf(kemKeyFromSeed(new Uint8Array(64).fill(5)));
  const swapped = {
    ...scene.attested(),
    ...{ request: scene.attested({ request: { ephemeralKey: stolen } }).request },
  };
  t.match(await refusal(swapped), /another ephemeral key/, 'an ephemeral key put into a genuine request');
  t.match(await refusal(scene.attested({ publicKey: encodeEncKey(stolen) })), /another ephemeral key/);
  const fewer = new Map([...scene.material.ciphertexts].slice(0, 2));
  const cut = { ...scene.attested(), request: scene.attested({ request: { ciphertexts: fewer } }).request };
  t.match(await refusal(cut), /does not commit/, 'ciphertexts taken out');
  for (const field of ['charterDigest', 'mpcContextId', 'custodianContextId', 'address', 'challenge'] as const) {
    const committed = { [field]: new Uint8Array(judgeLength(field)).fill(0xee) };
    t.match(await refusal(scene.attested({ committed })), /does not commit/, field);
  }
});

function judgeLength(field: keyof AttestedRequest['facts']): number {
  return scene.attested().facts[field].byteLength;
}

t.test('a document older than fifteen minutes is refused, and one of the future too', async (t) => {
  const at = (ageMs: number) => refusal(scene.attested(), { nowMs: FORGED_AT_MS + ageMs });
  t.equal(await at(15 * MINUTE_MS), 'answered');
  t.match(await at(15 * MINUTE_MS + 1), /does not verify/);
  t.match(await at(-10 * MINUTE_MS), /does not verify/);
});

t.test(
  'an engine that no release names, or under another charter, is refused with the registers that differ',
  async (t) => {
    const pcr16 = pcr16Of(scene.charter);
    const wrong = new Map([...pcrsOf('arca-1.0'), [16, pcr16] as const, [2, new Uint8Array(48).fill(1)] as const]);
    const refused = await refusal(scene.attested({ pcrs: wrong }));
    t.match(refused, /PCR2 differs from release arca-1.0/);
    t.notMatch(refused, /PCR0 differs/);
    const elsewhere = new Map([...pcrsOf('arca-1.0'), [16, pcr16Of(charterFor(scene.charter, 2))] as const]);
    t.match(await refusal(scene.attested({ pcrs: elsewhere })), /PCR16 differs/);
    t.match(await refusal(scene.attested({ pcrs: pcrsOf('arca-1.0') })), /PCR16 differs/, 'no register 16');
  },
);

t.test('release sets that are too old, unsigned, of nobody or of another role do not count', async (t) => {
  const attested = scene.attested();
  t.match(await refusal(attested, { releases: scene.releaseSet(1) }), /release set 1 is older than 2/);
  t.match(await refusal(attested, { releases: scene.releaseSet(3, []) }), /no release of set 3/);
  const strangers = { ...scene.trust, releaseKeys: scene.trust.releaseKeys.slice(3) };
  t.match(await refusal(attested, { trust: strangers }), /needs the signatures/);
  t.match(await refusal(attested, { releases: new Uint8Array(3) }), /release set/);
  const later = engineEntry('arca-1.0', { platform: 'developer', notBeforeMs: FORGED_AT_MS + 60 * MINUTE_MS });
  t.match(
    await refusal(attested, { releases: scene.releaseSet(3, [later]) }),
    /no release of set 3/,
    'not yet in force',
  );
});

t.test('another root of attestation than the charter names is refused', async (t) => {
  const forge = makeForge();
  t.match(await refusal(scene.attested({ forge }), { anchor: forge.anchor }), /another attestation root/);
  t.match(await refusal(scene.attested(), { anchor: undefined }), /another attestation root than/, 'that of AWS');
  t.match(await refusal(scene.attested({ forge })), /does not verify/);
});

t.test('all faults are told at once', async (t) => {
  const facts = { challenge: new Uint8Array(16), mpcContextId: new Uint8Array(32).fill(9) };
  const refused = await refusal(scene.attested({ facts, pcrs: pcrsOf('other') }), { releases: scene.releaseSet(1) });
  for (const why of [
    /another MPC context/,
    /challenge of somebody else/,
    /PCR16 differs/,
    /older than 2/,
    /PCR0 differs/,
  ]) {
    t.match(refused, why);
  }
});
