/** One preimage of each kind that a node signs: a row of docs/security/signatures.md each. */
import { create } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { Eip712DomainMsgSchema } from '../../../proto/gen/kms_pb.js';
import { keccak256 } from '../../../wire/addresses.ts';
import { buildCaCertificate } from '../../../wire/certificate.ts';
import { encodeBackupMaterial } from '../../../wire/custodian/backup-material.ts';
import { recoveryMaterialBody } from '../../../wire/custodian/recovery-material.ts';
import { signcryptedBody } from '../../../wire/custodian/signcryption.ts';
import {
  crsgenDigest,
  decompressionUpgradeDigest,
  keygenDigest,
  parseDomain,
  prepKeygenDigest,
  publicDecryptDigest,
  userDecryptResponseDigest,
} from '../../../wire/eip712.ts';
import { FHE_TYPES } from '../../../wire/fhe-types.ts';
import { HASH_TAG } from '../../../wire/hash.ts';
import { idFromBytes } from '../../../wire/ids.ts';
import {
  encodePublicDecryptionPayload,
  encodeUserDecryptionPayload,
  verificationKeyField,
} from '../../../wire/payloads.ts';
import { encodeSigncryptionMessage, signcryptionSignedBody } from '../../../wire/signcryption.ts';
import {
  encodeCrsSignedPayload,
  encodeKeygenSignedPayload,
  encodePrepKeygenSignedPayload,
  signedPreimage,
} from '../../../wire/signed-payloads.ts';
import { present } from '../../helpers/present.ts';
import { createReferenceNode } from '../../helpers/reference-node.ts';
import { D0 } from '../../helpers/requests.ts';
import { LABELLED } from './labelled-preimages.ts';

/** Who signs. */
export const node = createReferenceNode();
const domain = parseDomain(create(Eip712DomainMsgSchema, D0));
/** Its verification key, as answers carry it. */
export const verificationKey = verificationKeyField(node.publicKey);
const bytes = fc.uint8Array({ maxLength: 80 });
const fixed = (sizeBytes: number) => fc.uint8Array({ minLength: sizeBytes, maxLength: sizeBytes });

const ids = fixed(32)
  .filter((id) => id.some((byte) => byte !== 0))
  .map((id) => idFromBytes(id));

const handles = fc.array(fc.uint8Array({ maxLength: 32 }), { maxLength: 3 });

const plaintext = fc
  .constantFrom(...FHE_TYPES)
  .chain((type) => fixed(type.sizeBytes).map((value) => ({ bytes: value, fheType: type.number })));

const keyDigests = fixed(32).map((digest) => [{ type: 'PublicKey' as const, digest }]);

/** Keys in a custodian's share. */
const KEYS = { custodianKey: node.publicKey, operatorKey: node.publicKey };

/** The encoded struct behind each EIP-712 preimage: what was hashed just before it. */
export const structOf = new WeakMap<Uint8Array, Uint8Array>();

/** Records what a digest function hashes last: the preimage of the signature. */
function preimage712(digestWith: (keccak: (data: Uint8Array) => Uint8Array) => Uint8Array): Uint8Array {
  const hashed: Uint8Array[] = [];
  digestWith((data) => {
    hashed.push(Uint8Array.from(data));
    return keccak256(data);
  });
  const preimage = present(hashed.at(-1));
  structOf.set(preimage, present(hashed.at(-2)));
  return preimage;
}

/** Makes preimages of each row of the table. */
export const PREIMAGES: Readonly<Record<string, fc.Arbitrary<Uint8Array>>> = {
  ...LABELLED,
  'user-response-712': fc
    .tuple(bytes, handles, bytes, bytes)
    .map(([publicKey, ctHandles, userDecryptedShare, extraData]) =>
      preimage712((k) => userDecryptResponseDigest({ domain, publicKey, ctHandles, userDecryptedShare, extraData }, k)),
    ),
  'public-712': fc
    .tuple(handles, bytes, bytes)
    .map(([ctHandles, decryptedResult, extraData]) =>
      preimage712((k) => publicDecryptDigest({ domain, ctHandles, decryptedResult, extraData }, k)),
    ),
  'keygen-712': fc
    .tuple(ids, ids, keyDigests, bytes)
    .map(([prepKeygenId, keyId, digests, extraData]) =>
      preimage712((k) => keygenDigest({ domain, prepKeygenId, keyId, keyDigests: digests, extraData }, k)),
    ),
  'crsgen-712': fc
    .tuple(ids, fc.nat(2048), bytes, bytes)
    .map(([crsId, maxBitLength, crsDigest, extraData]) =>
      preimage712((k) => crsgenDigest({ domain, crsId, maxBitLength, crsDigest, extraData }, k)),
    ),
  'prep-712': fc
    .tuple(ids, bytes)
    .map(([prepKeygenId, extraData]) => preimage712((k) => prepKeygenDigest({ domain, prepKeygenId, extraData }, k))),
  'decompression-712': fc
    .tuple(bytes, bytes)
    .map(([keyDigest, extraData]) =>
      preimage712((k) => decompressionUpgradeDigest({ domain, keyDigest, extraData }, k)),
    ),
  'public-payload': fc
    .array(plaintext, { maxLength: 3 })
    .map((plaintexts) =>
      signedPreimage(HASH_TAG.publicDecryption, encodePublicDecryptionPayload({ verificationKey, plaintexts })),
    ),
  'user-payload': fc.tuple(bytes, bytes, bytes).map(([digest, signcryptedCiphertext, externalHandle]) =>
    signedPreimage(
      HASH_TAG.userDecryption,
      encodeUserDecryptionPayload({
        verificationKey,
        digest,
        signcryptedCiphertexts: [{ fheType: 5, signcryptedCiphertext, externalHandle, packingFactor: 1 }],
        partyId: 1,
        degree: 0,
      }),
    ),
  ),
  signcryption: fc
    .tuple(plaintext, fixed(32), fixed(20), fixed(800))
    .map(([value, link, address, ek]) =>
      signedPreimage(
        HASH_TAG.userDecryption,
        signcryptionSignedBody(encodeSigncryptionMessage(value, link), address, ek),
      ),
    ),
  'prep-payload': fc
    .tuple(ids, bytes)
    .map(([prepId, extraData]) => signedPreimage(HASH_TAG.key, encodePrepKeygenSignedPayload({ prepId, extraData }))),
  'keygen-payload': fc
    .tuple(ids, ids, keyDigests, bytes)
    .map(([prepId, keyId, digests, extraData]) =>
      signedPreimage(HASH_TAG.key, encodeKeygenSignedPayload({ prepId, keyId, keyDigests: digests, extraData })),
    ),
  'crs-payload': fc
    .tuple(ids, fc.nat(2048), bytes, bytes)
    .map(([crsId, maxNumBits, crsDigest, extraData]) =>
      signedPreimage(HASH_TAG.crs, encodeCrsSignedPayload({ crsId, maxNumBits, crsDigest, extraData })),
    ),
  'backup-share': fc
    .tuple(ids, ids, fc.integer({ min: 1, max: 15 }), fixed(64), fixed(20), fixed(800))
    .map(([backupId, mpcContextId, custodianRole, share, address, ek]) =>
      signedPreimage(
        HASH_TAG.backupToCustodian,
        signcryptedBody(encodeBackupMaterial({ ...KEYS, backupId, mpcContextId, custodianRole, share }), {
          address,
          ek,
        }),
      ),
    ),
  'recovery-answer': fc
    .tuple(ids, ids, fc.integer({ min: 1, max: 15 }), fixed(64), fixed(20), fixed(800))
    .map(([backupId, mpcContextId, custodianRole, share, address, ek]) =>
      signedPreimage(
        HASH_TAG.backupRecovery,
        signcryptedBody(encodeBackupMaterial({ ...KEYS, backupId, mpcContextId, custodianRole, share }), {
          address,
          ek,
        }),
      ),
    ),
  'recovery-material': fc
    .tuple(ids, ids, fc.integer({ min: 3, max: 15 }), bytes)
    .map(([contextId, mpcContextId, custodians, ciphertext]) =>
      signedPreimage(
        HASH_TAG.backupRecovery,
        recoveryMaterialBody({
          ciphertexts: new Map(Array.from({ length: custodians }, (_, index) => [index + 1, ciphertext])),
          commitments: new Map(),
          context: { threshold: 1, contextId, custodians: new Map(), backupKey: new Uint8Array(800) },
          mpcContextId,
        }),
      ),
    ),
  'ca-certificate': fc.tuple(fixed(8), fc.integer({ min: 1, max: 40_000 })).map(([serial, days]) => {
    let toBeSigned = new Uint8Array(0);
    buildCaCertificate({
      publicKey: node.publicKeyUncompressed,
      commonName: 'arca',
      notBefore: new Date(0),
      notAfter: new Date(days * 86_400_000),
      serial: Uint8Array.of(1, ...serial),
      sign: (data) => {
        toBeSigned = Uint8Array.from(data);
        return node.signDer(data);
      },
    });
    return toBeSigned;
  }),
};
