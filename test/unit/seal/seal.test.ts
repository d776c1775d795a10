/** Sealing and opening: any content in any pieces comes back; what is announced is kept; nothing half-opened is handed out. */
import fc from 'fast-check';
import t from 'tap';
import { clearKeyring } from '../../../enclave/seal/clear-keyring.ts';
import { openObject, verifyObject } from '../../../enclave/seal/open-object.ts';
import { sealObject } from '../../../enclave/seal/seal-object.ts';
import { reach } from '../../helpers/import-graph.ts';
import { askedFor, CLAIMS, fixedRandom, fixedSealer, openBytes, partsOf, pieces, sealBytes } from './seal-scene.ts';

const CHUNK = 65_536;
/** Sizes around the borders of chunks. */
const sizes = fc.oneof(fc.nat(300), fc.constantFrom(CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 17));

t.test('any content comes back, whatever the pieces in which it is read', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      sizes,
      fc.integer({ min: 1, max: 200_000 }),
      fc.boolean(),
      fc.nat(),
      async (size, piece, zip, seed) => {
        const content = zip ? new Uint8Array(size).fill(seed) : fixedRandom(seed)(size);
        const sealed = await sealBytes(content, { compressible: zip, seed });
        const opened = await openBytes(sealed, { sizeBytes: Math.max(piece, sealed.length / 1000) | 0 || 1 });
        return Buffer.from(opened).equals(content);
      },
    ),
    { numRuns: 60 },
  );
  t.pass('60 contents');
});

t.test('content of unknown size streams, and comes back', async (t) => {
  const content = fixedRandom(4)(3 * CHUNK);
  const sealed: Uint8Array[] = [];
  for await (const part of sealObject(CLAIMS, pieces(content, 7777), fixedSealer(1))) sealed.push(part.slice());
  const bytes = new Uint8Array(Buffer.concat(sealed));
  const opened = await openObject(pieces(bytes, 5000), askedFor(), { keyring: clearKeyring() }, async (walk, head) => {
    t.equal(head.sizeBytes, undefined);
    const parts: Buffer[] = [];
    for await (const piece of walk) parts.push(Buffer.from(piece));
    return Buffer.concat(parts);
  });
  t.ok(opened.equals(content));
  await t.rejects(openBytes(bytes), { code: 'STATE_INVALID', facts: { fault: 'too-large' } }, 'not into memory');
});

t.test('compresses only what may be, and only if it is worthwhile', async (t) => {
  const zeros = new Uint8Array(500_000);
  t.ok((await sealBytes(zeros)).length > zeros.length, 'not allowed');
  t.ok((await sealBytes(zeros, { compressible: true })).length < 2000, 'allowed');
  const noise = fixedRandom(9)(100_000);
  t.ok((await sealBytes(noise, { compressible: true })).length > noise.length, 'not worthwhile');
});

t.test('the size of what is sealed depends on the size of the content alone', async (t) => {
  const lengths = [new Uint8Array(100_000), new Uint8Array(100_000).fill(255), fixedRandom(5)(100_000)];
  const sealed = await Promise.all(lengths.map((content) => sealBytes(content)));
  t.equal(new Set(sealed.map(({ length }) => length)).size, 1);
});

t.test('two sealings of one content share nothing but the claims', async (t) => {
  const content = new Uint8Array(1000);
  const [a, b] = [await sealBytes(content, { seed: 1 }), await sealBytes(content, { seed: 2 })];
  const { body } = partsOf(a);
  t.notOk(Buffer.from(a.subarray(body)).equals(Buffer.from(b.subarray(body))));
  t.equal(Buffer.from(a).indexOf(new Uint8Array(32), body), -1, 'no run of the content is to be seen');
});

t.test('content of another size than announced is refused, early if there is more', async (t) => {
  for (const [announced, there] of [
    [10, 9],
    [10, 11],
    [0, 1],
    [CHUNK, 4 * CHUNK],
  ] as const) {
    const work = sealBytes(new Uint8Array(there), { sizeBytes: announced });
    await t.rejects(work, { code: 'REQUEST_INVALID', facts: { sizeBytes: announced } }, `${there} for ${announced}`);
  }
});

t.test('claims that are not well formed are refused, all of them at once', async (t) => {
  const claims = { ...CLAIMS, party: 0, name: '../x', keyId: 'AB', version: 0.5, charterDigest: new Uint8Array(3) };
  const facts = { fields: 'charter,party,name,key,version' };
  await t.rejects(sealBytes(new Uint8Array(3), { claims }), { code: 'REQUEST_INVALID', facts });
});

t.test('an abort ends sealing and opening', async (t) => {
  const { signal } = new AbortController();
  const aborted = AbortSignal.abort();
  await t.rejects(sealBytes(new Uint8Array(9), { signal: aborted }), { code: 'CANCELLED' });
  const sealed = await sealBytes(new Uint8Array(9), { signal });
  const opener = { keyring: clearKeyring(), signal: aborted };
  const walk = openObject(pieces(sealed), askedFor(), opener, async (content) => {
    for await (const piece of content) t.fail(`${piece.length} bytes came out`);
  });
  await t.rejects(walk, { code: 'CANCELLED' });
});

t.test('a walk that stops early is an error, so nobody acts on a part', async (t) => {
  const sealed = await sealBytes(new Uint8Array(3 * CHUNK), { compressible: true });
  const plain = await sealBytes(new Uint8Array(3 * CHUNK));
  for (const bytes of [sealed, plain]) {
    const opener = { keyring: clearKeyring() };
    const early = openObject(pieces(bytes), askedFor(), opener, async (content) => {
      for await (const piece of content) return piece.length;
      return 0;
    });
    await t.rejects(early, { code: 'INTERNAL' });
    await t.rejects(
      openObject(pieces(bytes), askedFor(), opener, async () => 'not even begun'),
      { code: 'INTERNAL' },
    );
  }
});

t.test('pieces are overwritten once the next is asked for', async (t) => {
  for (const compressible of [false, true]) {
    const sealed = await sealBytes(new Uint8Array(3 * CHUNK).fill(0x5a), { compressible });
    const kept: Uint8Array[] = [];
    await openObject(pieces(sealed), askedFor(), { keyring: clearKeyring() }, async (content) => {
      for await (const piece of content) kept.push(piece);
    });
    t.ok(kept.length > 0 && kept.every((piece) => piece.every((byte) => byte === 0)), compressible ? 'zstd' : 'none');
  }
});

t.test('a source that breaks is what is reported, not the object', async (t) => {
  for (const compressible of [false, true]) {
    const content = compressible ? new Uint8Array(9 * CHUNK).fill(3) : fixedRandom(3)(3 * CHUNK);
    const sealed = await sealBytes(content, { compressible });
    async function* breaking(): AsyncGenerator<Uint8Array, void> {
      yield sealed.slice(0, sealed.length - 70);
      throw new Error('the line went dead');
    }
    const opener = { keyring: clearKeyring() };
    const walk = openObject(breaking(), askedFor(), opener, async (pieces) => {
      for await (const piece of pieces) piece.at(0);
    });
    await t.rejects(walk, { message: 'the line went dead' }, `opening, ${compressible}`);
    await t.rejects(
      verifyObject(breaking(), askedFor()),
      { message: 'the line went dead' },
      `verifying, ${compressible}`,
    );
    async function* unread(): AsyncGenerator<Uint8Array, void> {
      yield content;
      throw new Error('the disk is gone');
    }
    const seal = async () => {
      for await (const part of sealObject(CLAIMS, unread(), fixedSealer(1), { compressible })) part.at(0);
    };
    await t.rejects(seal(), { message: 'the disk is gone' }, `sealing, ${compressible}`);
  }
});

t.test('what a keyring throws passes, and the object is let go of', async (t) => {
  let closed = 0;
  async function* watched(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
    try {
      yield bytes;
    } finally {
      closed++;
    }
  }
  const failing = {
    ...clearKeyring(),
    generate: () => Promise.reject(new Error('no')),
    unwrap: () => Promise.reject(new Error('no')),
  };
  const sealer = { ...fixedSealer(1), keyring: failing };
  const seal = async () => {
    for await (const part of sealObject(CLAIMS, watched(new Uint8Array(9)), sealer)) t.fail(`${part.length} bytes`);
  };
  await t.rejects(seal(), { message: 'no' });
  const sealed = await sealBytes(new Uint8Array(9));
  const walk = openObject(watched(sealed), askedFor(), { keyring: failing }, async () => t.fail('opened'));
  await t.rejects(walk, { message: 'no' });
  t.equal(closed, 2);
});

t.test('sealing that is given up half-way lets go of its content', async (t) => {
  let closed = false;
  const piece = new Uint8Array(CHUNK);
  piece.set(fixedRandom(6)(CHUNK / 2));
  async function* endless(): AsyncGenerator<Uint8Array, void> {
    try {
      for (;;) yield piece;
    } finally {
      closed = true;
    }
  }
  for (const compressible of [false, true]) {
    closed = false;
    let parts = 0;
    for await (const part of sealObject(CLAIMS, endless(), fixedSealer(1), { compressible })) {
      if (part.length > 0 && ++parts === 4) break;
    }
    t.ok(closed, compressible ? 'zstd' : 'none');
  }
});

t.test('the production engine does not reach the keyring without keys', async (t) => {
  t.notOk(reach(['enclave/main.ts']).has('enclave/seal/clear-keyring.ts'));
});
