/** Whoever owns the storage: cuts, bits, chunks moved about, parts of other objects. Right content or a named refusal, always. */
import t from 'tap';
import { concatBytes } from '../../../common/bytes.ts';
import { clearKeyring } from '../../../enclave/seal/clear-keyring.ts';
import { verifyObject } from '../../../enclave/seal/open-object.ts';
import { mutate, seededRandom } from '../../helpers/mutate.ts';
import { askedFor, CLAIMS, faultsOf, fixedRandom, openBytes, partsOf, pieces, sealBytes } from './seal-scene.ts';

const CHUNK = 65_536;
const STEP = 8 + CHUNK + 17;
const small = await sealBytes(fixedRandom(1)(40));
const large = await sealBytes(fixedRandom(2)(4 * CHUNK + 5));
const { body, tail } = partsOf(large);
const chunk = (index: number): Uint8Array => large.subarray(body + index * STEP, body + (index + 1) * STEP);
const beginning = large.subarray(0, body);
const lastAndTail = large.subarray(body + 4 * STEP);

/** Returns how an object is refused, opened and unopened. */
async function refusals(sealed: Uint8Array): Promise<readonly [string, string]> {
  return [await faultsOf(openBytes(sealed)), await faultsOf(verifyObject(pieces(sealed), askedFor()))];
}

t.test('every cut of a small object is a cut', async (t) => {
  for (let size = 0; size < small.length; size++) {
    t.same(await refusals(small.subarray(0, size)), ['cut', 'cut'], `${size} of ${small.length} bytes`);
  }
  t.same(await refusals(small), ['opened', 'opened']);
});

t.test('cuts of a large object, at and around each border', async (t) => {
  for (const at of [body, ...[1, 2, 3, 4].map((index) => body + index * STEP), tail, large.length]) {
    for (const off of [-65, -9, -1, 0, 1, 7, 8, 9]) {
      const size = at + off;
      if (size < large.length) t.same(await refusals(large.subarray(0, size)), ['cut', 'cut'], `${size} bytes`);
    }
  }
});

t.test('bytes after the end', async (t) => {
  for (const more of [new Uint8Array(1), new Uint8Array(64), small, large.subarray(tail)]) {
    t.same(await refusals(concatBytes(small, more)), ['extended', 'extended'], `${more.length} bytes`);
    t.same(await refusals(concatBytes(large, more)), ['extended', 'extended'], `${more.length} bytes, large`);
  }
});

t.test('no bit of a head can be changed, and the keychain is not asked', async (t) => {
  let asked = 0;
  const keyring = { ...clearKeyring(), unwrap: () => Promise.reject(new Error(`asked ${++asked} times`)) };
  const seen = new Set<string>();
  const end = partsOf(small).body;
  for (let bit = 0; bit < end * 8; bit++) {
    const changed = small.slice();
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    const fault = await faultsOf(openBytes(changed, { keyring }));
    if (fault === 'opened') t.fail(`bit ${bit} does not matter`);
    seen.add(fault);
  }
  t.equal(asked, 0);
  for (const fault of ['not-sealed', 'unknown-format', 'malformed', 'other-party', 'other-name', 'head-forged']) {
    t.ok(seen.has(fault), fault);
  }
  t.ok(seen.has('rolled-back') && seen.has('other-signer'), 'version and signer too');
});

t.test('no bit behind the head can be changed', async (t) => {
  const begin = partsOf(small).body;
  const seen = new Map<string, number>();
  for (let bit = begin * 8; bit < small.length * 8; bit++) {
    const changed = small.slice();
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    const [opened, verified] = await refusals(changed);
    if (opened === 'opened' || verified === 'opened') t.fail(`bit ${bit} does not matter`);
    seen.set(opened, (seen.get(opened) ?? 0) + 1);
  }
  t.equal(seen.get('damaged'), (40 + 17) * 8, 'each of the chunk is damage');
  t.equal(seen.get('tail-forged'), 64 * 8, 'each of the signature is a forged tail');
  t.equal(seen.get('out-of-order'), 32, 'each of the index is disorder');
});

t.test('a bit in the middle of a large object is damage, wherever it is', async (t) => {
  for (const index of [0, 1, 3]) {
    const changed = large.slice();
    const at = body + index * STEP + 8 + 1000;
    changed[at] = (changed[at] ?? 0) ^ 4;
    t.same(await refusals(changed), ['damaged', 'tail-forged'], `chunk ${index}`);
  }
});

t.test('chunks in another order, missing or twice', async (t) => {
  const orders: readonly (readonly [string, readonly number[]])[] = [
    ['exchanged', [1, 0, 2, 3]],
    ['exchanged later', [0, 1, 3, 2]],
    ['one missing', [0, 2, 3]],
    ['the first missing', [1, 2, 3]],
    ['all missing', []],
    ['one twice', [0, 1, 1, 2, 3]],
  ];
  for (const [why, order] of orders) {
    const moved = concatBytes(beginning, ...order.map(chunk), lastAndTail);
    t.same(await refusals(moved), ['out-of-order', 'out-of-order'], why);
  }
});

/** Writes other indices into chunks, as who moves them would. */
function renumbered(order: readonly number[]): Uint8Array {
  const chunks = order.map((from, index) => {
    const moved = chunk(from).slice();
    new DataView(moved.buffer).setUint32(0, index, true);
    return moved;
  });
  return concatBytes(beginning, ...chunks, lastAndTail);
}

t.test('chunks in another order under the right numbers', async (t) => {
  for (const order of [
    [1, 0, 2, 3],
    [0, 1, 3, 2],
    [0, 1, 2, 2],
    [0, 0, 0, 0],
  ]) {
    t.same(await refusals(renumbered(order)), ['damaged', 'tail-forged'], order.join());
  }
});

t.test('chunks that say what none may say', async (t) => {
  const saying = (size: number): Uint8Array => {
    const changed = large.slice();
    new DataView(changed.buffer).setUint32(body + 4, size, true);
    return changed;
  };
  for (const size of [0, 5, CHUNK - 1, CHUNK + 1, 0x7fff_ffff, 0x8000_0000 + CHUNK + 1, 0xffff_ffff]) {
    t.same(await refusals(saying(size)), ['chunk-malformed', 'chunk-malformed'], `size ${size}`);
  }
  t.same(await refusals(saying(0x8000_0000 + CHUNK)), ['extended', 'extended'], 'the first as the last');
  const emptyLast = concatBytes(
    large.subarray(0, body + STEP),
    Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0x80),
    new Uint8Array(81),
  );
  t.same(await refusals(emptyLast), ['chunk-malformed', 'chunk-malformed'], 'a last one without content');
});

t.test('parts of other objects of the same node', async (t) => {
  const older = await sealBytes(fixedRandom(3)(40), { claims: { ...CLAIMS, version: 4 }, seed: 9 });
  const same = await sealBytes(fixedRandom(3)(40), { seed: 8 });
  const own = partsOf(small);
  t.equal(older.length, small.length);
  const cases: readonly (readonly [string, Uint8Array, string])[] = [
    ['the older one as it is', older, 'rolled-back'],
    ['the older body', concatBytes(small.subarray(0, own.body), older.subarray(own.body)), 'damaged'],
    [
      'another writing of the same version',
      concatBytes(small.subarray(0, own.body), same.subarray(own.body)),
      'damaged',
    ],
    ["another's tail", concatBytes(small.subarray(0, own.tail), same.subarray(own.tail)), 'tail-forged'],
    [
      "another's signature of the head",
      concatBytes(small.subarray(0, own.body - 64), same.subarray(own.body - 64)),
      'head-forged',
    ],
    [
      "the tail's signature as the head's",
      concatBytes(small.subarray(0, own.body - 64), small.subarray(own.tail), small.subarray(own.body)),
      'head-forged',
    ],
  ];
  for (const [why, sealed, fault] of cases) t.equal(await faultsOf(openBytes(sealed)), fault, why);
  t.equal((await openBytes(same)).length, 40, 'each by itself opens');
});

t.test('what is no sealed object', async (t) => {
  for (const bytes of [Buffer.from('x'), Buffer.from('ARCASEALS'), Buffer.alloc(5000), Buffer.from('{"a":1}')]) {
    const fault = await faultsOf(openBytes(bytes));
    t.ok(['not-sealed', 'cut'].includes(fault), `${bytes.length} bytes: ${fault}`);
  }
  for (const size of [0, 16_385, 0xffff_ffff]) {
    const changed = small.slice();
    new DataView(changed.buffer).setUint32(12, size, true);
    t.equal(await faultsOf(openBytes(changed)), 'malformed', `a head of ${size} bytes`);
  }
});

t.test('4,000 seeded mutations of objects: the right content or a named refusal', async (t) => {
  const SEED = 20_261_121;
  const random = seededRandom(SEED);
  const originals = [
    { content: fixedRandom(1)(40), sealed: small },
    {
      content: new Uint8Array(9000).fill(1),
      sealed: await sealBytes(new Uint8Array(9000).fill(1), { compressible: true }),
    },
  ];
  let intact = 0;
  for (let round = 0; round < 4000; round++) {
    const { sealed, content } = originals[round % 2] ?? { sealed: small, content: small };
    const damaged = mutate(random, sealed, originals[(round + 1) % 2]?.sealed ?? small);
    try {
      const opened = await openBytes(damaged, { sizeBytes: 1 + random(700) });
      if (Buffer.from(damaged).equals(Buffer.from(sealed))) intact++;
      else t.fail(`round ${round} of seed ${SEED}: something changed, and it opened`);
      if (!Buffer.from(opened).equals(Buffer.from(content))) t.fail(`round ${round} of seed ${SEED}: other content`);
    } catch (error) {
      const fault = await faultsOf(Promise.reject(error));
      if (fault === 'opened') t.fail(`round ${round} of seed ${SEED}`);
    }
  }
  t.ok(intact < 400, `${intact} were not changed at all`);
});
