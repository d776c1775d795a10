/** Records of starts: read as written, refused when changed, forged or another's; compared by what may follow what. */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { type CborValue, encodeCanonical } from '../../../attestation/cbor.ts';
import { identityToCbor } from '../../../attestation/mesh/identity.ts';
import {
  compareStarts,
  readStart,
  type StartRecord,
  type StartVerdict,
  startFields,
} from '../../../attestation/start/start-record.ts';
import { concatBytes, toHex } from '../../../common/bytes.ts';
import { isKmsError } from '../../../common/errors.ts';
import { mutate, seededRandom } from '../../helpers/mutate.ts';
import { startingNode } from './records.ts';
import { START } from './start-values.ts';

/** Returns the code of what is wrong; `read` if nothing is. */
function outcomeOf(bytes: Uint8Array): string {
  try {
    readStart(bytes);
    return 'read';
  } catch (error) {
    if (!isKmsError(error)) throw error;
    return error.code;
  }
}

t.test('is read as it was signed, with the address of the node', async (t) => {
  const node = await startingNode(t, 2);
  for (const change of [
    {},
    { epoch: undefined },
    { source: START.manifest },
    { base: START.manifest },
    { releases: 0, record: 0 },
  ]) {
    const signed = node.record(change);
    const read = readStart(signed.bytes);
    t.same(read.start, signed.start);
    t.same(read.digest, signed.digest);
    t.same(read.address, node.key.address);
  }
});

t.test('is what the page says: a signature over SHA-384 of the body', async (t) => {
  const node = await startingNode(t, 2);
  const { start, digest } = node.record();
  const body = encodeCanonical(['arca-start-1', startFields(start)]);
  t.equal(toHex(digest), createHash('sha384').update(body).digest('hex'));
  const whole = encodeCanonical([body, identityToCbor(node.signer.certificate), node.signer.sign(digest)]);
  t.same(readStart(whole).start, start);
});

t.test('one that was kept from before there was a base is read, and counts for the state that it names', async (t) => {
  const node = await startingNode(t, 2);
  const fields = new Map(startFields(node.record().start));
  fields.delete('base');
  const body = encodeCanonical(['arca-start-1', fields]);
  const digest = createHash('sha384').update(body).digest();
  const old = readStart(
    encodeCanonical([body, identityToCbor(node.signer.certificate), node.signer.sign(digest)]),
  ).start;
  t.same(old, node.record().start);
  const nonce = new Uint8Array(32).fill(7);
  const next = { ...START, party: 2, incarnation: 9, nonce, manifest: { ...START.manifest, sequence: 20 } };
  t.equal(compareStarts({ ...next, base: START.manifest }, old), 'newer');
  t.equal(compareStarts({ ...next, base: { ...START.manifest, sequence: 6 } }, old), 'manifest-older');
});

t.test('another party, another key or another purpose does not sign for it', async (t) => {
  const node = await startingNode(t, 2);
  const other = await startingNode(t, 3);
  const { start, digest } = node.record();
  const body = encodeCanonical(['arca-start-1', startFields(start)]);
  const certificate = identityToCbor(node.signer.certificate);
  const foreign = identityToCbor(other.signer.certificate);
  const mesh = identityToCbor({ ...node.signer.certificate, purpose: 'mesh' });
  const cases: readonly (readonly [string, CborValue, Uint8Array, string])[] = [
    ['signed by another node', certificate, other.signer.sign(digest), 'PERMISSION_DENIED'],
    ['certified for another party', foreign, other.signer.sign(digest), 'PERMISSION_DENIED'],
    ['signed with the mesh key', certificate, node.key.signPurpose('mesh', digest), 'PERMISSION_DENIED'],
    ['certified for the mesh', mesh, node.signer.sign(digest), 'REQUEST_INVALID'],
    ['without a signature', certificate, new Uint8Array(0), 'PERMISSION_DENIED'],
  ];
  for (const [why, identity, signature, code] of cases) {
    t.equal(outcomeOf(encodeCanonical([body, identity, signature])), code, why);
  }
});

t.test('signed, and not well formed all the same', async (t) => {
  const node = await startingNode(t, 2);
  const cases: readonly (readonly [string, Readonly<Record<string, CborValue>>])[] = [
    ['incarnation 0', { incarnation: 0 }],
    ['party 0', { party: 0 }],
    ['a state before the first', { manifest: [0, new Uint8Array(48)] }],
    ['a state with a short digest', { manifest: [1, new Uint8Array(47)] }],
    ['a state of three', { manifest: [1, new Uint8Array(48), 1] }],
    ['a short nonce', { nonce: new Uint8Array(31) }],
    ['a short charter', { charter: new Uint8Array(32) }],
    ['an epoch that is text', { epoch: 'x' }],
    ['versions below zero', { releases: -1 }],
    ['restored from a number', { source: 1 }],
    ['restored from a state before the first', { source: [0, new Uint8Array(48)] }],
    ['written by a confirmed start up to a number', { base: 1 }],
    ['written by a confirmed start up to a state before the first', { base: [0, new Uint8Array(48)] }],
    ['a field more', { more: 1 }],
  ];
  for (const [why, other] of cases) {
    const body = encodeCanonical([
      'arca-start-1',
      new Map([...startFields(node.record().start), ...Object.entries(other)]),
    ]);
    const digest = createHash('sha384').update(body).digest();
    const bytes = encodeCanonical([body, identityToCbor(node.signer.certificate), node.signer.sign(digest)]);
    t.equal(outcomeOf(bytes), 'REQUEST_INVALID', why);
  }
});

t.test('every cut, every bit and 2,000 seeded mutations matter', async (t) => {
  const node = await startingNode(t, 2);
  const { bytes } = node.record();
  for (let size = 0; size < bytes.length; size++) {
    if (outcomeOf(bytes.slice(0, size)) === 'read') t.fail(`${size} bytes`);
  }
  t.equal(outcomeOf(concatBytes(bytes, Uint8Array.of(0))), 'REQUEST_INVALID', 'a byte more');
  const random = seededRandom(9);
  const other = node.record({ incarnation: 4 }).bytes;
  for (let round = 0; round < 2000; round++) {
    const damaged = mutate(random, bytes, other);
    const isSame = [bytes, other].some((whole) => Buffer.from(damaged).equals(Buffer.from(whole)));
    const outcome = outcomeOf(damaged);
    // Another address is one that nobody knows: whoever reads a record compares it with the governed record's.
    const isAnothers = outcome === 'read' && toHex(readStart(damaged).address) !== toHex(node.key.address);
    if ((outcome === 'read' && !isAnothers) !== isSame) t.fail(`round ${round}`);
  }
});

t.test('what may follow what', async (t) => {
  const later = (incarnation: number, sequence: number, nonce = 9, digest = sequence): StartRecord => ({
    ...START,
    incarnation,
    nonce: new Uint8Array(32).fill(nonce),
    manifest: { sequence, digest: new Uint8Array(48).fill(digest) },
  });
  const seen = later(3, 7);
  const cases: readonly (readonly [string, StartRecord, StartVerdict])[] = [
    ['the next start', later(4, 8, 1), 'newer'],
    ['one long after', later(9, 70, 1), 'newer'],
    ['the same start later on', later(3, 9), 'moved'],
    ['the same record', later(3, 7), 'same'],
    ['an earlier word of the same start', later(3, 6), 'same'],
    ['a start before', later(2, 6, 1), 'incarnation-lower'],
    ['a start before, of a later state', later(2, 9, 1), 'incarnation-lower'],
    ['another of its number', later(3, 8, 1), 'incarnation-taken'],
    ['the next start of an older state', later(4, 6, 1), 'manifest-older'],
    ['the next start of another state of that number', later(4, 7, 1, 99), 'manifest-forked'],
    ['the next start of the very same state', later(4, 7, 1), 'manifest-older'],
    ['the same start of another state of that number', later(3, 7, 9, 99), 'manifest-forked'],
  ];
  for (const [why, now, verdict] of cases) t.equal(compareStarts(now, seen), verdict, why);

  const since = (start: StartRecord, sequence: number, digest = sequence): StartRecord => ({
    ...start,
    base: { sequence, digest: new Uint8Array(48).fill(digest) },
  });
  const unconfirmed: readonly (readonly [string, StartRecord, StartRecord, StartVerdict])[] = [
    ['the next start, from the state that was seen', since(later(4, 8, 1), 7), seen, 'newer'],
    ['the next start, from a later one', since(later(4, 12, 1), 11), seen, 'newer'],
    ['many starts from an older one', since(later(40, 80, 1), 6), seen, 'manifest-older'],
    ['many starts from another one of that number', since(later(40, 80, 1), 7, 99), seen, 'manifest-forked'],
    ['after one that was not confirmed', since(later(5, 9, 1), 6), since(later(4, 8, 2), 6), 'newer'],
    ['confirmed', later(4, 9, 1), since(later(4, 8, 1), 7), 'moved'],
    ['after one that was confirmed meanwhile', since(later(5, 10, 2), 9), since(later(4, 8, 1), 7), 'newer'],
  ];
  for (const [why, now, before, verdict] of unconfirmed) t.equal(compareStarts(now, before), verdict, why);

  const restored = (start: StartRecord, sequence: number, digest = sequence): StartRecord => ({
    ...start,
    source: { sequence, digest: new Uint8Array(48).fill(digest) },
  });
  const after: readonly (readonly [string, StartRecord, StartRecord, StartVerdict])[] = [
    ['restored from the state that was seen', restored(later(4, 20, 1), 7), seen, 'newer'],
    ['restored from a later one', restored(later(4, 20, 1), 8), seen, 'newer'],
    [
      'restored from an older one, however often it was written since',
      restored(later(4, 20, 1), 6),
      seen,
      'manifest-older',
    ],
    ['restored from another one of that number', restored(later(4, 20, 1), 7, 99), seen, 'manifest-forked'],
    ['restored, and no later start', restored(later(3, 20, 1), 8), seen, 'incarnation-taken'],
    ['started again before it is confirmed', restored(later(5, 22, 2), 7), restored(later(4, 20, 1), 7), 'newer'],
    ['restored anew before it is confirmed', restored(later(5, 15, 2), 7), restored(later(4, 20, 1), 7), 'newer'],
    ['confirmed', later(4, 21, 1), restored(later(4, 20, 1), 7), 'moved'],
    ['restored again from before it was confirmed', restored(later(5, 30, 2), 7), later(4, 21, 1), 'manifest-older'],
  ];
  for (const [why, now, before, verdict] of after) t.equal(compareStarts(now, before), verdict, why);
});

t.test('of two starts never both may follow the other', async (t) => {
  const start = fc
    .tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 2 }))
    .map(([incarnation, sequence, byte]): StartRecord => {
      const nonce = new Uint8Array(32).fill(byte);
      return { ...START, incarnation, nonce, manifest: { sequence, digest: new Uint8Array(48).fill(byte) } };
    });
  const goesOn = (verdict: StartVerdict): boolean => verdict === 'newer' || verdict === 'moved';
  fc.assert(fc.property(start, start, (a, b) => !(goesOn(compareStarts(a, b)) && goesOn(compareStarts(b, a)))));
  t.pass('1 property');
});
