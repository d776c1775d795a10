/**
 * Published TFHE clients against our keys: node-tfhe 1.4.0-alpha.3 (in relayer-sdk 0.4.3) and 1.7.0 read the public
 * key and the CRS, encrypt and prove under them, and read ciphertexts; what they make verifies and decrypts here.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type * as Tfhe from 'node-tfhe';
import t from 'tap';
import { generateCrs, publicDecrypt } from '../../native/engine/index.ts';
import { loadCrs, proveInput, verifyAndExpand } from '../../native/engine/public.ts';
import { fromLittleEndian, save, testKeySet } from '../helpers/fhe-key-set.ts';

// Proofs in WASM take seconds each.
const LIMIT = 1n << 30n;
const SMALL_EXPANDED = 1;
/** Both versions have the parts of the interface used here. */
const client = (name: string): typeof Tfhe => createRequire(import.meta.url)(name);
const newest = client('node-tfhe');
const oldest = client('node-tfhe-1-4');
const clients = [
  ['1.7.0', newest],
  ['1.4.0-alpha.3', oldest],
] as const;

t.test('inputs proven by either client, or here, verify, expand and decrypt', async (t) => {
  const { key, evaluation, folder, publicKey } = await testKeySet(t);
  const made = await generateCrs({ params: 'test', maxNumBits: 16 });
  t.equal(made.maxNumBits, 16);
  save(join(folder, 'CRS'), made.bytes);
  const crsBytes = made.bytes.chunk(0, made.bytes.size);
  made.bytes.dispose();
  const crs = await loadCrs(join(folder, 'CRS'));
  const metadata = Buffer.from('contract, user, chain');
  const open = async (list: Uint8Array) => {
    const elements = await verifyAndExpand({ keys: evaluation, crs, list, metadata });
    const items = elements.map((element) => ({ ...element, format: SMALL_EXPANDED }));
    const plaintexts = await publicDecrypt(key, items);
    return elements.map(({ fheType }, index) => [fheType, fromLittleEndian(plaintexts[index] ?? new Uint8Array())]);
  };

  const values = [
    { fheType: 2, value: 201n },
    { fheType: 0, value: 1n },
    { fheType: 1, value: 9n },
  ];
  const own = await proveInput({ publicKey: { bytes: publicKey }, crs, values, metadata });
  t.same(
    await open(own),
    values.map(({ fheType, value }) => [fheType, value]),
  );

  for (const [version, tfhe] of clients) {
    const theirKey = tfhe.TfheCompactPublicKey.safe_deserialize(publicKey, LIMIT);
    const theirCrs = tfhe.CompactPkeCrs.safe_deserialize(crsBytes, LIMIT);
    const builder = tfhe.CompactCiphertextList.builder(theirKey);
    builder.push_u8(0xbe);
    builder.push_boolean(true);
    const proven = builder.build_with_proof_packed(theirCrs, metadata, tfhe.ZkComputeLoad.Verify);
    const list = proven.safe_serialize(LIMIT);
    t.same(
      await open(list),
      [
        [2, 0xben],
        [0, 1n],
      ],
      version,
    );
    await t.rejects(
      verifyAndExpand({ keys: evaluation, crs, list, metadata: Buffer.from('another user') }),
      { code: 'CIPHERTEXT_INVALID', message: /proof does not hold/ },
      `${version}: other metadata`,
    );
  }

  const invalid = { code: 'CIPHERTEXT_INVALID' };
  for (const [why, list] of [
    ['empty', new Uint8Array()],
    ['cut', own.slice(0, -1)],
    ['extended', Buffer.concat([own, Buffer.from([0])])],
    ['something else', publicKey],
  ] as const) {
    await t.rejects(verifyAndExpand({ keys: evaluation, crs, list, metadata }), invalid, why);
  }
  for (let at = 40; at < own.length; at += 1499) {
    const list = own.slice();
    list[at] = (list[at] ?? 0) ^ 1;
    await verifyAndExpand({ keys: evaluation, crs, list, metadata }).then(
      (elements) => t.equal(elements.length, values.length, `byte ${at} bears no meaning (a tag's)`),
      (error) => t.match(error, invalid, `byte ${at}`),
    );
  }
  await t.rejects(proveInput({ publicKey: { bytes: publicKey }, crs, values: [], metadata }), {
    code: 'REQUEST_INVALID',
  });
  await t.rejects(proveInput({ publicKey: { bytes: own }, crs, values, metadata }), { code: 'KEY_INVALID' });
  crs.dispose();
});

t.test('the public key is readable by the old client because of one version number', async (t) => {
  const { publicKey } = await testKeySet(t);
  // From the end: tag (4 + 8 + 32), proof scheme (8), expansion kind (4 + 4).
  const at = publicKey.length - 44 - 8 - 8;
  t.equal(publicKey[at], 0);
  const asTheCrateWritesIt = publicKey.slice();
  asTheCrateWritesIt[at] = 1;
  t.throws(() => oldest.TfheCompactPublicKey.safe_deserialize(asTheCrateWritesIt, LIMIT), { message: /variant/ });
  for (const bytes of [publicKey, asTheCrateWritesIt]) {
    newest.TfheCompactPublicKey.safe_deserialize(bytes, LIMIT).free();
  }
  oldest.TfheCompactPublicKey.safe_deserialize(publicKey, LIMIT).free();
});

t.test('ciphertexts are those of the clients, in both directions', async (t) => {
  const { key, evaluation } = await testKeySet(t);
  // The stored key holds the crate's own client key, behind header, name, parameters, provenance and tag.
  const stored = Buffer.from(key.encode(new Uint8Array()));
  const at = 34 + 19 + 20 + 8 + 32;
  const clientKey = stored.subarray(at + 8, at + 8 + Number(stored.readBigUInt64LE(at)));
  const theirs = newest.TfheClientKey.safe_deserialize(clientKey, LIMIT);
  for (const value of [0n, 1n, 0x0123_4567_89ab_cdefn, (1n << 64n) - 1n]) {
    const ours = await evaluation.encrypt(value, 5, SMALL_EXPANDED);
    t.equal(newest.FheUint64.safe_deserialize(ours, LIMIT).decrypt(theirs), value);
    oldest.FheUint64.safe_deserialize(ours, LIMIT).free();
    const ciphertext = newest.FheUint64.encrypt_with_client_key(value, theirs).safe_serialize(LIMIT);
    const [plaintext] = await publicDecrypt(key, [{ ciphertext, fheType: 5, format: SMALL_EXPANDED }]);
    t.equal(fromLittleEndian(plaintext ?? new Uint8Array()), value);
  }
  stored.fill(0);
});
