/**
 * No two things that a node signs can have the same preimage: each is recognised by its first bytes alone, as
 * docs/security/signatures.md says. Recognition is a function, so what it tells apart is different.
 */
import fc from 'fast-check';
import t from 'tap';
import { decodeStrict, encodeCanonical } from '../../../attestation/cbor.ts';
import { concatBytes, toHex } from '../../../common/bytes.ts';
import { keccak256 } from '../../../wire/addresses.ts';
import { TYPED_STRUCTS } from '../../../wire/eip712.ts';
import { HASH_TAG } from '../../../wire/hash.ts';
import { hasPlaintextWidth } from '../../../wire/payloads.ts';
import { encodeSigncryptionMessage, signcryptionSignedBody } from '../../../wire/signcryption.ts';
import { signedPreimage } from '../../../wire/signed-payloads.ts';
import { present } from '../../helpers/present.ts';
import { LABELLED, LABELS } from './labelled-preimages.ts';
import { node, PREIMAGES, structOf, verificationKey } from './signed-preimages.ts';

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
