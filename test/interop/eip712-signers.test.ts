/**
 * viem recovers the node's address from the engine's native signature over every typed struct, given the fields as a
 * contract sees them.
 */
import { create } from '@bufbuild/protobuf';
import t from 'tap';
import { recoverTypedDataAddress } from 'viem';
import { toHex } from '../../common/bytes.ts';
import { keccak256, NodeKey } from '../../native/engine/index.ts';
import { Eip712DomainMsgSchema } from '../../proto/gen/kms_pb.js';
import { formatAddress } from '../../wire/addresses.ts';
import {
  crsgenDigest,
  decompressionUpgradeDigest,
  keygenDigest,
  parseDomain,
  prepKeygenDigest,
  publicDecryptDigest,
  userDecryptionLink,
  userDecryptResponseDigest,
} from '../../wire/eip712.ts';
import { parseRequestId } from '../../wire/ids.ts';
import { K0 } from '../helpers/reference-node.ts';
import { D0, handleOf, idOf } from '../helpers/requests.ts';

const domain = parseDomain(create(Eip712DomainMsgSchema, D0));
const contractDomain = {
  name: 'Authorization token',
  version: '1',
  chainId: 8006,
  verifyingContract: '0x66f9664f97F2b50F62D13eA064982f936dE76657',
} as const;
const hex = (bytes: Uint8Array): `0x${string}` => `0x${toHex(bytes)}`;
const some = (byte: number, sizeBytes: number): Uint8Array => new Uint8Array(sizeBytes).fill(byte);

const handles = [handleOf(1, 5), handleOf(2, 0)];
const extraData = some(2, 65);
const encKey = some(3, 869);
const share = some(4, 1200);
const word = some(5, 32);
const one = parseRequestId(idOf(1));
const two = parseRequestId(idOf(2));
const user = some(6, 20);

/** Struct, its fields in Solidity, the message as a contract has it, our digest. */
const STRUCTS: readonly [string, string, Record<string, unknown>, Uint8Array][] = [
  [
    'UserDecryptResponseVerification',
    'bytes publicKey,bytes32[] ctHandles,bytes userDecryptedShare,bytes extraData',
    { publicKey: hex(encKey), ctHandles: handles.map(hex), userDecryptedShare: hex(share), extraData: hex(extraData) },
    userDecryptResponseDigest(
      { domain, publicKey: encKey, ctHandles: handles, userDecryptedShare: share, extraData },
      keccak256,
    ),
  ],
  [
    'UserDecryptionLinker',
    'bytes publicKey,bytes32[] handles,address userAddress',
    { publicKey: hex(encKey), handles: handles.map(hex), userAddress: hex(user) },
    userDecryptionLink({ domain, publicKey: encKey, handles, userAddress: user }, keccak256),
  ],
  [
    'PublicDecryptVerification',
    'bytes32[] ctHandles,bytes decryptedResult,bytes extraData',
    { ctHandles: handles.map(hex), decryptedResult: hex(word), extraData: hex(extraData) },
    publicDecryptDigest({ domain, ctHandles: handles, decryptedResult: word, extraData }, keccak256),
  ],
  [
    'KeygenVerification',
    'uint256 prepKeygenId,uint256 keyId,KeyDigest[] keyDigests,bytes extraData',
    {
      prepKeygenId: 1n,
      keyId: 2n,
      keyDigests: [
        { keyType: 0, digest: hex(word) },
        { keyType: 1, digest: hex(word) },
      ],
      extraData: hex(extraData),
    },
    keygenDigest(
      {
        domain,
        prepKeygenId: one,
        keyId: two,
        keyDigests: [
          { type: 'ServerKey', digest: word },
          { type: 'PublicKey', digest: word },
        ],
        extraData,
      },
      keccak256,
    ),
  ],
  [
    'CrsgenVerification',
    'uint256 crsId,uint256 maxBitLength,bytes crsDigest,bytes extraData',
    { crsId: 1n, maxBitLength: 2048n, crsDigest: hex(word), extraData: hex(extraData) },
    crsgenDigest({ domain, crsId: one, maxBitLength: 2048, crsDigest: word, extraData }, keccak256),
  ],
  [
    'PrepKeygenVerification',
    'uint256 prepKeygenId,bytes extraData',
    { prepKeygenId: 1n, extraData: hex(extraData) },
    prepKeygenDigest({ domain, prepKeygenId: one, extraData }, keccak256),
  ],
  [
    'FheDecompressionUpgradeKey',
    'bytes decompressionUpgradeKeyDigest,bytes extraData',
    { decompressionUpgradeKeyDigest: hex(word), extraData: hex(extraData) },
    decompressionUpgradeDigest({ domain, keyDigest: word, extraData }, keccak256),
  ],
];

t.test('viem recovers the signer of every typed struct', async (t) => {
  const node = NodeKey.fromBytes(K0);
  t.teardown(() => node.dispose());
  for (const [primaryType, fields, message, digest] of STRUCTS) {
    const types = {
      [primaryType]: fields.split(',').map((field) => {
        const [type = '', name = ''] = field.split(' ');
        return { type, name };
      }),
      KeyDigest: [
        { name: 'keyType', type: 'uint8' },
        { name: 'digest', type: 'bytes' },
      ],
    };
    const signature = hex(node.signDigest(digest));
    const signer = await recoverTypedDataAddress({ domain: contractDomain, types, primaryType, message, signature });
    t.equal(signer, formatAddress(node.address), primaryType);
  }
});
