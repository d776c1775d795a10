/** Sealed objects are, byte for byte, what the vectors say, and what a reader that knows only the page makes of them. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { fromHex, toHex } from '../../../common/bytes.ts';
import { clearKeyring } from '../../../enclave/seal/clear-keyring.ts';
import { readIndependently } from './independent.ts';
import { askedFor, CLAIMS, NODE_SCALAR, openBytes, partsOf, SIGNER, sealBytes } from './seal-scene.ts';

interface Vector {
  readonly name: string;
  readonly dataKey: string;
  readonly streamHeader: string;
  /** Content: `repeat` bytes, the i-th i mod `modulus`. */
  readonly repeat: number;
  readonly modulus: number;
  readonly claims: Readonly<Record<string, string | number | null>>;
  readonly compressible: boolean;
  readonly compression: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  /** The whole object, where it is small. */
  readonly sealed?: string;
}

const file: { readonly nodeScalar: string; readonly vectors: readonly Vector[] } = JSON.parse(
  readFileSync(new URL('../../vectors/seal/sealed-objects.json', import.meta.url), 'utf8'),
);

const contentOf = ({ repeat, modulus }: Vector): Uint8Array =>
  Uint8Array.from({ length: repeat }, (_, i) => i % modulus);

const claimsOf = ({ claims }: Vector) => ({
  ...CLAIMS,
  ...Object.fromEntries(Object.entries(claims).map(([name, value]) => [name, value ?? undefined])),
});

/** Randomness that gives what the vector says, by its size. */
function randomOf({ dataKey, streamHeader }: Vector) {
  return (sizeBytes: number) => fromHex(sizeBytes === 32 ? dataKey : streamHeader);
}

t.test('sealing gives the bytes of the vectors', async (t) => {
  t.equal(file.nodeScalar, toHex(NODE_SCALAR));
  // What zstd makes of something is its own affair, and may be another with its next version.
  for (const vector of file.vectors.filter(({ compression }) => compression === 'none')) {
    const random = randomOf(vector);
    const sealer = { signer: SIGNER, keyring: clearKeyring(random), random };
    const options = { claims: claimsOf(vector), sealer, compressible: vector.compressible };
    const sealed = await sealBytes(contentOf(vector), options);
    t.equal(sealed.length, vector.sizeBytes, `${vector.name}: size`);
    t.equal(createHash('sha256').update(sealed).digest('hex'), vector.sha256, `${vector.name}: SHA-256`);
    if (vector.sealed !== undefined) t.equal(toHex(sealed), vector.sealed, `${vector.name}: bytes`);
  }
});

t.test('a reader that knows only the documented format reads them', async (t) => {
  for (const vector of file.vectors) {
    const random = randomOf(vector);
    const sealer = { signer: SIGNER, keyring: clearKeyring(random), random };
    const made = await sealBytes(contentOf(vector), {
      claims: claimsOf(vector),
      sealer,
      compressible: vector.compressible,
    });
    const sealed = Buffer.from(vector.sealed === undefined ? made : fromHex(vector.sealed));
    const { content, fields } = readIndependently(sealed, fromHex(vector.dataKey));
    t.ok(content.equals(contentOf(vector)), `${vector.name}: content`);
    t.equal(fields.get('compression'), vector.compression, `${vector.name}: compression`);
    t.equal(fields.get('name'), claimsOf(vector).name, `${vector.name}: name`);
    t.equal(fields.get('size'), vector.repeat, `${vector.name}: size of the content`);
    t.same([...fields.keys()].length, 18, `${vector.name}: fields`);
  }
});

t.test('the stored bytes open', async (t) => {
  for (const vector of file.vectors.filter(({ sealed }) => sealed !== undefined)) {
    const opened = await openBytes(fromHex(vector.sealed ?? ''), { asked: askedFor(claimsOf(vector)) });
    t.equal(toHex(opened), toHex(contentOf(vector)), vector.name);
  }
});

t.test('the independent reader refuses what was changed, so it does look', async (t) => {
  const sealed = await sealBytes(new Uint8Array(100_000));
  const dataKey = sealed.slice(); // any 32 bytes are no key of it
  t.throws(() => readIndependently(Buffer.from(sealed), dataKey.slice(0, 32)), /commitment/);
  const vector = file.vectors.find((candidate) => candidate.sealed !== undefined && candidate.repeat > 0);
  if (vector?.sealed === undefined) throw new Error('no small vector');
  const bytes = Buffer.from(vector.sealed, 'hex');
  const { head, body, tail } = partsOf(bytes);
  for (const [where, what] of [
    [head + 30, /head|kind|map|signature|commitment|Invalid|range|buffer/i],
    [body + 9, /tag|authenticator/],
    [tail, /tail|point|sig/i],
  ] as const) {
    const changed = Buffer.from(bytes);
    changed[where] = (changed[where] ?? 0) ^ 1;
    t.throws(() => readIndependently(changed, fromHex(vector.dataKey)), what, `byte ${where}`);
  }
});
