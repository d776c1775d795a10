import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { encodeCanonical } from '../../../../attestation/cbor.ts';
import {
  AWS_ANCHOR,
  charterDigest,
  charterFor,
  charterFromJson,
  charterToJson,
  decodeCharter,
  encodeCharter,
  makeCharter,
  pcr16Of,
  rawPublicKey,
  supermajority,
} from '../../../../attestation/governance/index.ts';
import { toHex } from '../../../../common/bytes.ts';
import { CHARTER, charterOf, DEV_CHARTER, digestOf, GOVERNANCE, keyOf, thrownBy } from './fixtures.ts';

t.test('a charter comes back from its bytes and from its JSON form with the same digest', async (t) => {
  for (const charter of [CHARTER, DEV_CHARTER]) {
    t.same(decodeCharter(encodeCharter(charter)), charter);
    const json: unknown = JSON.parse(JSON.stringify(charterToJson(charter)));
    t.same(encodeCharter(charterFromJson(json)), encodeCharter(charter));
  }
});

t.test('the digest is SHA-384 of canonical [label, fields], and PCR16 one extension of zeros with it', async (t) => {
  const governance = new Map<string, number | Uint8Array[]>([
    ['keys', [...CHARTER.governance.keys]],
    ['threshold', 3],
  ]);
  const bytes = encodeCanonical([
    'arca-charter-1',
    new Map<string, string | number | Uint8Array | typeof governance>([
      ['version', 1],
      ['network', 'mainnet-1'],
      ['party', 1],
      ['governance', governance],
      ['anchor', AWS_ANCHOR],
    ]),
  ]);
  const sha384 = (data: Uint8Array) => createHash('sha384').update(data).digest();
  t.equal(toHex(charterDigest(CHARTER)), sha384(bytes).toString('hex'));
  t.equal(toHex(pcr16Of(CHARTER)), sha384(Buffer.concat([Buffer.alloc(48), sha384(bytes)])).toString('hex'));
});

t.test('parties of one network differ in their number, so in digest and PCR16', async (t) => {
  const second = charterFor(CHARTER, 2);
  t.equal(second.party, 2);
  t.not(toHex(charterDigest(second)), toHex(charterDigest(CHARTER)));
  t.not(toHex(pcr16Of(second)), toHex(pcr16Of(CHARTER)));
});

t.test('the order in which governance keys were given does not matter', async (t) => {
  const keys = GOVERNANCE.map(rawPublicKey);
  const reversed = charterOf({ governance: { keys: [...keys].reverse(), threshold: 3 } });
  t.same(encodeCharter(reversed), encodeCharter(CHARTER));
});

t.test('all faults of a charter are named at once', async (t) => {
  const error = thrownBy(() =>
    charterFromJson({
      version: 2,
      network: 'Main Net',
      party: 0,
      governance: { keys: ['00'] },
      anchor: 'zz',
      extra: 1,
    }),
  );
  t.match(error, { code: 'REQUEST_INVALID' });
  for (const path of ['version', 'network', 'party', 'governance.keys', 'governance.threshold', 'anchor', 'unknown']) {
    t.match(error.message, path, path);
  }
});

t.test('a threshold below 2t + 1 or above the number of keys is refused', async (t) => {
  t.same([1, 2, 3, 4, 5, 6, 7, 10].map(supermajority), [1, 1, 1, 3, 3, 3, 5, 7]);
  for (let count = 1; count <= 10; count++) {
    const keys = Array.from({ length: count }, (_, at) => rawPublicKey(keyOf(`k${at}`)));
    const least = 2 * Math.floor((count - 1) / 3) + 1;
    for (let threshold = 1; threshold <= count + 1; threshold++) {
      const make = () => charterOf({ governance: { keys, threshold } });
      if (threshold >= least && threshold <= count) t.doesNotThrow(make, `${threshold} of ${count}`);
      else t.throws(make, { code: 'REQUEST_INVALID' }, `${threshold} of ${count}`);
    }
  }
});

t.test('developer networks have a developer root, all others the root of AWS', async (t) => {
  t.throws(() => charterOf({ network: 'dev:1234' }), { code: 'REQUEST_INVALID', message: /developer root/ });
  t.throws(() => charterOf({ anchor: digestOf('root').subarray(0, 32) }), { message: /root of AWS/ });
  t.throws(() => makeCharter({ ...DEV_CHARTER, network: 'developer' }), { message: /root of AWS/ });
});

t.test('keys that anybody could sign for, and keys that are none, are refused', async (t) => {
  const smallOrder = [
    '0100000000000000000000000000000000000000000000000000000000000000',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
    '0000000000000000000000000000000000000000000000000000000000000000',
    'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
  ];
  for (const hex of smallOrder) {
    const keys = [Uint8Array.from(Buffer.from(hex, 'hex'))];
    t.throws(() => charterOf({ governance: { keys, threshold: 1 } }), { message: /large order/ }, hex);
  }
});

t.test('a key that stands twice is refused', async (t) => {
  const key = rawPublicKey(keyOf('twice'));
  t.throws(() => charterOf({ governance: { keys: [key, key], threshold: 1 } }), { message: /none twice/ });
});

t.test('no changed, cut or extended encoding of a charter is read as the same charter', async (t) => {
  const bytes = encodeCharter(CHARTER);
  const digest = toHex(charterDigest(CHARTER));
  const changed = fc.oneof(
    fc.nat(bytes.byteLength - 1).map((length) => bytes.slice(0, length)),
    fc.uint8Array({ minLength: 1, maxLength: 8 }).map((more) => Uint8Array.from([...bytes, ...more])),
    fc.tuple(fc.nat(bytes.byteLength - 1), fc.integer({ min: 1, max: 255 })).map(([at, flip]) => {
      const copy = Uint8Array.from(bytes);
      copy[at] = (copy[at] ?? 0) ^ flip;
      return copy;
    }),
    fc.uint8Array({ maxLength: 64 }),
  );
  fc.assert(
    fc.property(changed, (input) => {
      try {
        return toHex(charterDigest(decodeCharter(input))) !== digest;
      } catch (error) {
        return error instanceof Error && 'code' in error && error.code === 'REQUEST_INVALID';
      }
    }),
    { numRuns: 500 },
  );
  t.pass('500 inputs');
});

t.test('an encoding of the same fields that is not canonical is refused', async (t) => {
  const bytes = encodeCharter(CHARTER);
  const indefinite = Buffer.concat([Buffer.of(0x9f), bytes.subarray(1), Buffer.of(0xff)]);
  t.throws(() => decodeCharter(indefinite), { code: 'REQUEST_INVALID' });
  const longHead = Buffer.concat([Buffer.of(0x98, 0x02), bytes.subarray(1)]);
  t.throws(() => decodeCharter(longHead), { code: 'REQUEST_INVALID' });
});
