/**
 * Formats of the handshake: the proof's preimage byte by byte, and readers that take nothing but what is written.
 */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { decodeHello, encodeHello } from '../../../../attestation/mesh/hello.ts';
import { readLeaf } from '../../../../attestation/mesh/leaf.ts';
import type { Hello } from '../../../../attestation/mesh/mesh-context.ts';
import {
  type Channel,
  decodeProof,
  encodeProof,
  type Proof,
  type ProofClaims,
  proofDigest,
} from '../../../../attestation/mesh/proof.ts';
import { decodeVerdict, encodeVerdict } from '../../../../attestation/mesh/wire-messages.ts';
import { isKmsError } from '../../../../common/errors.ts';
import { createTestMesh, makeTestParty } from '../../../helpers/mesh-pair.ts';

/** Content of the private extension's OID, as it stands in the certificate. */
const EXTENSION_OID = Buffer.from('69f4baa6a8fcc4eab69398add09ee88c80f83a', 'hex').toString('latin1');

const bytes = (fill: number, length = 32): Uint8Array => new Uint8Array(length).fill(fill);
const channel: Channel = {
  service: 'engine-data',
  exporter: bytes(1),
  clientLeafSha256: bytes(2),
  serverLeafSha256: bytes(3),
};
const claims: ProofClaims = {
  role: 'engine',
  service: 'engine-data',
  network: 'dev:test',
  context: bytes(4),
  sender: 1,
  receiver: 2,
  incarnation: 300,
};
const { identity } = await makeTestParty('dev:test', 1);
const hello: Hello = {
  releaseSetVersion: 3,
  recordVersion: 4,
  keyPolicyHash: bytes(5, 48),
  manifestVersion: 6,
  manifestHead: bytes(7, 48),
  identityCertificate: identity.certificate,
};
const proof: Proof = { claims, hello: encodeHello(hello), document: bytes(8, 4500), meshSignature: bytes(9, 64) };

t.test('the digest is SHA-384 over the canonical array of all fields, in the order of the design', async (t) => {
  const text = (value: string): string => Buffer.from(value).toString('hex');
  const helloHash = createHash('sha256').update(proof.hello).digest('hex');
  const preimage = [
    '8c', // an array of twelve
    `71${text('arca-mesh-proof-1')}`,
    `66${text('engine')}`,
    `6b${text('engine-data')}`,
    `5820${'01'.repeat(32)}`, // exporter
    `5820${'02'.repeat(32)}`, // client's leaf
    `5820${'03'.repeat(32)}`, // server's leaf
    `68${text('dev:test')}`,
    `5820${'04'.repeat(32)}`, // context
    '01', // sender
    '02', // receiver
    '19012c', // incarnation
    `5820${helloHash}`,
  ].join('');
  const expected = createHash('sha384').update(Buffer.from(preimage, 'hex')).digest();
  t.same(Buffer.from(proofDigest(channel, claims, proof.hello)), expected);
});

t.test('every field of the proof changes the digest', async (t) => {
  const digests = [
    proofDigest(channel, claims, proof.hello),
    proofDigest({ ...channel, exporter: bytes(0) }, claims, proof.hello),
    proofDigest({ ...channel, clientLeafSha256: bytes(0) }, claims, proof.hello),
    proofDigest({ ...channel, serverLeafSha256: bytes(0) }, claims, proof.hello),
    proofDigest(channel, { ...claims, role: 'core' }, proof.hello),
    proofDigest(channel, { ...claims, service: 'engine-calls' }, proof.hello),
    proofDigest(channel, { ...claims, network: 'dev:tesu' }, proof.hello),
    proofDigest(channel, { ...claims, context: bytes(0) }, proof.hello),
    proofDigest(channel, { ...claims, sender: 2, receiver: 1 }, proof.hello),
    proofDigest(channel, { ...claims, sender: 3 }, proof.hello),
    proofDigest(channel, { ...claims, receiver: 3 }, proof.hello),
    proofDigest(channel, { ...claims, incarnation: 301 }, proof.hello),
    proofDigest(channel, claims, encodeHello({ ...hello, recordVersion: 5 })),
  ];
  t.equal(new Set(digests.map((digest) => Buffer.from(digest).toString('hex'))).size, digests.length);
});

t.test('hello, proof and verdict are read as they were written', async (t) => {
  t.same(decodeHello(encodeHello(hello)), hello);
  const bare: Hello = { ...hello, identityCertificate: undefined, manifestHead: new Uint8Array() };
  t.same(decodeHello(encodeHello(bare)), bare, 'of a parent');
  t.same(decodeProof(encodeProof(proof), 16_384), proof);
  t.same(decodeVerdict(encodeVerdict([])), []);
  t.same(decodeVerdict(encodeVerdict([9, 12])), [9, 12]);
});

t.test('a hello out of its bounds is refused', async (t) => {
  const bad: readonly Partial<Hello>[] = [
    { keyPolicyHash: bytes(5, 47) },
    { manifestHead: bytes(7, 65) },
    { releaseSetVersion: -1 },
    { recordVersion: -5 },
    { identityCertificate: { ...identity.certificate, party: 0 } },
  ];
  for (const change of bad)
    t.throws(() => decodeHello(encodeHello({ ...hello, ...change })), { code: 'REQUEST_INVALID' });
});

t.test('a proof out of its bounds is refused', async (t) => {
  const bad: readonly Partial<Proof>[] = [
    { meshSignature: bytes(9, 63) },
    { hello: bytes(0, 1025) },
    { claims: { ...claims, context: bytes(4, 31) } },
    { claims: { ...claims, sender: 0 } },
    { claims: { ...claims, incarnation: -1 } },
    { claims: { ...claims, network: 'n'.repeat(65) } },
  ];
  for (const change of bad) {
    t.throws(() => decodeProof(encodeProof({ ...proof, ...change }), 16_384), { code: 'REQUEST_INVALID' });
  }
  t.throws(() => decodeProof(encodeProof(proof), 4_000), { code: 'REQUEST_INVALID' }, 'larger than allowed');
});

t.test('no bytes make a reader throw anything but a refusal, and no changed leaf is read', async (t) => {
  const mesh = await createTestMesh(t);
  const { der } = await (await mesh.endpoint('engine')).leaf();
  const readers: readonly ((input: Uint8Array) => unknown)[] = [
    decodeHello,
    (input) => decodeProof(input, 16_384),
    decodeVerdict,
    (input) => readLeaf(input, 16_384),
  ];
  const originals = [encodeHello(hello), encodeProof(proof), encodeVerdict([9, 12]), der];
  const refuses = (read: (input: Uint8Array) => unknown, input: Uint8Array): boolean => {
    try {
      read(input);
      return false;
    } catch (error) {
      if (!isKmsError(error)) throw error;
      return true;
    }
  };
  fc.assert(
    fc.property(fc.nat(3), fc.uint8Array({ maxLength: 300 }), (which, input) => {
      const read = readers[which];
      if (read) refuses(read, input);
    }),
    { numRuns: 2_000 },
  );
  fc.assert(
    fc.property(fc.nat(3), fc.nat(), (which, at) => {
      const [read, original] = [readers[which], originals[which]];
      if (!read || !original) return false;
      return refuses(read, original.subarray(0, at % original.length));
    }),
    { numRuns: 500 },
  );
  for (const [index, read] of readers.entries()) {
    const original = originals[index] ?? new Uint8Array();
    t.ok(refuses(read, Buffer.concat([original, Uint8Array.of(0)])), 'bytes after the end');
  }
  const text = Buffer.from(der).toString('latin1');
  const fixed = [5, 9, 14, text.indexOf('arca mesh'), text.lastIndexOf('arca mesh'), text.indexOf(EXTENSION_OID)];
  for (const at of fixed) {
    const changed = Uint8Array.from(der);
    changed[at] = (changed[at] ?? 0) ^ 1;
    t.ok(
      refuses((input) => readLeaf(input, 16_384), changed),
      `no other name, serial, version or extension: byte ${at}`,
    );
  }
  // A flipped byte is refused, or it is one of the document, the signatures, the key: those are the judge's.
  fc.assert(
    fc.property(fc.nat(der.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const changed = Uint8Array.from(der);
      changed[at] = (changed[at] ?? 0) ^ change;
      if (!refuses((input) => readLeaf(input, 16_384), changed)) {
        const { sha256 } = readLeaf(changed, 16_384);
        return Buffer.compare(sha256, createHash('sha256').update(der).digest()) !== 0;
      }
      return true;
    }),
    { numRuns: 1_000 },
  );
});
