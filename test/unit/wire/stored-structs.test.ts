/** Stored metadata of keys and CRS: byte for byte what the published KMS writes (its fixtures' digests), and hostile input. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import t from 'tap';
import { hashTypedData, toBytes } from 'viem';
import { equalBytes, toHex } from '../../../common/bytes.ts';
import { KmsError } from '../../../common/errors.ts';
import { SigningSchemeType } from '../../../proto/gen/kms_pb.js';
import { idFromBytes, parseRequestId } from '../../../wire/ids.ts';
import {
  type CrsGenMetadata,
  decodeCrsGenMetadata,
  decodeKeyGenMetadata,
  encodeCrsGenMetadata,
  encodeKeyGenMetadata,
  type KeyGenMetadata,
} from '../../../wire/metadata.ts';
import { encodePrivateSigKey, encodePublicSigKey } from '../../../wire/signing-keys.ts';
import { createReferenceNode } from '../../helpers/reference-node.ts';
import { idOf } from '../../helpers/requests.ts';
import { seededRandom } from '../../helpers/seeded-rng.ts';

const read = (name: string) => JSON.parse(readFileSync(new URL(`../../vectors/wire/${name}`, import.meta.url), 'utf8'));
const stored = read('stored-digests.json');
const NONE = new Uint8Array(0);
const invalid = { code: 'REQUEST_INVALID' };

const domain = {
  name: 'Authorization token',
  version: '1',
  chainId: 8006,
  verifyingContract: '0x66f9664f97F2b50F62D13eA064982f936dE76657',
} as const;

/** The body of a safe-serialized object: fixtures have no header. */
function bodyOf(bytes: Uint8Array, typeName: string): Uint8Array {
  return Uint8Array.from(bytes.subarray(8 + 3 + 4 + 8 + 3 + 8 + typeName.length));
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function testHash(bytes: Uint8Array): Uint8Array {
  return createHash('shake256', { outputLength: 32 }).update('TESTTEST').update(bytes).digest();
}

/** The EIP-712 signature over the struct as it was before it had extra data, which the fixtures still use. */
function legacySignature(
  secret: Uint8Array,
  primaryType: string,
  fields: [string, string][],
  message: object,
): Uint8Array {
  const types = {
    [primaryType]: fields.map(([type, name]) => ({ type, name })),
    KeyDigest: [
      { name: 'keyType', type: 'uint8' },
      { name: 'digest', type: 'bytes' },
    ],
  };
  const digest = hashTypedData({ domain, primaryType, types, message: { ...message } });
  return createReferenceNode(secret).signDigest(toBytes(digest));
}

t.test('key metadata have the digest of the published fixture', async (t) => {
  const random = seededRandom(100);
  const signer = random(32);
  const other = random(32);
  const preprocessingId = idFromBytes(random(32));
  const keyId = idFromBytes(random(32));
  const serverKey = testHash(encodePublicSigKey(createReferenceNode(other).publicKey));
  const publicKey = testHash(encodePrivateSigKey(other));
  const externalSignature = legacySignature(
    signer,
    'KeygenVerification',
    [
      ['uint256', 'prepKeygenId'],
      ['uint256', 'keyId'],
      ['KeyDigest[]', 'keyDigests'],
    ],
    {
      prepKeygenId: BigInt(`0x${preprocessingId}`),
      keyId: BigInt(`0x${keyId}`),
      keyDigests: [
        { keyType: 0, digest: `0x${toHex(serverKey)}` },
        { keyType: 1, digest: `0x${toHex(publicKey)}` },
      ],
    },
  );
  const encoded = encodeKeyGenMetadata({
    keyId,
    preprocessingId,
    keyDigests: [
      { type: 'PublicKey', digest: publicKey },
      { type: 'ServerKey', digest: serverKey },
    ],
    extraData: NONE,
    externalSignature,
    signatures: [],
  });
  // The fixture holds the inner struct: ours has version and variant of the enum in front, both zero.
  const body = bodyOf(encoded, 'KeyGenMetadata');
  t.equal(toHex(body.subarray(0, 8)), '0'.repeat(16));
  t.equal(body.byteLength - 8, stored.keyGenMetadataInnerV3.sizeBytes);
  t.equal(sha256(body.subarray(8)), stored.keyGenMetadataInnerV3.sha256);
});

t.test('CRS metadata have the digests of the published fixtures of the versions around ours', async (t) => {
  const random = seededRandom(100);
  const signer = random(32);
  const crsId = idFromBytes(random(32));
  const crsDigest = new Uint8Array(32).fill(12);
  const externalSignature = legacySignature(
    signer,
    'CrsgenVerification',
    [
      ['uint256', 'crsId'],
      ['uint256', 'maxBitLength'],
      ['bytes', 'crsDigest'],
    ],
    { crsId: BigInt(`0x${crsId}`), maxBitLength: 2048n, crsDigest: `0x${toHex(crsDigest)}` },
  );
  const body = bodyOf(
    encodeCrsGenMetadata({ crsId, crsDigest, maxNumBits: 2048, extraData: NONE, externalSignature, signatures: [] }),
    'CrsGenMetadata',
  );
  t.equal(body[8], 2, 'inner version 2');
  // Version 1 had no list of signatures, version 3 has an absent domain behind the extra data.
  const v1 = Uint8Array.from(body.subarray(0, -8));
  v1[8] = 1;
  t.equal(sha256(v1), stored.crsGenMetadataV1.sha256);
  const beforeSignature = 12 + 32 + 40 + 4 + 1;
  const v3 = Buffer.concat([body.subarray(0, beforeSignature), Uint8Array.of(0), body.subarray(beforeSignature)]);
  v3[8] = 3;
  t.equal(sha256(v3), stored.crsGenMetadataV3.sha256);
});

const bytes = fc.uint8Array({ maxLength: 80 });

const ids = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .filter((id) => id.some((byte) => byte !== 0))
  .map((id) => idFromBytes(id));

const tail = {
  extraData: bytes,
  externalSignature: bytes,
  signatures: fc.array(fc.record({ scheme: fc.constantFrom<SigningSchemeType>(0, 1, 2, 3, 4), signature: bytes })),
};

const keyMetadata: fc.Arbitrary<KeyGenMetadata> = fc.record({
  keyId: ids,
  preprocessingId: ids,
  keyDigests: fc.tuple(bytes, bytes).map(([a, b]) => [
    { type: 'PublicKey' as const, digest: a },
    { type: 'CompressedXofKeySet' as const, digest: b },
  ]),
  ...tail,
});

const crsMetadata: fc.Arbitrary<CrsGenMetadata> = fc.record({
  crsId: ids,
  crsDigest: bytes,
  maxNumBits: fc.nat(0xffffffff),
  ...tail,
});

t.test('metadata read back, and mutated ones are refused or read as something else, nothing worse', async (t) => {
  const survives = (decode: (bytes: Uint8Array) => unknown, mutated: Uint8Array): boolean => {
    try {
      decode(mutated);
      return true;
    } catch (error) {
      return error instanceof KmsError && error.code === 'REQUEST_INVALID';
    }
  };
  fc.assert(
    fc.property(keyMetadata, fc.nat(), fc.nat(255), (metadata, at, byte) => {
      const encoded = encodeKeyGenMetadata(metadata);
      const mutated = Uint8Array.from(encoded);
      mutated[at % mutated.byteLength] = byte;
      return (
        equalBytes(encodeKeyGenMetadata(decodeKeyGenMetadata(encoded)), encoded) &&
        survives(decodeKeyGenMetadata, mutated) &&
        survives(decodeKeyGenMetadata, encoded.subarray(0, at % encoded.byteLength))
      );
    }),
  );
  fc.assert(
    fc.property(crsMetadata, fc.nat(), fc.nat(255), (metadata, at, byte) => {
      const encoded = encodeCrsGenMetadata(metadata);
      const mutated = Uint8Array.from(encoded);
      mutated[at % mutated.byteLength] = byte;
      return (
        equalBytes(encodeCrsGenMetadata(decodeCrsGenMetadata(encoded)), encoded) &&
        survives(decodeCrsGenMetadata, mutated) &&
        survives(decodeCrsGenMetadata, encoded.subarray(0, at % encoded.byteLength))
      );
    }),
  );
  t.pass('2 properties');
});

t.test('metadata with an unknown, repeated or misplaced key type or scheme are refused', async (t) => {
  const metadata: KeyGenMetadata = {
    keyId: parseRequestId(idOf(1)),
    preprocessingId: parseRequestId(idOf(2)),
    keyDigests: [
      { type: 'PublicKey', digest: NONE },
      { type: 'CompressedXofKeySet', digest: NONE },
    ],
    extraData: NONE,
    externalSignature: NONE,
    signatures: [{ scheme: SigningSchemeType.ED25519, signature: NONE }],
  };
  const encoded = encodeKeyGenMetadata(metadata);
  const firstType = encoded.byteLength - bodyOf(encoded, 'KeyGenMetadata').byteLength + 12 + 64 + 8 + 4;
  const scheme = encoded.byteLength - 8 - 4;
  for (const [why, at, value] of [
    ['unknown type', firstType, 12],
    ['type out of order', firstType, 10],
    ['type repeated', firstType, 9],
    ['unknown scheme', scheme, 5],
  ] as const) {
    const mutated = Uint8Array.from(encoded);
    mutated[at] = value;
    t.throws(() => decodeKeyGenMetadata(mutated), invalid, why);
  }
});
