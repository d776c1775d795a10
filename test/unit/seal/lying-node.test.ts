/** Objects that a node signed and that are wrong all the same, as a broken release may write them: refused, and bounded. */
import { createHash } from 'node:crypto';
import { zstdCompressSync } from 'node:zlib';
import t from 'tap';
import { type CborValue, encodeCanonical } from '../../../attestation/cbor.ts';
import { concatBytes } from '../../../common/bytes.ts';
import { clearKeyring } from '../../../enclave/seal/clear-keyring.ts';
import { dataKeyBinding } from '../../../enclave/seal/object-claims.ts';
import { tailDigest } from '../../../enclave/seal/object-signatures.ts';
import { openObject } from '../../../enclave/seal/open-object.ts';
import { headDigest, headFields, type SealedHead } from '../../../enclave/seal/sealed-head.ts';
import { openSecretStream } from '../../../enclave/seal/secret-stream.ts';
import { deriveStreamKeys } from '../../../enclave/seal/stream-keys.ts';
import { askedFor, CLAIMS, faultsOf, fixedRandom, openBytes, pieces, SIGNER } from './seal-scene.ts';

/** Makes an object of one chunk as this node would sign it, whatever its head says. */
async function objectOf(
  body: Uint8Array,
  change: Partial<SealedHead> = {},
  other: Readonly<Record<string, CborValue>> = {},
): Promise<Uint8Array> {
  const { dataKey, wrapped } = await clearKeyring(fixedRandom(1)).generate(dataKeyBinding(CLAIMS));
  const { streamKey, commitment } = deriveStreamKeys(dataKey);
  const streamHeader = fixedRandom(2)(24);
  const how = { keychain: 'clear', wrapped, commitment, streamHeader, compression: 'none' } as const;
  const head: SealedHead = { ...CLAIMS, ...how, signer: SIGNER.publicKey, sizeBytes: body.length, ...change };
  const fields = new Map([...headFields(head), ...Object.entries(other)]);
  const encoded = encodeCanonical(['arca-object-head-1', fields]);
  const digest = headDigest(encoded);
  const prefix = Buffer.from('ARCASEAL........');
  prefix.writeUInt32LE(1, 8);
  prefix.writeUInt32LE(encoded.length, 12);
  const frame = Buffer.alloc(8);
  frame.writeUInt32LE(0x8000_0000 + body.length, 4);
  const sealed = new Uint8Array(body.length + 17);
  const stream = await openSecretStream(streamKey, streamHeader);
  stream.push(body, concatBytes(digest, frame), true, sealed);
  stream.close();
  const chunk = concatBytes(frame, sealed);
  const bodyDigest = createHash('sha256').update(chunk).digest();
  const tail = SIGNER.sign(tailDigest({ headDigest: digest, chunks: 1, bodyDigest }));
  return concatBytes(prefix, encoded, SIGNER.sign(digest), chunk, tail);
}

const zeros = (sizeBytes: number): Uint8Array => zstdCompressSync(new Uint8Array(sizeBytes));

t.test('made by hand, a right object opens', async (t) => {
  t.equal((await openBytes(await objectOf(new Uint8Array(9)))).length, 9);
  const zip = await objectOf(zeros(1000), { compression: 'zstd', sizeBytes: 1000 });
  t.equal((await openBytes(zip)).length, 1000);
});

t.test('content of another size than its head says', async (t) => {
  for (const sizeBytes of [0, 8, 10]) {
    t.equal(await faultsOf(openBytes(await objectOf(new Uint8Array(9), { sizeBytes }))), 'other-size', `${sizeBytes}`);
  }
});

t.test('compressed content that expands to more ends where it has to', async (t) => {
  const bomb = await objectOf(zeros(1 << 28), { compression: 'zstd', sizeBytes: 1000 });
  let passed = 0;
  const walk = openObject(pieces(bomb), askedFor(), { keyring: clearKeyring() }, async (content) => {
    for await (const piece of content) passed += piece.length;
  });
  t.equal(await faultsOf(walk), 'other-size');
  t.equal(passed, 0, 'nothing of it comes out');
});

t.test('compressed content that is none, is cut, or wants too large a window', async (t) => {
  const whole = zeros(1000);
  const cases: readonly (readonly [string, Uint8Array])[] = [
    ['none', new Uint8Array(50).fill(1)],
    ['empty', new Uint8Array()],
    ['cut', whole.subarray(0, whole.length - 1)],
    ['a window of 1 GiB', concatBytes(Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa0), new Uint8Array(20))],
  ];
  for (const [why, body] of cases) {
    const sealed = await objectOf(body, { compression: 'zstd', sizeBytes: 1000 });
    const fault = await faultsOf(openBytes(sealed));
    t.ok(fault === 'not-expandable' || (why === 'empty' && fault === 'other-size'), `${why}: ${fault}`);
  }
});

t.test('heads that are signed and not well formed', async (t) => {
  const body = new Uint8Array(3);
  const cases: readonly (readonly [string, Readonly<Record<string, CborValue>>])[] = [
    ['a field more', { more: 1 }],
    ['no party', { party: 0 }],
    ['a party beyond bounds', { party: 65_536 }],
    ['a version that is text', { version: '5' }],
    ['version 0', { version: 0 }],
    ['a name that climbs', { name: '../SigningKey' }],
    ['a name that climbs later', { name: 'FheKeyInfo/../SigningKey' }],
    ['a name with an empty segment', { name: 'FheKeyInfo//aa' }],
    ['a name that ends open', { name: 'FheKeyInfo/' }],
    ['no name', { name: '' }],
    ['an id in capitals', { key: 'AB' }],
    ['an id of half a byte', { epoch: 'abc' }],
    ['an unknown compression', { compression: 'gzip' }],
    ['an unknown purpose', { purpose: 'x' }],
    ['a short commitment', { commitment: new Uint8Array(31) }],
    ['a short stream header', { stream: new Uint8Array(23) }],
    ['a short signer', { signer: new Uint8Array(31) }],
    ['a short charter', { charter: new Uint8Array(47) }],
    ['an empty wrapped key', { wrapped: new Uint8Array() }],
    ['a wrapped key beyond bounds', { wrapped: new Uint8Array(6145) }],
    ['a long root', { root: 'a'.repeat(2049) }],
    ['a long keychain', { keychain: 'a'.repeat(65) }],
    ['a size below zero', { size: -1 }],
    ['a size beyond numbers', { size: 2n ** 60n }],
    ['null for a text', { type: null }],
  ];
  for (const [why, other] of cases) {
    t.equal(await faultsOf(openBytes(await objectOf(body, {}, other))), 'malformed', why);
  }
});
