/** What books offer each other: what a peer lacks, who hears of it, damaged bytes, and the same end in whatever order. */
import fc from 'fast-check';
import t from 'tap';
import {
  encodeSigned,
  GovernanceBook,
  type GovernanceOffer,
  makeReleaseSet,
  RELEASE_DELAY_MS,
} from '../../../../attestation/governance/index.ts';
import { isKmsError } from '../../../../common/errors.ts';
import { present } from '../../../helpers/present.ts';
import {
  CHARTER,
  charterOf,
  DAY_MS,
  engineEntry,
  MAINNET,
  NOW_MS,
  recordBytes,
  setBytes,
  thrownBy,
} from './fixtures.ts';

/** A book with record 1 and release set 1 (engine A) in force. */
function bookWithA(): GovernanceBook {
  const book = new GovernanceBook({ charter: CHARTER });
  book.offerRecord(recordBytes());
  t.equal(book.offerReleases(setBytes(1, [engineEntry('A')]), NOW_MS), 'in-force');
  return book;
}

t.test('a peer is offered what it lacks, in an order in which it can take it', async (t) => {
  const book = bookWithA();
  book.offerReleases(setBytes(2, [engineEntry('B')]), NOW_MS);
  t.same(book.versions, { record: 1, releases: 2 });
  const fresh = new GovernanceBook({ charter: charterOf({ party: 2 }) });
  for (const offer of book.offersFor(fresh.versions)) fresh.offer(offer, NOW_MS);
  t.same(fresh.versions, book.versions);
  t.same(book.offersFor(fresh.versions), []);
});

t.test('listeners hear of each change once, and of nothing else', async (t) => {
  const book = new GovernanceBook({ charter: CHARTER });
  let calls = 0;
  const stop = book.onChange(() => calls++);
  book.offerRecord(recordBytes());
  book.offerRecord(recordBytes());
  t.equal(calls, 1);
  book.offerReleases(setBytes(1, [engineEntry('A')]), NOW_MS);
  book.offerReleases(setBytes(2, [engineEntry('B')]), NOW_MS);
  t.equal(calls, 3);
  t.throws(() => book.offerReleases(setBytes(1, []), NOW_MS));
  t.equal(calls, 3);
  book.tick(NOW_MS + RELEASE_DELAY_MS);
  t.equal(calls, 4);
  stop();
  book.offerRecord(recordBytes(2));
  t.equal(calls, 4);
});

t.test('damaged bytes of a book are refused by name, whatever byte is changed', async (t) => {
  const book = bookWithA();
  book.offerReleases(setBytes(2, [engineEntry('B')]), NOW_MS);
  const bytes = book.serialise();
  const damaged = fc.oneof(
    fc.tuple(fc.nat(bytes.byteLength - 1), fc.integer({ min: 1, max: 255 })).map(([at, flip]) => {
      const copy = Uint8Array.from(bytes);
      copy[at] = (copy[at] ?? 0) ^ flip;
      return copy;
    }),
    fc.nat(bytes.byteLength - 1).map((length) => bytes.slice(0, length)),
    fc.uint8Array({ maxLength: 100 }),
  );
  fc.assert(
    fc.property(damaged, (input) => {
      const error = thrownBy(() => GovernanceBook.load(input, { charter: CHARTER }));
      return isKmsError(error, 'STATE_INVALID') && error.message.startsWith('the governance book in the vault');
    }),
    { numRuns: 300 },
  );
  t.throws(() => GovernanceBook.load(bytes, { charter: charterOf({ party: 2 }) }), { message: /another charter/ });
});

/** Everything that peers may hold: versions 1 to 4 of both, and junk. */
const OFFERS: readonly GovernanceOffer[] = [
  ...[1, 2, 3].map((version) => ({ kind: 'record' as const, content: recordBytes(version) })),
  ...[1, 2, 3, 4].map((version) => ({
    kind: 'release-set' as const,
    content: setBytes(
      version,
      version === 3
        ? [engineEntry('R1')]
        : [engineEntry(`R${version}`), engineEntry('R1')].slice(version === 1 ? 1 : 0),
    ),
  })),
  { kind: 'record', content: Uint8Array.of(0x80) },
  { kind: 'release-set', content: encodeSigned(makeReleaseSet({ version: 9, network: MAINNET, entries: [] })) },
];

t.test('whatever the order of offers, nothing goes back and all books reach the same state', async (t) => {
  const steps = fc.array(
    fc.record({
      at: fc.nat(OFFERS.length - 1),
      waitMs: fc.constantFrom(0, 1_000, DAY_MS, 3 * DAY_MS),
      restart: fc.boolean(),
    }),
    { maxLength: 14 },
  );
  fc.assert(
    fc.property(steps, (order) => {
      let book = new GovernanceBook({ charter: CHARTER });
      let nowMs = NOW_MS;
      const offer = (what: GovernanceOffer) => {
        const before = book.versions;
        const held = book.releases?.body.version ?? 0;
        try {
          book.offer(what, nowMs);
        } catch (error) {
          if (!isKmsError(error)) throw error;
        }
        const after = book.versions;
        if (after.record < before.record || after.releases < before.releases) return false;
        return (book.releases?.body.version ?? 0) >= held;
      };
      for (const { at, waitMs, restart } of order) {
        nowMs += waitMs;
        if (!offer(present(OFFERS[at]))) return false;
        if (restart) book = GovernanceBook.load(book.serialise(), { charter: CHARTER });
      }
      // In the end every object reaches every book.
      for (const what of OFFERS) if (!offer(what)) return false;
      book.tick(nowMs + RELEASE_DELAY_MS);
      return (
        book.versions.record === 3 &&
        present(book.record).body.version === 3 &&
        present(book.releases).body.version === 4 &&
        book.pending === undefined
      );
    }),
    { numRuns: 60 },
  );
  t.pass('60 orders');
});
