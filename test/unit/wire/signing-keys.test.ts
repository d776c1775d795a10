/** Stored signing keys, verification keys and signed payloads: byte for byte what the published KMS writes. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { fromHex, toHex } from '../../../common/bytes.ts';
import { SigningSchemeType } from '../../../proto/gen/kms_pb.js';
import { parseRequestId } from '../../../wire/ids.ts';
import {
  encodeCrsSignedPayload,
  encodeKeygenSignedPayload,
  encodePrepKeygenSignedPayload,
  signedPreimage,
} from '../../../wire/signed-payloads.ts';
import {
  DERIVED_SCHEMES,
  decodePrivateSigKey,
  decodePublicSigKey,
  decodeTypedVerfKey,
  derivedKeyDigest,
  encodePrivateSigKey,
  encodePublicSigKey,
  encodeTypedVerfKey,
  typedVerfKeyId,
} from '../../../wire/signing-keys.ts';
import { present } from '../../helpers/present.ts';
import { createReferenceNode, K0 } from '../../helpers/reference-node.ts';
import { idOf } from '../../helpers/requests.ts';
import { seededRandom } from '../../helpers/seeded-rng.ts';

const read = (name: string) => JSON.parse(readFileSync(new URL(`../../vectors/wire/${name}`, import.meta.url), 'utf8'));
const stored = read('stored-digests.json');
const annexA = read('annex-a.json');
const invalid = { code: 'REQUEST_INVALID' };

/** The body of a safe-serialized object: fixtures have no header. */
function bodyOf(bytes: Uint8Array, typeName: string): Uint8Array {
  return Uint8Array.from(bytes.subarray(8 + 3 + 4 + 8 + 3 + 8 + typeName.length));
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

t.test('keys of the seeded fixtures come out, and their stored form has the recorded digest', async (t) => {
  const secret = seededRandom(100)(32);
  t.equal(toHex(secret), stored.seed100.privateKey);
  const { publicKey } = createReferenceNode(secret);
  t.equal(toHex(publicKey), stored.seed100.publicKey);
  const body = bodyOf(encodePublicSigKey(publicKey), 'PublicSigKey');
  t.equal(body.byteLength, stored.publicSigKey.sizeBytes);
  t.equal(sha256(body), stored.publicSigKey.sha256);
});

t.test('signing keys have one stored form', async (t) => {
  const { publicKey } = createReferenceNode();
  const encodedSecret = encodePrivateSigKey(K0);
  t.equal(encodedSecret.byteLength, encodedSecret.buffer.byteLength, 'a secret owns its memory');
  const secret = decodePrivateSigKey(encodedSecret);
  t.same(Buffer.from(secret), Buffer.from(K0));
  encodedSecret.fill(0);
  t.ok(
    secret.every((byte) => byte === 0),
    'wiping the stored form wipes what was read from it',
  );
  t.same(Buffer.from(decodePublicSigKey(encodePublicSigKey(publicKey))), Buffer.from(publicKey));
  t.throws(() => encodePublicSigKey(publicKey.subarray(1)), invalid);
  t.throws(() => encodePrivateSigKey(new Uint8Array(31)), invalid);
  t.throws(() => decodePublicSigKey(encodePrivateSigKey(K0)), invalid, 'another type');
});

t.test('typed verification keys are stored under their ids and type names', async (t) => {
  t.equal(typedVerfKeyId(SigningSchemeType.ECDSA256K1), annexA.ids.SIGNING_KEY_ID);
  for (const derived of DERIVED_SCHEMES) {
    t.equal(typedVerfKeyId(derived.scheme), annexA.ids[`SIGNING_KEY_ID_${derived.name}`], derived.name);
    const key = new Uint8Array(derived.publicKeyBytes).fill(derived.scheme);
    const encoded = encodeTypedVerfKey(derived, key);
    t.same(Buffer.from(decodeTypedVerfKey(derived, encoded)), Buffer.from(key));
    t.equal(bodyOf(encoded, `${derived.name}VerfKey`).byteLength, 8 + key.byteLength, 'no version in front');
    t.throws(() => encodeTypedVerfKey(derived, key.subarray(1)), invalid);
    t.equal(derivedKeyDigest(derived, key).byteLength, 32);
  }
  const [ed25519, mldsa44] = DERIVED_SCHEMES;
  const key = new Uint8Array(32).fill(5);
  t.equal(derivedKeyDigest(present(ed25519), key), key, 'an Ed25519 key is its own digest');
  t.not(toHex(derivedKeyDigest(present(mldsa44), new Uint8Array(1312))), '0'.repeat(64));
});

t.test('signed payloads have the published layout', async (t) => {
  const prepId = parseRequestId(idOf(1));
  const keyId = parseRequestId(idOf(2));
  const extraData = fromHex('aabb');
  const vec = (hex: string): string => `${(hex.length / 2).toString(16).padStart(2, '0')}${'0'.repeat(14)}${hex}`;
  t.equal(
    toHex(bodyOf(encodePrepKeygenSignedPayload({ prepId, extraData }), 'PrepKeygenSignedPayload')),
    `00000000${prepId}${vec('aabb')}`,
  );
  const keyDigests = [
    { type: 'CompressedXofKeySet', digest: fromHex('02') },
    { type: 'PublicKey', digest: fromHex('01') },
  ] as const;
  t.equal(
    toHex(bodyOf(encodeKeygenSignedPayload({ prepId, keyId, keyDigests, extraData }), 'KeygenSignedPayload')),
    `00000000${prepId}${keyId}0200000000000000` +
      `0000000001000000${vec('01')}0000000009000000${vec('02')}${vec('aabb')}`,
    'digests in the order of the types',
  );
  const crs = encodeCrsSignedPayload({ crsId: keyId, maxNumBits: 2048, crsDigest: fromHex('03'), extraData });
  t.equal(toHex(bodyOf(crs, 'CrsSignedPayload')), `00000000${keyId}00080000${vec('03')}${vec('aabb')}`);
  t.equal(Buffer.from(signedPreimage('PDAT_CRS', Uint8Array.of(65))).toString(), 'PDAT_CRSA');
});
