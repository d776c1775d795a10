/** Whether the vault of this very party was put back, by what another party remembers of it. */
import { compareStarts, type StartRecord } from '../../attestation/start/start-record.ts';
import { KmsError } from '../../common/errors.ts';

/**
 * Returns why this engine must not go on from its vault; undefined if it is newer than what is remembered.
 *
 * @param from - Who remembers.
 * @param now - The own start.
 * @param seen - What is remembered of it, signed by this party.
 */
export function rolledBackFault(from: number, now: StartRecord, seen: StartRecord): KmsError | undefined {
  const verdict = compareStarts(now, seen);
  if (verdict === 'newer' || verdict === 'moved' || verdict === 'same') return undefined;
  const they = `party ${from} remembers start ${seen.incarnation} of this party, from state ${seen.manifest.sequence}`;
  const we = `this is start ${now.incarnation}, from state ${now.manifest.sequence}`;
  const cure = 'use the newest state of the storage, or restore a newer backup';
  const facts = { fault: 'rolled-back', verdict, party: from, incarnation: seen.incarnation };
  const message = `the private vault was put back: ${they} of its vault; ${we}: ${cure}`;
  return new KmsError('STATE_INVALID', message, { ...facts, sequence: seen.manifest.sequence });
}
