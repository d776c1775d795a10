/**
 * First enrolment of a developer quorum: every engine says in its log which address it has; once all are known the
 * governance key, which this process holds, signs one record that names them all.
 *
 * What governance looks at elsewhere, an attestation document over charter and address, comes from modules of this very
 * process; so the key may sign at once. A line of a log is untrusted all the same: it is read strictly.
 */
import { equalBytes, fromHex, toHex } from '../../../common/bytes.ts';
import { failure } from '../framework/failure.ts';
import { enrolParties, type QuorumTrust } from './quorum-trust.ts';

/** The event of an engine that the record does not name yet. */
const EVENT = 'engine.unenrolled';

/** Enrolment under way. */
export interface Enrolment {
  /** Takes the facts of a line of a party's log. */
  onFacts(party: number, facts: Readonly<Record<string, unknown>>): void;
  /** Rejects if the quorum cannot be enrolled; never resolves. */
  readonly failed: Promise<never>;
}

/** Watches the engines of a quorum until all addresses are known. */
export function watchEnrolment(dir: string, trust: Pick<QuorumTrust, 'record' | 'governanceKey'>): Enrolment {
  const { parties } = trust.record.body;
  const known = new Map(parties.flatMap(({ party, address }) => (address === undefined ? [] : [[party, address]])));
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {}); // looked at by the start, which may be over
  let isWritten = known.size === parties.length;

  return {
    failed: failed.promise,
    onFacts(party, facts) {
      if (facts.event !== EVENT) return;
      const address = addressOf(facts.address);
      if (facts.party !== party || address === undefined) {
        failed.reject(
          failure('STATE_INVALID', `the engine of party ${party} announced itself wrongly`, "see 'node.log'"),
        );
        return;
      }
      const before = known.get(party);
      if (before !== undefined) {
        if (equalBytes(before, address)) return;
        const what = `the governed record names address 0x${toHex(before)} for party ${party}, its vault has 0x${toHex(address)}`;
        failed.reject(failure('STATE_INVALID', what, 'restore the vault of that party, or start over with --reset'));
        return;
      }
      known.set(party, address);
      if (isWritten || known.size < parties.length) return;
      isWritten = true;
      enrolParties(dir, trust, known).catch((error: unknown) => failed.reject(error));
    },
  };
}

function addressOf(text: unknown): Uint8Array | undefined {
  return typeof text === 'string' && /^0x[0-9a-f]{40}$/i.test(text) ? fromHex(text.slice(2).toLowerCase()) : undefined;
}
