/** Ids, domain-separated hashes, addresses and types against the golden vectors, and what they refuse. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import t from 'tap';
import { equalBytes, fromHex, toHex } from '../../../common/bytes.ts';
import { addressOfPublicKey, formatAddress, parseAddress } from '../../../wire/addresses.ts';
import { CIPHERTEXT_FORMATS, FHE_TYPES, fheType, fheTypeByName } from '../../../wire/fhe-types.ts';
import { DomainHasher, domainHash, HASH_TAG, listHash, u64le } from '../../../wire/hash.ts';
import {
  DEFAULT_CONTEXT_ID,
  DEFAULT_EPOCH_ID,
  deriveRequestId,
  idBytes,
  idFromBytes,
  parseRequestId,
  SIGNING_KEY_ID,
} from '../../../wire/ids.ts';
import { createReferenceNode } from '../../helpers/reference-node.ts';

const vectors = JSON.parse(readFileSync(new URL('../../vectors/wire/annex-a.json', import.meta.url), 'utf8'));

t.test('named ids derive as published', async (t) => {
  for (const [name, id] of Object.entries(vectors.ids)) t.equal(deriveRequestId(name), id, name);
  t.equal(SIGNING_KEY_ID, vectors.ids.SIGNING_KEY_ID);
  t.equal(DEFAULT_CONTEXT_ID, `0700${'0'.repeat(59)}1`);
  t.equal(DEFAULT_EPOCH_ID, `0800${'0'.repeat(59)}1`);
});

t.test('an id is taken with white space, prefix and upper case, and comes out canonical', async (t) => {
  const id = SIGNING_KEY_ID;
  for (const text of [id, `0x${id}`, id.toUpperCase(), `  ${id}\n`, `0x${id.toUpperCase()} `]) {
    t.equal(parseRequestId(text), id, JSON.stringify(text));
  }
  const upperPrefix = `0X${id}`;
  t.throws(() => parseRequestId(upperPrefix), { code: 'REQUEST_INVALID' }, 'prefix in upper case');
});

t.test('an id of another length, alphabet or all zeros is refused by field', async (t) => {
  for (const bad of ['', '0x', 'ab', `${SIGNING_KEY_ID}0`, 'g'.repeat(64), '0'.repeat(64), `0x${'0'.repeat(64)}`]) {
    t.throws(() => parseRequestId(bad, 'key_id'), { code: 'REQUEST_INVALID', facts: { field: 'key_id' } }, bad);
  }
});

t.test('ids and their 32 bytes convert both ways', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes) => {
      fc.pre(bytes.some((byte) => byte !== 0));
      return equalBytes(idBytes(idFromBytes(bytes)), bytes);
    }),
  );
  t.throws(() => idFromBytes(new Uint8Array(31)), { code: 'REQUEST_INVALID' });
  t.throws(() => idFromBytes(new Uint8Array(32)), { code: 'REQUEST_INVALID' });
});

t.test('hashing in pieces equals hashing at once, and tags separate', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 })), (parts) => {
      const hasher = new DomainHasher(HASH_TAG.key);
      for (const part of parts) hasher.update(part);
      const whole = Buffer.concat(parts);
      return (
        equalBytes(hasher.digest(), domainHash(HASH_TAG.key, whole)) &&
        !equalBytes(domainHash(HASH_TAG.key, whole), domainHash(HASH_TAG.crs, whole))
      );
    }),
  );
  for (const tag of Object.values(HASH_TAG)) t.equal(tag.length, 8, tag);
  t.equal(toHex(listHash(HASH_TAG.key, [])), toHex(domainHash(HASH_TAG.list, Buffer.from(HASH_TAG.key), u64le(0))));
});

t.test('addresses carry the EIP-55 checksum and nothing else is taken', async (t) => {
  const node = createReferenceNode();
  t.equal(node.addressText, vectors.k0.address);
  t.equal(toHex(node.publicKey), vectors.k0.publicKey);
  t.equal(formatAddress(parseAddress(vectors.ek0.user)), vectors.ek0.user);
  const text: string = vectors.k0.address;
  for (const bad of [
    text.toLowerCase(),
    text.toUpperCase(),
    text.slice(2),
    text.slice(0, -1),
    `${text}0`,
    ` ${text}`,
    text.replace('e', 'E'),
    text.replace('6', 'g'),
  ]) {
    t.throws(() => parseAddress(bad, 'client_address'), { code: 'REQUEST_INVALID' }, bad);
  }
  t.throws(() => formatAddress(new Uint8Array(19)), { code: 'REQUEST_INVALID' });
  t.throws(() => addressOfPublicKey(fromHex(vectors.k0.publicKey)), { code: 'REQUEST_INVALID' }, 'compressed key');
});

t.test('types and formats have the numbers, names and widths of the wire', async (t) => {
  const rows = FHE_TYPES.map((type) => [type.number, type.name, type.sizeBytes, type.abiEncodable]);
  t.same(rows, [
    [0, 'Bool', 1, true],
    [1, 'Uint4', 1, false],
    [2, 'Uint8', 1, true],
    [3, 'Uint16', 2, true],
    [4, 'Uint32', 4, true],
    [5, 'Uint64', 8, true],
    [6, 'Uint128', 16, true],
    [7, 'Uint160', 20, true],
    [8, 'Uint256', 32, true],
    [9, 'Uint512', 64, false],
    [10, 'Uint1024', 128, false],
    [11, 'Uint2048', 256, false],
  ]);
  t.same(CIPHERTEXT_FORMATS, ['SmallCompressed', 'SmallExpanded', 'BigCompressed', 'BigExpanded']);
  for (const name of ['uint64', 'euint64', 'FheUint64', 'Uint64']) t.equal(fheTypeByName(name)?.number, 5, name);
  for (const name of ['bool', 'ebool', 'FheBool']) t.equal(fheTypeByName(name)?.number, 0, name);
  for (const number of [-1, 12, 0.5]) t.equal(fheType(number), undefined, `${number}`);
  t.equal(fheTypeByName('int8'), undefined);
});
