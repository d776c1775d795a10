/**
 * The default context: all parties of the governed record, under the record's context id. Nothing here is secret.
 *
 * It exists by itself, on every node that has the record. Design section 3, "Charter and governed record".
 */
import type { GovernedRecord } from '../../attestation/governance/index.ts';
import { KmsError } from '../../common/errors.ts';
import { idFromBytes } from '../../wire/ids.ts';
import type { Context } from './contexts.ts';

/** Numbers of parties that a quorum may have: 3t + 1 up to t = 4. */
const QUORUM_SIZES: ReadonlySet<number> = new Set([4, 7, 10, 13]);

/**
 * Returns the threshold of a quorum of n parties.
 *
 * @returns undefined unless n is 4, 7, 10 or 13.
 */
export function thresholdOf(n: number): number | undefined {
  return QUORUM_SIZES.has(n) ? (n - 1) / 3 : undefined;
}

/**
 * Returns the default context of a record, or undefined while some party is not enrolled.
 *
 * @param me - This node's number by its charter.
 * @throws KmsError `STATE_INVALID` naming all that keeps the record's parties from being a quorum.
 */
export function governedContext({ parties, context }: GovernedRecord, me: number): Context | undefined {
  const t = thresholdOf(parties.length);
  const numbers = parties.map(({ party }) => party);
  const faults = [
    ...(t === undefined ? [`it has ${parties.length} parties, and a quorum has 4, 7, 10 or 13`] : []),
    ...(numbers.some((party, index) => party !== index + 1)
      ? [`it numbers them ${numbers.join(', ')}, not from 1`]
      : []),
    ...(numbers.includes(me) ? [] : [`it does not name party ${me}, which this node is`]),
  ];
  if (t === undefined || faults.length > 0) {
    throw new KmsError('STATE_INVALID', `the governed record names no quorum: ${faults.join('; ')}`);
  }
  const nodes = parties.flatMap(({ party, address, endpoint = '' }) => (address ? [{ party, address, endpoint }] : []));
  if (nodes.length < parties.length) return undefined;
  return { contextId: idFromBytes(context, 'context'), t, nodes, party: me };
}
