/**
 * No two things that a node signs can have the same preimage: each is recognised by its first bytes alone, as
 * docs/security/signatures.md says. Recognition is a function, so what it tells apart is different.
 */
import { globSync, readFileSync } from 'node:fs';
import { create } from '@bufbuild/protobuf';
import fc from 'fast-check';
import t from 'tap';
import { decodeStrict, encodeCanonical } from '../../../attestation/cbor.ts';
import { concatBytes, toHex } from '../../../common/bytes.ts';
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
  TYPED_STRUCTS,
  userDecryptResponseDigest,
} from '../../../wire/eip712.ts';
import { FHE_TYPES } from '../../../wire/fhe-types.ts';
import { HASH_TAG } from '../../../wire/hash.ts';
import { idFromBytes } from '../../../wire/ids.ts';
import {
  encodePublicDecryptionPayload,
  encodeUserDecryptionPayload,
  hasPlaintextWidth,
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
import { LABELLED, LABELS } from './labelled-preimages.ts';

const ROOT = new URL('../../../', import.meta.url);
const node = createReferenceNode();
const domain = parseDomain(create(Eip712DomainMsgSchema, D0));
const verificationKey = verificationKeyField(node.publicKey);

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
const structOf = new WeakMap<Uint8Array, Uint8Array>();

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
const PREIMAGES: Readonly<Record<string, fc.Arbitrary<Uint8Array>>> = {
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

const VERIFICATION_KEY_LENGTH = BigInt(verificationKey.byteLength);
const TYPE_HASHES = new Map(
  Object.entries({
    'user-response-712': TYPED_STRUCTS.userDecryptResponse,
    'public-712': TYPED_STRUCTS.publicDecrypt,
    'keygen-712': TYPED_STRUCTS.keygen,
    'crsgen-712': TYPED_STRUCTS.crsgen,
    'prep-712': TYPED_STRUCTS.prepKeygen,
    'decompression-712': TYPED_STRUCTS.decompressionUpgrade,
  }).map(([name, encodeType]) => [name, toHex(keccak256(Buffer.from(encodeType)))]),
);

/** Names what a preimage is of, looking at its first bytes only. EIP-712 rows are told apart by their type hash. */
function recognise(preimage: Uint8Array): string {
  const buffer = Buffer.from(preimage);
  const [head = 0, textHead = 0] = buffer;
  // The head of a CBOR array of at most 23 items, then that of a text of at most 23 bytes.
  if (head >= 0x80 && head <= 0x97 && textHead >= 0x60 && textHead <= 0x77) {
    return LABELS[buffer.subarray(2, 2 + textHead - 0x60).toString('latin1')] ?? 'nothing';
  }
  if (buffer[0] === 0x30) return 'ca-certificate';
  if (buffer[0] === 0x19 && buffer[1] === 0x01) return '712';
  const tag = buffer.subarray(0, 8).toString('latin1');
  if (tag === HASH_TAG.publicDecryption) return 'public-payload';
  if (tag === HASH_TAG.crs) return 'crs-payload';
  if (tag === HASH_TAG.backupToCustodian) return 'backup-share';
  // The header of a safe serialization, or the number of the first custodian.
  if (tag === HASH_TAG.backupRecovery) return buffer[16] === 0x30 ? 'recovery-answer' : 'recovery-material';
  if (tag === HASH_TAG.userDecryption) {
    return buffer.readBigUInt64LE(8) === VERIFICATION_KEY_LENGTH ? 'user-payload' : 'signcryption';
  }
  if (tag !== HASH_TAG.key) return 'nothing';
  const nameLength = Number(buffer.readBigUInt64LE(8 + 26));
  const name = buffer.subarray(8 + 34, 8 + 34 + nameLength).toString('latin1');
  return { PrepKeygenSignedPayload: 'prep-payload', KeygenSignedPayload: 'keygen-payload' }[name] ?? 'nothing';
}

t.test('every preimage is recognised as what it is, and as nothing else', async (t) => {
  for (const [name, preimages] of Object.entries(PREIMAGES)) {
    const wanted = name.endsWith('-712') ? '712' : name;
    fc.assert(
      fc.property(preimages, (preimage) => recognise(preimage) === wanted),
      { numRuns: 50 },
    );
    t.pass(name);
  }
});

t.test('EIP-712 preimages differ in the type hash that their struct begins with', async (t) => {
  t.equal(new Set(TYPE_HASHES.values()).size, TYPE_HASHES.size);
  t.same(
    [...TYPE_HASHES.keys()].sort(),
    Object.keys(PREIMAGES)
      .filter((name) => name.endsWith('-712'))
      .sort(),
  );
  for (const name of TYPE_HASHES.keys()) {
    fc.assert(
      fc.property(present(PREIMAGES[name]), (preimage) => {
        const struct = present(structOf.get(preimage));
        return preimage.byteLength === 66 && toHex(struct.subarray(0, 32)) === TYPE_HASHES.get(name);
      }),
      { numRuns: 20 },
    );
  }
});

t.test('a plaintext of the length of a verification key would be taken for a payload, and is refused', async (t) => {
  // All that stands between the two is the length: with 41 bytes they would read alike.
  const forged = { bytes: concatBytes(verificationKey), fheType: 8 };
  const body = signcryptionSignedBody(
    encodeSigncryptionMessage(forged, new Uint8Array(32)),
    node.address,
    node.publicKey,
  );
  t.equal(recognise(signedPreimage(HASH_TAG.userDecryption, body)), 'user-payload');
  t.notOk(hasPlaintextWidth(forged));
  for (let fheType = -1; fheType <= 64; fheType++) {
    for (const sizeBytes of [33, 41]) {
      t.notOk(hasPlaintextWidth({ bytes: new Uint8Array(sizeBytes), fheType }), `type ${fheType}, ${sizeBytes} bytes`);
    }
  }
});

t.test('labelled preimages are canonical CBOR, so that other fields never give the same bytes', async (t) => {
  for (const [name, preimages] of Object.entries(LABELLED)) {
    fc.assert(
      fc.property(preimages, (preimage) => {
        const fields = decodeStrict(preimage, { maxBytes: 1_000_000, maxDepth: 8, canonical: true });
        return toHex(encodeCanonical(fields)) === toHex(preimage);
      }),
      { numRuns: 50 },
    );
    t.pass(name);
  }
  t.same(Object.values(LABELS).sort(), Object.keys(LABELLED).sort(), 'a label for each row');
});

t.test('the source code has no label that is not in the table', async (t) => {
  const files = globSync('{attestation,custodian,enclave,parent,wire,common}/**/*.ts', {
    cwd: ROOT,
    exclude: ['**/gen'],
  });
  // The book's label and checksum guard a file in the vault; nobody signs or checks it elsewhere.
  const known = new Set([...Object.keys(LABELS), 'arca-governance-book-1']);
  const found = files.flatMap((file) =>
    [...readFileSync(new URL(file, ROOT), 'utf8').matchAll(/'(arca-[a-z-]+-1)'/g)].map(([, label = '']) => label),
  );
  t.ok(found.length >= known.size);
  t.same(
    found.filter((label) => !known.has(label) && label !== 'arca-party-1'),
    [],
  );
});

t.test('the table of signatures has exactly the rows that are tested here', async (t) => {
  const page = readFileSync(new URL('../../../docs/security/signatures.md', import.meta.url), 'utf8');
  const rows = [...page.matchAll(/^\| `([a-z0-9-]+)` \|/gm)].map(([, name]) => name);
  t.same(rows.sort(), Object.keys(PREIMAGES).sort());
});
