/** What contexts, epochs and their messages look like in the vault and on the wire, and what is refused of it. */
import fc from 'fast-check';
import t from 'tap';
import {
  decodeEpochMessage,
  encodeEpochMessage,
  isNewer,
  type NumberedMessage,
} from '../../../enclave/contexts/default-epoch-message.ts';
import { decodeEpochData, type EpochData, encodeEpochData } from '../../../enclave/contexts/epoch-data.ts';
import { decodeContext, encodeContext } from '../../../enclave/contexts/stored-context.ts';
import { partySets } from '../../../enclave/mpc/party-sets.ts';
import { DEFAULT_CONTEXT_ID, parseRequestId } from '../../../wire/ids.ts';
import { encodeSafe } from '../../../wire/safe-serialize.ts';
import { idOf } from '../../helpers/requests.ts';

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const quorum = fc
  .constantFrom([4, 1], [7, 2], [10, 3], [13, 4])
  .chain(([n = 4, t = 1]) =>
    fc.record({ n: fc.constant(n), t: fc.constant(t), party: fc.integer({ min: 1, max: n }) }),
  );

const epochData: fc.Arbitrary<EpochData> = fc
  .tuple(quorum, bytes(32), fc.boolean(), fc.integer({ min: 1, max: 1e6 }))
  .chain(([of, setUpId, settled, id]) => {
    const count = partySets(of.n, of.t).filter((set) => set.includes(of.party)).length;
    const contextId = parseRequestId(idOf(id));
    return bytes(32).map((key) => ({
      ...of,
      contextId,
      setUpId,
      settled,
      keys: Array.from({ length: count }, () => key),
    }));
  });

t.test('an epoch reads back as it was written, from memory of its own', async (t) => {
  fc.assert(
    fc.property(epochData, (data) => {
      const encoded = encodeEpochData(data);
      t.same(decodeEpochData(encoded), data);
      t.equal(encoded.buffer.byteLength, encoded.byteLength, 'so that wiping it leaves nothing behind');
    }),
    { numRuns: 40 },
  );
});

t.test('an epoch with a number of keys, parties or bytes that is no quorum’s is refused', async (t) => {
  const keys = [1, 2, 3].map((byte) => new Uint8Array(32).fill(byte));
  const good = {
    contextId: DEFAULT_CONTEXT_ID,
    n: 4,
    t: 1,
    party: 2,
    setUpId: new Uint8Array(32),
    settled: true,
    keys,
  };
  t.same(decodeEpochData(encodeEpochData(good)), good);
  const bad: Readonly<Record<string, Partial<EpochData>>> = {
    'a key too few': { keys: keys.slice(1) },
    'a key too many': { keys: [...keys, ...keys.slice(1)] },
    'no quorum': { n: 5 },
    'another threshold': { t: 2 },
    'no threshold': { t: 0 },
    'party 0': { party: 0 },
    'a party beyond the last': { party: 5 },
    'far too many parties': { n: 2 ** 31, t: 2 ** 29 },
  };
  for (const [why, change] of Object.entries(bad)) {
    t.throws(() => decodeEpochData(encodeEpochData({ ...good, ...change })), { code: 'STATE_INVALID' }, why);
  }
  const encoded = encodeEpochData(good);
  for (let length = 0; length < encoded.byteLength; length++) {
    t.throws(() => decodeEpochData(encoded.subarray(0, length)), { code: 'REQUEST_INVALID' }, `${length} bytes`);
  }
  t.throws(() => decodeEpochData(Buffer.concat([encoded, Uint8Array.of(0)])), { code: 'REQUEST_INVALID' }, 'extended');
});

t.test('a context reads back as it was written; what is no quorum is refused', async (t) => {
  const nodesOf = (n: number) =>
    Array.from({ length: n }, (_, index) => ({ party: index + 1, address: new Uint8Array(20).fill(index) }));
  for (const n of [0, 4, 7, 10, 13]) {
    const context = { contextId: DEFAULT_CONTEXT_ID, nodes: nodesOf(n) };
    t.same(decodeContext(encodeContext(context)), context, `${n} nodes`);
  }
  for (const nodes of [nodesOf(5), nodesOf(1), nodesOf(4).reverse(), [...nodesOf(3), ...nodesOf(1)]]) {
    const encoded = encodeContext({ contextId: DEFAULT_CONTEXT_ID, nodes });
    t.throws(() => decodeContext(encoded), { code: 'STATE_INVALID' });
  }
  const encoded = encodeContext({ contextId: DEFAULT_CONTEXT_ID, nodes: nodesOf(4) });
  for (let length = 0; length < encoded.byteLength; length++) {
    t.throws(() => decodeContext(encoded.subarray(0, length)), { code: 'REQUEST_INVALID' }, `${length} bytes`);
  }
  const newer = encodeSafe('arca::Context', 4, (writer) => writer.u32(1));
  t.throws(() => decodeContext(newer), { code: 'REQUEST_INVALID', message: /version/ });
});

const message = fc.oneof(
  fc.array(bytes(32), { minLength: 4, maxLength: 4 }).map((nonces) => ({ what: 'making' as const, nonces })),
  bytes(32).map((setUpId) => ({ what: 'stored' as const, setUpId })),
  bytes(32).map((setUpId) => ({ what: 'settled' as const, setUpId })),
);
const numbered: fc.Arbitrary<NumberedMessage> = fc.record({
  incarnation: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  counter: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  message,
});

t.test('a message reads back as it was written; any other bytes are refused or are one', async (t) => {
  fc.assert(fc.property(numbered, (given) => t.same(decodeEpochMessage(encodeEpochMessage(given), 4), given)));
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (garbage) => {
      try {
        const read = decodeEpochMessage(garbage, 4);
        t.same(encodeEpochMessage(read).byteLength, garbage.byteLength);
      } catch (error) {
        t.match(error, { code: 'REQUEST_INVALID' });
      }
    }),
  );
  const making = encodeEpochMessage({
    incarnation: 1,
    counter: 1,
    message: { what: 'making', nonces: Array.from({ length: 4 }, () => new Uint8Array(32)) },
  });
  t.throws(() => decodeEpochMessage(making, 7), { code: 'REQUEST_INVALID' }, 'of another number of parties');
});

t.test('a message of a later start is newer, whatever it counts', async (t) => {
  const at = (incarnation: number, counter: number): NumberedMessage => ({
    incarnation,
    counter,
    message: { what: 'stored', setUpId: new Uint8Array(32) },
  });
  t.ok(isNewer(at(1, 1), undefined));
  t.ok(isNewer(at(2, 0), at(1, 9)));
  t.ok(isNewer(at(1, 2), at(1, 1)));
  t.notOk(isNewer(at(1, 1), at(1, 1)), 'the same again');
  t.notOk(isNewer(at(1, 9), at(2, 0)));
});
