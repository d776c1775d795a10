/**
 * Every way in which a sealed object can fail to open, each under a name of its own that never changes.
 *
 * What storage holds is an adversary's: no text out of an object is repeated, only what was asked for is named.
 */
import { isKmsError, KmsError } from '../../common/errors.ts';

/** Name of a fault, and what it says. Names are API: scripts and alarms tell faults apart by them. */
const SEAL_FAULTS = {
  'not-sealed': 'it is no sealed object',
  'unknown-format': 'it is sealed in a format that this release does not know: use the release that wrote it',
  malformed: 'its head is not as the format says',
  'other-charter': 'it was sealed under another charter',
  'other-party': 'it was sealed by another party',
  'other-purpose': 'it was sealed for another purpose',
  'other-name': 'it was sealed under another name',
  'other-type': 'it is of another type',
  'other-key': 'it belongs to another key',
  'other-context': 'it belongs to another context',
  'other-epoch': 'it belongs to another epoch',
  'other-parameters': 'it is of other parameters',
  'other-signer': 'it names another signer',
  'rolled-back': 'it is older than a version that was seen before',
  'head-forged': "its head does not bear the node's signature",
  'other-keychain': 'its data key is wrapped by another keychain',
  'other-data-key': 'its data key is not the one that it was sealed with',
  cut: 'it ends before its end',
  extended: 'bytes follow its end',
  'out-of-order': 'its chunks are in another order, some are missing or some come twice',
  'chunk-malformed': 'a chunk is not as the format says',
  damaged: 'a chunk was changed',
  'tail-forged': "what follows its head does not bear the node's signature",
  'other-writing': 'it is another writing of its version than the manifest names',
  'not-expandable': 'its compressed content cannot be expanded',
  'other-size': 'its content is not of the size that its head says',
  'too-large': 'its content is larger than may be held in memory, or of unknown size',
} as const;

/** A name out of the table. */
export type SealFault = keyof typeof SEAL_FAULTS;

/**
 * Returns the failure of an object that must not open; fact `fault` is the first of the names, fact `faults` all of them.
 *
 * @param name - What was asked for: never a text out of the object.
 * @param faults - All that is wrong, at least one.
 */
export function sealFault(
  name: string,
  faults: readonly [SealFault, ...SealFault[]],
  facts: Readonly<Record<string, number>> = {},
  cause?: unknown,
): KmsError {
  const why = faults.map((fault) => SEAL_FAULTS[fault]).join('; ');
  const named = { object: name, fault: faults[0], faults: faults.join(',') };
  return new KmsError('STATE_INVALID', `sealed object ${name} does not open: ${why}`, { ...facts, ...named }, cause);
}

/** Returns the names of what kept an object shut; none if the error is of another origin. */
export function sealFaultsOf(error: unknown): readonly string[] {
  const faults = isKmsError(error, 'STATE_INVALID') ? error.facts.faults : undefined;
  return typeof faults === 'string' ? faults.split(',').filter((fault) => Object.hasOwn(SEAL_FAULTS, fault)) : [];
}
