/** Partial decryption by every party and opening, on what the coprocessor's way of encrypting makes. */
import { createDecipheriv, createPrivateKey, decapsulate, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import t from 'tap';
import {
  type CiphertextItem,
  loadSquashKeys,
  NodeKey,
  openDecryption,
  partialDecrypt,
  publicDecrypt,
  userShares,
} from '../../../native/engine/index.ts';
import { generateUserKeyPair } from '../../../wire/signcryption.ts';
import { FORMATS, fromLittleEndian, PLAINTEXT_BYTES, TYPE_BITS, testKeySet } from '../../helpers/fhe-key-set.ts';
import { present } from '../../helpers/present.ts';
import { partialInput, TEST_NAMES, testMaskKeys, thresholdParties } from '../../helpers/threshold-keys.ts';

const { key, evaluation, folder } = await testKeySet(t);
const squash = await loadSquashKeys({ compressedXofKeySetPath: join(folder, 'CompressedXofKeySet') });
t.teardown(() => squash.dispose());

const BIG_COMPRESSED = 2;
const UINT64 = 5;

async function encrypted(value: bigint, fheType: number, format: number): Promise<CiphertextItem> {
  return { ciphertext: await evaluation.encrypt(value, fheType, format), fheType, format };
}

/** One contribution a party, by party number. */
async function contributions(
  parties: ReturnType<typeof thresholdParties>,
  item: CiphertextItem,
): Promise<Map<number, Uint8Array>> {
  const shares = await Promise.all(parties.map((party) => partialDecrypt(partialInput(party, [item], squash))));
  return new Map(shares.map(([share], index) => [index + 1, present(share)]));
}

t.test('opens every type in every format to what was encrypted', async (t) => {
  const parties = thresholdParties(t, key, 4, 1);
  for (const [fheType, bits] of TYPE_BITS.entries()) {
    const most = (1n << BigInt(bits)) - 1n;
    const random = fromLittleEndian(randomBytes(PLAINTEXT_BYTES[fheType] ?? 0)) & most;
    for (const [format, name] of FORMATS.entries()) {
      for (const value of fheType > 8 ? [random] : [0n, most, random]) {
        const item = await encrypted(value, fheType, format);
        const shares = await contributions(parties, item);
        const blocks = Math.ceil(bits / 4);
        t.equal(shares.get(1)?.length, Math.ceil(blocks / 4) * 64, 'four blocks an element');
        const opened = await openDecryption({ n: 4, t: 1, fheType, format, contributions: shares });
        t.equal(fromLittleEndian(present(opened).plaintext), value, `${bits} bits, ${name}`);
        t.equal(opened?.plaintext.length, PLAINTEXT_BYTES[fheType], 'exactly the type’s width');
        t.same(opened?.liars, [], 'nobody lied');
      }
    }
  }
});

t.test('survives silent parties and liars in every quorum, and names the liars', async (t) => {
  for (const [n, threshold] of [
    [4, 1],
    [7, 2],
    [13, 4],
  ] as const) {
    const parties = thresholdParties(t, key, n, threshold);
    const item = await encrypted(0x0123456789abcdefn, UINT64, BIG_COMPRESSED);
    const honest = await contributions(parties, item);
    const open = (given: ReadonlyMap<number, Uint8Array>) =>
      openDecryption({ n, t: threshold, fheType: UINT64, format: BIG_COMPRESSED, contributions: given });
    const value = async (given: ReadonlyMap<number, Uint8Array>) =>
      fromLittleEndian(present(await open(given)).plaintext);

    const late = new Map(honest);
    for (let party = n; party > 2 * threshold + 1; party--) late.delete(party);
    t.equal(await value(late), 0x0123456789abcdefn, `2t + 1 of ${n}`);
    late.delete(1);
    t.equal(await open(late), undefined, '2t are too few');
    t.equal(await open(new Map()), undefined, 'and nothing is too little');

    const lying = new Map(honest);
    const liars = [];
    for (let party = 2; liars.length < threshold; party++) {
      const lie = present(honest.get(party)).slice();
      if (party === 2) lie[0] = (lie[0] ?? 0) ^ 1;
      else lie.set(randomBytes(64));
      lying.set(party, party === 4 ? lie.subarray(1) : lie);
      liars.push(party);
    }
    const opened = await open(lying);
    t.equal(fromLittleEndian(present(opened).plaintext), 0x0123456789abcdefn, 't liars');
    t.same(opened?.liars, liars, 'named');
    lying.delete(1);
    t.equal(await open(lying), undefined, 't liars and a silent party: more shares are needed');
  }
});

t.test('a share depends on ciphertext and names alone, and on every word of them', async (t) => {
  const [party] = thresholdParties(t, key, 4, 1);
  const first = present(party);
  const [item, other] = [await encrypted(5n, UINT64, BIG_COMPRESSED), await encrypted(5n, UINT64, BIG_COMPRESSED)];
  const share = async (items: CiphertextItem[], names = {}) =>
    partialDecrypt({ ...partialInput(first, items), ...names });
  const [alone] = await share([item]);
  const [before, after] = await share([other, item]);
  t.same(alone, after, 'position and batch do not matter');
  t.notSame(alone, before, 'another encryption of the value has another mask');
  const copy = { ...item, ciphertext: item.ciphertext.slice() };
  t.same((await share([copy]))[0], alone, 'nor does the buffer');
  for (const name of ['contextId', 'epochId', 'keyId'] as const) {
    const [changed] = await share([item], { [name]: new Uint8Array(32).fill(77) });
    const same = [0, 1, 2, 3].filter((element) => {
      const at = element * 64;
      return Buffer.compare(present(changed).subarray(at, at + 64), present(alone).subarray(at, at + 64)) === 0;
    });
    t.same(same, [], `${name}: no element is the same`);
  }
});

t.test('shares masked under keys of another set-up are an inconsistent epoch or lies, never a value', async (t) => {
  const parties = thresholdParties(t, key, 4, 1);
  const item = await encrypted(7n, UINT64, BIG_COMPRESSED);
  const honest = await contributions(parties, item);
  const stranger = { ...present(parties[1]), masks: testMaskKeys(4, 1, 2, 'other epoch') };
  const [wrong] = await partialDecrypt(partialInput(stranger, [item]));
  const options = { n: 4, t: 1, fheType: UINT64, format: BIG_COMPRESSED };
  const opened = await openDecryption({ ...options, contributions: new Map(honest).set(2, present(wrong)) });
  t.same([fromLittleEndian(present(opened).plaintext), opened?.liars], [7n, [2]], 'one party: a liar');

  // A constant added to everyone's share is a sharing of another value: 2^127 is no multiple of Δ that a block has.
  const shifted = new Map([...honest].map(([party, bytes]) => [party, bytes.slice()]));
  for (const bytes of shifted.values()) bytes[63] = (bytes[63] ?? 0) ^ 0x80;
  await t.rejects(openDecryption({ ...options, contributions: shifted }), { code: 'ABORTED' }, 'no masked block');
});

/** Opens what was sealed for a user: nonce, length and KEM ciphertext, length and AES-256-GCM ciphertext with its tag. */
function unsealed(share: Uint8Array, seed: Uint8Array): Buffer {
  const privateKey = createPrivateKey({ key: Buffer.from(seed), format: 'raw-seed', asymmetricKeyType: 'ml-kem-512' });
  const secret = decapsulate(privateKey, share.subarray(20, 788));
  const decipher = createDecipheriv('aes-256-gcm', secret, share.subarray(0, 12), { authTagLength: 16 });
  decipher.setAuthTag(share.subarray(-16));
  return Buffer.concat([decipher.update(share.subarray(796, -16)), decipher.final()]);
}

t.test('a user’s shares are the same elements, signed and encrypted', async (t) => {
  const [party] = thresholdParties(t, key, 4, 1);
  const keys = generateUserKeyPair();
  const nodeKey = NodeKey.generate();
  t.teardown(() => nodeKey.dispose());
  const items = [await encrypted(9n, UINT64, BIG_COMPRESSED), await encrypted(1n, 0, 3)];
  const input = partialInput(present(party), items);
  const recipient = { encKey: keys.encKey, clientAddress: new Uint8Array(20), link: new Uint8Array(32) };
  const plain = await partialDecrypt(input);
  const sealed = await userShares({ ...input, ...recipient, nodeKey });
  for (const [index, share] of sealed.entries()) {
    const elements = Buffer.from(present(plain[index]));
    const [count, length] = [Buffer.alloc(8), Buffer.alloc(8)];
    count.writeBigUInt64LE(BigInt(elements.length / 64));
    length.writeBigUInt64LE(BigInt(8 + elements.length));
    const message = unsealed(share, keys.seed).subarray(0, 16 + elements.length);
    t.same(message, Buffer.concat([length, count, elements]), `share ${index}`);
  }
  await t.rejects(userShares({ ...input, ...recipient, nodeKey, link: new Uint8Array(31) }), {
    code: 'REQUEST_INVALID',
  });
  await t.rejects(userShares({ ...input, ...recipient, nodeKey, encKey: new Uint8Array(869) }), {
    code: 'KEY_INVALID',
  });
});

t.test('refuses what is no ciphertext of the stated type, and inputs of different parties', async (t) => {
  const parties = thresholdParties(t, key, 4, 1);
  const [first, second] = [present(parties[0]), present(parties[1])];
  const item = await encrypted(7n, UINT64, BIG_COMPRESSED);
  const cut = { ...item, ciphertext: item.ciphertext.subarray(0, -1) };
  const longer = { ...item, ciphertext: new Uint8Array([...item.ciphertext, 0]) };
  for (const [why, bad] of [
    ['cut', cut],
    ['longer', longer],
    ['another type', { ...item, fheType: 4 }],
    ['another format', { ...item, format: 3 }],
    ['a small format', { ...item, format: 0 }],
  ] as const) {
    await t.rejects(partialDecrypt(partialInput(first, [bad], squash)), { code: 'CIPHERTEXT_INVALID' }, why);
  }
  const small = await encrypted(7n, UINT64, 0);
  await t.rejects(partialDecrypt(partialInput(first, [small])), { code: 'PRECONDITION_FAILED' }, 'no squashing keys');
  const mixed = { ...partialInput(first, [item]), masks: second.masks };
  await t.rejects(partialDecrypt(mixed), { code: 'REQUEST_INVALID' }, 'masks of another party');
  const short = { ...partialInput(first, [item]), keyId: TEST_NAMES.keyId.subarray(1) };
  await t.rejects(partialDecrypt(short), { code: 'REQUEST_INVALID' }, 'a short id');
  t.same(await publicDecrypt(key, [item]).then(([value]) => fromLittleEndian(present(value))), 7n, 'the item is fine');
});

t.test('what is done at once and what is done on the pool are the same', async (t) => {
  const [party] = thresholdParties(t, key, 4, 1);
  const small = await encrypted(7n, UINT64, BIG_COMPRESSED);
  const large = Array.from({ length: 8 }, () => small);
  const of = (items: readonly CiphertextItem[]) => partialDecrypt(partialInput(present(party), items));
  const [[alone], many] = await Promise.all([of([small]), of(large)]);
  t.ok(large.reduce((sum, { ciphertext }) => sum + ciphertext.byteLength, 0) > 16_384, 'too much for doing it at once');
  for (const each of many) t.same(each, alone);
});

t.test('of requests that go to the pool together each has its own answer, or its own fault', async (t) => {
  const parties = thresholdParties(t, key, 4, 1);
  const keys = generateUserKeyPair();
  const nodeKey = NodeKey.generate();
  t.teardown(() => nodeKey.dispose());
  const recipient = { nodeKey, encKey: keys.encKey, clientAddress: new Uint8Array(20), link: new Uint8Array(32) };
  const small = await encrypted(7n, UINT64, BIG_COMPRESSED);
  const large = Array.from({ length: 8 }, () => small);
  const cut = [...large.slice(1), { ...small, ciphertext: small.ciphertext.subarray(1) }];
  const alone = await Promise.all(parties.map((party) => partialDecrypt(partialInput(party, [small]))));
  const rounds = Array.from({ length: 24 }, async (_, round) => {
    const of = round % parties.length;
    const input = partialInput(present(parties[of]), large);
    const bad = { ...partialInput(present(parties[of]), cut) };
    if (round % 5 === 1) return t.rejects(partialDecrypt(bad), { code: 'CIPHERTEXT_INVALID' });
    if (round % 5 === 2) return t.rejects(userShares({ ...bad, ...recipient }), { code: 'CIPHERTEXT_INVALID' });
    if (round % 5 === 3) {
      return t.rejects(userShares({ ...input, ...recipient, link: new Uint8Array(31) }), { code: 'REQUEST_INVALID' });
    }
    if (round % 5 === 4) {
      for (const share of await userShares({ ...input, ...recipient })) {
        t.ok(
          Buffer.from(unsealed(share, keys.seed)).includes(Buffer.from(present(alone[of]?.[0]))),
          `for the user, round ${round}`,
        );
      }
      return undefined;
    }
    for (const share of await partialDecrypt(input)) t.same(share, alone[of]?.[0], `for the peers, round ${round}`);
    return undefined;
  });
  await Promise.all(rounds);
});
