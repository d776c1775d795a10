/**
 * A release set for people.
 */
import {
  bodyDigest,
  entryToJson,
  proposalDigest,
  proposalFor,
  type ReleaseSet,
  releaseWarnings,
  type Signed,
} from '../../../attestation/governance/index.ts';
import { toHex } from '../../../common/bytes.ts';

/** Returns the lines about a set: entries with their registers, digests, what to know of their ends. */
export function describeSet(set: Signed<ReleaseSet>, nowMs: number): string {
  const { body } = set;
  const lines = [`release set ${body.version} of network ${body.network}`];
  for (const entry of body.entries) {
    const { notBefore, notAfter } = entryToJson(entry);
    const next = entry.supersededBy === undefined ? '' : `, superseded by ${entry.supersededBy}`;
    lines.push(`  ${entry.release}  ${entry.role} on ${entry.platform}, ${notBefore} to ${notAfter}${next}`);
    for (const [index, value] of entry.pcrs) lines.push(`    PCR${String(index).padEnd(3)} ${toHex(value)}`);
  }
  if (body.entries.length === 0) lines.push('  no entries: trusts nobody');
  lines.push(`  digest        ${toHex(bodyDigest(set))}`);
  lines.push(`  proposal      ${toHex(proposalDigest(proposalFor('release-set', set)))}`);
  for (const { level, text } of releaseWarnings(body, nowMs)) {
    if (level !== 'ok') lines.push(`  ${level.padEnd(13)} ${text}`);
  }
  return lines.join('\n');
}
