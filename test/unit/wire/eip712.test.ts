/** EIP-712: the golden vectors, and viem as second opinion on every struct. */
import { readFileSync } from 'node:fs';
import { create } from '@bufbuild/protobuf';
import fc from 'fast-check';
import t from 'tap';
import { hashTypedData, toBytes, keccak256 as viemKeccak } from 'viem';
import { equalBytes, fromHex, toHex } from '../../../common/bytes.ts';
import { Eip712DomainMsgSchema } from '../../../proto/gen/kms_pb.js';
import { abiEncodePlaintexts } from '../../../wire/abi-plaintexts.ts';
import { formatAddress, keccak256, parseAddress } from '../../../wire/addresses.ts';
import {
  crsgenDigest,
  type Domain,
  decompressionUpgradeDigest,
  domainSeparator,
  keygenDigest,
  parseDomain,
  prepKeygenDigest,
  publicDecryptDigest,
  TYPED_STRUCTS,
  userDecryptionLink,
  userDecryptResponseDigest,
} from '../../../wire/eip712.ts';
import { idFromBytes, parseRequestId } from '../../../wire/ids.ts';
import { recoverSigner } from '../../../wire/signatures.ts';
import { createReferenceNode } from '../../helpers/reference-node.ts';
import { D0, handleOf, idOf } from '../../helpers/requests.ts';

const vectors = JSON.parse(readFileSync(new URL('../../vectors/wire/annex-a.json', import.meta.url), 'utf8'));
const NONE = new Uint8Array(0);
const d0 = parseDomain(create(Eip712DomainMsgSchema, D0));
const ek0 = Uint8Array.from({ length: 800 }, (_, i) => i % 256);
const encKey0 = Buffer.concat([fromHex(vectors.encKeyPrefix), ek0]);
const hex = (bytes: Uint8Array): `0x${string}` => `0x${toHex(bytes)}`;

t.test('type hashes, domain separator and digests are the golden vectors', async (t) => {
  for (const [name, encodeType] of Object.entries(TYPED_STRUCTS)) {
    t.equal(toHex(keccak256(Buffer.from(encodeType))), vectors.typeHashes[name], name);
  }
  t.equal(toHex(domainSeparator(d0)), vectors.domainSeparatorD0);
  const link = userDecryptionLink({
    domain: d0,
    publicKey: encKey0,
    handles: [handleOf(42)],
    userAddress: parseAddress(vectors.ek0.user),
  });
  t.equal(toHex(link), vectors.ek0.link, 'link');

  const decryptedResult = abiEncodePlaintexts([{ bytes: Uint8Array.of(42, 0, 0, 0, 0, 0, 0, 0), fheType: 5 }]);
  const digest = publicDecryptDigest({ domain: d0, ctHandles: [handleOf(42)], decryptedResult, extraData: NONE });
  t.equal(toHex(digest), vectors.publicDecryptionOf42.digest, 'public decryption');
  const node = createReferenceNode();
  t.equal(toHex(node.signDigest(digest)), vectors.publicDecryptionOf42.signature, 'its signature');
  t.equal(formatAddress(recoverSigner(digest, fromHex(vectors.publicDecryptionOf42.signature))), vectors.k0.address);

  const keygen = keygenDigest({
    domain: d0,
    prepKeygenId: parseRequestId(idOf(1)),
    keyId: parseRequestId(idOf(2)),
    keyDigests: [
      { type: 'ServerKey', digest: Uint8Array.of(1) },
      { type: 'PublicKey', digest: Uint8Array.of(2) },
    ],
    extraData: NONE,
  });
  t.equal(toHex(keygen), vectors.keygenDigest, 'key generation');
});

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 });
const anyBytes = fc.uint8Array({ maxLength: 120 });
const handles = fc.array(fc.uint8Array({ maxLength: 32 }), { maxLength: 5 });
const address = fc.uint8Array({ minLength: 20, maxLength: 20 });
const anyId = bytes32.filter((bytes) => bytes.some((byte) => byte !== 0)).map((bytes) => idFromBytes(bytes));

const anyDomain: fc.Arbitrary<Domain> = fc
  .record(
    {
      name: fc.string({ unit: 'grapheme' }),
      version: fc.string(),
      chainId: fc.uint8Array({ maxLength: 32 }),
      verifyingContract: address.map((bytes) => formatAddress(bytes)),
      salt: bytes32,
    },
    { requiredKeys: ['name', 'version', 'chainId', 'verifyingContract'] },
  )
  .map((fields) => parseDomain(create(Eip712DomainMsgSchema, fields)));

function viemDomain(domain: Domain): {
  name: string;
  version: string;
  chainId: bigint;
  verifyingContract: `0x${string}`;
  salt?: `0x${string}`;
} {
  return {
    name: domain.name,
    version: domain.version,
    chainId: BigInt(hex(domain.chainId)),
    verifyingContract: hex(domain.verifyingContract),
    ...(domain.salt === undefined ? {} : { salt: hex(domain.salt) }),
  };
}

const padded = (handle: Uint8Array): `0x${string}` => `0x${toHex(handle).padStart(64, '0')}`;

const domainFields: Fields = [
  { name: 'name', type: 'string' },
  { name: 'version', type: 'string' },
  { name: 'chainId', type: 'uint256' },
  { name: 'verifyingContract', type: 'address' },
];

const salted: Fields = [...domainFields, { name: 'salt', type: 'bytes32' }];
type Fields = readonly { readonly name: string; readonly type: string }[];

/** viem's digest of a struct whose fields are given as in Solidity. */
function viemDigest(
  domain: Domain,
  primaryType: string,
  fields: string,
  message: Record<string, unknown>,
  more: Record<string, Fields> = {},
): Uint8Array {
  const list = fields.split(',').map((field) => {
    const [type = '', name = ''] = field.split(' ');
    return { name, type };
  });
  // Named, since viem leaves out an empty version
  const EIP712Domain = domain.salt === undefined ? domainFields : salted;
  const types = { EIP712Domain, [primaryType]: list, ...more };
  return toBytes(hashTypedData({ domain: viemDomain(domain), primaryType, types, message }));
}

t.test('viem computes the same digest for every typed struct', async (t) => {
  const check = (name: string, property: fc.IProperty<unknown>): void => {
    fc.assert(property, { numRuns: 60 });
    t.pass(name);
  };
  check(
    'UserDecryptResponseVerification',
    fc.property(anyDomain, anyBytes, handles, anyBytes, anyBytes, (domain, publicKey, ctHandles, share, extraData) =>
      equalBytes(
        userDecryptResponseDigest({ domain, publicKey, ctHandles, userDecryptedShare: share, extraData }),
        viemDigest(
          domain,
          'UserDecryptResponseVerification',
          'bytes publicKey,bytes32[] ctHandles,bytes userDecryptedShare,bytes extraData',
          {
            publicKey: hex(publicKey),
            ctHandles: ctHandles.map(padded),
            userDecryptedShare: hex(share),
            extraData: hex(extraData),
          },
        ),
      ),
    ),
  );
  check(
    'UserDecryptionLinker',
    fc.property(anyDomain, anyBytes, handles, address, (domain, publicKey, list, userAddress) =>
      equalBytes(
        userDecryptionLink({ domain, publicKey, handles: list, userAddress }),
        viemDigest(domain, 'UserDecryptionLinker', 'bytes publicKey,bytes32[] handles,address userAddress', {
          publicKey: hex(publicKey),
          handles: list.map(padded),
          userAddress: hex(userAddress),
        }),
      ),
    ),
  );
  check(
    'PublicDecryptVerification',
    fc.property(anyDomain, handles, anyBytes, anyBytes, (domain, ctHandles, decryptedResult, extraData) =>
      equalBytes(
        publicDecryptDigest({ domain, ctHandles, decryptedResult, extraData }),
        viemDigest(domain, 'PublicDecryptVerification', 'bytes32[] ctHandles,bytes decryptedResult,bytes extraData', {
          ctHandles: ctHandles.map(padded),
          decryptedResult: hex(decryptedResult),
          extraData: hex(extraData),
        }),
      ),
    ),
  );
  check(
    'KeygenVerification',
    fc.property(anyDomain, anyId, anyId, bytes32, bytes32, anyBytes, (domain, prepKeygenId, keyId, a, b, extraData) =>
      equalBytes(
        keygenDigest({
          domain,
          prepKeygenId,
          keyId,
          keyDigests: [
            { type: 'PublicKey', digest: a },
            { type: 'CompressedXofKeySet', digest: b },
          ],
          extraData,
        }),
        viemDigest(
          domain,
          'KeygenVerification',
          'uint256 prepKeygenId,uint256 keyId,KeyDigest[] keyDigests,bytes extraData',
          {
            prepKeygenId: BigInt(`0x${prepKeygenId}`),
            keyId: BigInt(`0x${keyId}`),
            keyDigests: [
              { keyType: 1, digest: hex(a) },
              { keyType: 3, digest: hex(b) },
            ],
            extraData: hex(extraData),
          },
          {
            KeyDigest: [
              { name: 'keyType', type: 'uint8' },
              { name: 'digest', type: 'bytes' },
            ],
          },
        ),
      ),
    ),
  );
  check(
    'CrsgenVerification',
    fc.property(
      anyDomain,
      anyId,
      fc.nat(0xffffffff),
      bytes32,
      anyBytes,
      (domain, crsId, maxBitLength, crsDigest, extraData) =>
        equalBytes(
          crsgenDigest({ domain, crsId, maxBitLength, crsDigest, extraData }),
          viemDigest(
            domain,
            'CrsgenVerification',
            'uint256 crsId,uint256 maxBitLength,bytes crsDigest,bytes extraData',
            {
              crsId: BigInt(`0x${crsId}`),
              maxBitLength: BigInt(maxBitLength),
              crsDigest: hex(crsDigest),
              extraData: hex(extraData),
            },
          ),
        ),
    ),
  );
  check(
    'PrepKeygenVerification',
    fc.property(anyDomain, anyId, anyBytes, (domain, prepKeygenId, extraData) =>
      equalBytes(
        prepKeygenDigest({ domain, prepKeygenId, extraData }),
        viemDigest(domain, 'PrepKeygenVerification', 'uint256 prepKeygenId,bytes extraData', {
          prepKeygenId: BigInt(`0x${prepKeygenId}`),
          extraData: hex(extraData),
        }),
      ),
    ),
  );
  check(
    'FheDecompressionUpgradeKey',
    fc.property(anyDomain, bytes32, anyBytes, (domain, keyDigest, extraData) =>
      equalBytes(
        decompressionUpgradeDigest({ domain, keyDigest, extraData }),
        viemDigest(domain, 'FheDecompressionUpgradeKey', 'bytes decompressionUpgradeKeyDigest,bytes extraData', {
          decompressionUpgradeKeyDigest: hex(keyDigest),
          extraData: hex(extraData),
        }),
      ),
    ),
  );
});

t.test('digests do not depend on which Keccak is passed in', async (t) => {
  const native = (data: Uint8Array): Uint8Array => toBytes(viemKeccak(data));
  const args = { domain: d0, ctHandles: [handleOf(1)], decryptedResult: new Uint8Array(32), extraData: NONE };
  t.same(toHex(publicDecryptDigest(args, native)), toHex(publicDecryptDigest(args)));
});

t.test('plaintexts are ABI-encoded as big-endian words, and others are refused', async (t) => {
  const encoded = abiEncodePlaintexts([
    { bytes: Uint8Array.of(1), fheType: 0 },
    { bytes: Uint8Array.of(0x34, 0x12), fheType: 3 },
  ]);
  t.equal(toHex(encoded), `${'0'.repeat(63)}1${'0'.repeat(60)}1234`);
  const bad: [string, { bytes: Uint8Array; fheType: number }][] = [
    ['Uint4', { bytes: Uint8Array.of(1), fheType: 1 }],
    ['Uint512', { bytes: new Uint8Array(64), fheType: 9 }],
    ['unknown type', { bytes: new Uint8Array(1), fheType: 99 }],
    ['another width', { bytes: new Uint8Array(7), fheType: 5 }],
  ];
  for (const [why, plaintext] of bad) t.throws(() => abiEncodePlaintexts([plaintext]), { code: 'TASK_FAILED' }, why);
});

t.test('a handle of more than 32 bytes cannot be signed', async (t) => {
  const args = { domain: d0, ctHandles: [new Uint8Array(33)], decryptedResult: NONE, extraData: NONE };
  t.throws(() => publicDecryptDigest(args), { code: 'REQUEST_INVALID' });
});
