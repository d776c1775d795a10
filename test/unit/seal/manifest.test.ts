/** Manifests: read as written, refused by name when they are another's, older, another of their number, or changed. */
import { createHash } from 'node:crypto';
import { ed25519 } from '@noble/curves/ed25519.js';
import t from 'tap';
import { type CborValue, encodeCanonical } from '../../../attestation/cbor.ts';
import { concatBytes, toHex } from '../../../common/bytes.ts';
import { isKmsError } from '../../../common/errors.ts';
import {
  type ExpectedManifest,
  manifestDigest,
  manifestFields,
  readManifest,
  writeManifest,
} from '../../../enclave/seal/manifest.ts';
import { mutate, seededRandom } from '../../helpers/mutate.ts';
import { ASKED, entryOf, MANIFEST, MANIFEST_SIGNER } from './manifest-scene.ts';
import { signerOf } from './seal-scene.ts';

const stored = writeManifest(MANIFEST, MANIFEST_SIGNER);
const digest = manifestDigest(MANIFEST);

/** Returns the names of what is wrong; `read` if nothing is. */
function faultsOf(bytes: Uint8Array, change: Partial<ExpectedManifest> = {}): unknown {
  try {
    readManifest(bytes, { ...ASKED, ...change });
    return 'read';
  } catch (error) {
    if (!isKmsError(error, 'STATE_INVALID')) throw error;
    return error.facts.faults;
  }
}

t.test('is read as it was written', async (t) => {
  t.same(readManifest(stored, ASKED), MANIFEST);
  const first = { ...MANIFEST, sequence: 1, previous: undefined, entries: new Map(), memory: new Uint8Array(0) };
  t.same(readManifest(writeManifest(first, MANIFEST_SIGNER), ASKED), first, 'the first, of an empty vault');
  const own = { ...MANIFEST, source: undefined };
  t.same(readManifest(writeManifest(own, MANIFEST_SIGNER), ASKED), own, 'one that was copied from nowhere');
});

t.test('is what the page says: a signature over SHA-384 of what follows it', async (t) => {
  const behind = createHash('sha384').update(stored.subarray(64)).digest();
  t.equal(toHex(digest), behind.toString('hex'));
  t.ok(ed25519.verify(stored.subarray(0, 64), behind, MANIFEST_SIGNER.publicKey));
  const beginning = Buffer.concat([Buffer.of(0x82, 0x6f), Buffer.from('arca-manifest-1'), Buffer.of(0xa9)]);
  t.ok(Buffer.from(stored.subarray(64)).subarray(0, 18).equals(beginning), 'array of 2, label, map of 9');
});

t.test('each difference has its own name, and all are told at once', async (t) => {
  const cases: readonly (readonly [string, Partial<ExpectedManifest>])[] = [
    ['other-charter', { charterDigest: new Uint8Array(48) }],
    ['other-party', { party: 3 }],
    ['other-purpose', { purpose: 'backup-object' }],
    ['forged', { signer: signerOf(new Uint8Array(32).fill(9)).publicKey }],
    ['rolled-back', { remembered: { sequence: 8, digest } }],
    ['forked', { remembered: { sequence: 7, digest: digest.slice().fill(0) } }],
    ['other-party,rolled-back', { party: 3, remembered: { sequence: 8, digest } }],
  ];
  for (const [faults, change] of cases) t.equal(faultsOf(stored, change), faults, faults);
  t.equal(faultsOf(stored, { remembered: { sequence: 7, digest } }), 'read', 'the one that is remembered');
  t.equal(faultsOf(stored, { remembered: { sequence: 6, digest } }), 'read', 'a later one');
});

t.test('the keys of objects and of manifests do not mix', async (t) => {
  const scalar = Uint8Array.from({ length: 32 }, (_, i) => i + 1);
  t.equal(faultsOf(writeManifest(MANIFEST, signerOf(scalar))), 'forged');
});

t.test('every cut and every bit matters', async (t) => {
  for (let size = 0; size < stored.length; size++) {
    if (faultsOf(stored.slice(0, size)) === 'read') t.fail(`${size} bytes`);
  }
  for (let bit = 0; bit < stored.length * 8; bit++) {
    const changed = Uint8Array.from(stored);
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    if (faultsOf(changed) === 'read') t.fail(`bit ${bit}`);
  }
  t.equal(faultsOf(concatBytes(stored, Uint8Array.of(0))), 'malformed', 'a byte more');
  t.pass(`${stored.length} bytes`);
});

t.test('signed, and not well formed all the same', async (t) => {
  const cases: readonly (readonly [string, Readonly<Record<string, CborValue>>])[] = [
    ['sequence 0', { sequence: 0 }],
    ['the first with one before', { sequence: 1 }],
    ['a later one without one before', { previous: null }],
    ['a short chain', { previous: new Uint8Array(47) }],
    ['incarnation 0', { incarnation: 0 }],
    ['an unknown purpose', { purpose: 'x' }],
    ['a party that is text', { party: '2' }],
    ['a short charter', { charter: new Uint8Array(32) }],
    ['a memory that is text', { memory: 'x' }],
    ['a memory that is none', { memory: null }],
    ['too much memory', { memory: new Uint8Array(256 * 1024 + 1) }],
    ['a field more', { more: 1 }],
    ['a source that is text', { source: 'x' }],
    ['a source of a short digest', { source: [1, new Uint8Array(47)] }],
    ['a source before the first', { source: [0, new Uint8Array(48)] }],
    ['a source of three', { source: [1, new Uint8Array(48), 1] }],
    ['entries that are a list', { entries: [] }],
    ['a name that climbs', { entries: new Map([['../a', [1, null]]]) }],
    ['an entry without a version', { entries: new Map([['a', [0, null]]]) }],
    ['an entry of one', { entries: new Map([['a', [1]]]) }],
    ['an entry with a short digest', { entries: new Map([['a', [1, ['1-a', new Uint8Array(47), 1]]]]) }],
    ['an entry of no bytes', { entries: new Map([['a', [1, ['1-a', new Uint8Array(48), 0]]]]) }],
    ['an entry elsewhere', { entries: new Map([['a', [1, ['../b', new Uint8Array(48), 1]]]]) }],
  ];
  for (const [why, other] of cases) {
    const fields = new Map([...manifestFields(MANIFEST), ...Object.entries(other)]);
    const encoded = encodeCanonical(['arca-manifest-1', fields]);
    const hash = createHash('sha384').update(encoded).digest();
    t.equal(faultsOf(concatBytes(MANIFEST_SIGNER.sign(hash), encoded)), 'malformed', why);
  }
});

t.test('2,000 seeded mutations: refused, or not changed', async (t) => {
  const random = seededRandom(6);
  const other = writeManifest({ ...MANIFEST, sequence: 8 }, MANIFEST_SIGNER);
  for (let round = 0; round < 2000; round++) {
    const damaged = mutate(random, stored, other);
    const isSame = Buffer.from(damaged).equals(Buffer.from(stored));
    if ((faultsOf(damaged) === 'read') !== isSame) t.fail(`round ${round}`);
  }
  t.pass('2,000');
});

t.test('more objects than a manifest holds are refused before anything is written', async (t) => {
  const entries = new Map(Array.from({ length: 60_000 }, (_, i) => [`Object/${'a'.repeat(60)}${i}`, entryOf(1)]));
  t.throws(() => writeManifest({ ...MANIFEST, entries }, MANIFEST_SIGNER), { code: 'RESOURCE_EXHAUSTED' });
  const memory = new Uint8Array(256 * 1024 + 1);
  t.throws(() => writeManifest({ ...MANIFEST, memory }, MANIFEST_SIGNER), { code: 'RESOURCE_EXHAUSTED' }, 'memory');
});
