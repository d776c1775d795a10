/** Books that tell each other what the other lacks, as peers do after their hellos, all come to know the highest. */
import fc from 'fast-check';
import t from 'tap';
import { GovernanceBook, RELEASE_DELAY_MS } from '../../../../attestation/governance/index.ts';
import { isKmsError } from '../../../../common/errors.ts';
import { present } from '../../../helpers/present.ts';
import { charterOf, DAY_MS, engineEntry, NOW_MS, recordBytes, setBytes } from './fixtures.ts';

const PARTIES = [1, 2, 3, 4];
const RECORDS = [1, 2, 3].map((version) => recordBytes(version));
const SETS = [1, 2, 3, 4].map((version) => setBytes(version, [engineEntry('A'), engineEntry(`R${version}`)]));

const event = fc.oneof(
  fc.record({ kind: fc.constant('record' as const), to: fc.nat(3), what: fc.nat(RECORDS.length - 1) }),
  fc.record({ kind: fc.constant('set' as const), to: fc.nat(3), what: fc.nat(SETS.length - 1) }),
  fc.record({ kind: fc.constant('meet' as const), to: fc.nat(3), what: fc.nat(3) }),
  fc.record({ kind: fc.constant('wait' as const), to: fc.nat(3), what: fc.nat(3) }),
);

/** Gives `to` what it lacks of what `from` knows; refusals are the taker's business. */
function tell(from: GovernanceBook, to: GovernanceBook, nowMs: number): void {
  for (const offer of from.offersFor(to.versions)) {
    try {
      to.offer(offer, nowMs);
    } catch (error) {
      if (!isKmsError(error)) throw error;
    }
  }
}

t.test('after everybody has met everybody, all hold the highest record and set that anybody was given', async (t) => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 24 }), (events) => {
      const books = PARTIES.map((party) => new GovernanceBook({ charter: charterOf({ party }) }));
      let nowMs = NOW_MS;
      for (const { kind, to, what } of events) {
        const book = present(books[to]);
        try {
          if (kind === 'record') book.offerRecord(present(RECORDS[what]));
          else if (kind === 'set') book.offerReleases(present(SETS[what]), nowMs);
          else if (kind === 'meet') tell(present(books[what]), book, nowMs);
          else nowMs += what * DAY_MS;
        } catch (error) {
          if (!isKmsError(error)) throw error;
        }
      }
      const highest = {
        record: Math.max(...books.map(({ versions }) => versions.record)),
        releases: Math.max(...books.map(({ versions }) => versions.releases)),
      };
      for (const from of books) for (const to of books) tell(from, to, nowMs);
      nowMs += RELEASE_DELAY_MS;
      for (const book of books) book.tick(nowMs);
      return books.every(
        (book) =>
          book.versions.record === highest.record &&
          book.versions.releases === highest.releases &&
          (book.releases?.body.version ?? 0) === highest.releases &&
          (highest.releases === 0 || book.measurements(nowMs).length >= 1),
      );
    }),
    { numRuns: 80 },
  );
  t.pass('80 histories');
});
