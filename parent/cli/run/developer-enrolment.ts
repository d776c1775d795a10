/**
 * Enrolment of a node whose engine runs from a test image: the engine says its address, the governance key of developer mode
 * signs a record that names it, and engine and Core find the record where they look for newer ones.
 *
 * What governance looks at elsewhere, an attestation document over charter and address, is worth nothing more here: the root
 * that signs such documents is this process's own. A line of a log is untrusted all the same: it is read strictly.
 */
import { encodeSigned, makeRecord, signRecord, verifyRecord } from '../../../attestation/governance/index.ts';
import { fromHex } from '../../../common/bytes.ts';
import { type DeveloperTrust, readIfThere, writeWhole } from '../supervise/developer-trust.ts';

const EVENTS: ReadonlySet<unknown> = new Set(['engine.unenrolled', 'engine.ready']);

/** Takes the facts of an engine's line; writes a record if the one that is there names no address for its party. */
export async function enrolFrom(
  facts: Readonly<Record<string, unknown>>,
  recordPath: string,
  { charter, governanceKey }: Pick<DeveloperTrust, 'charter' | 'governanceKey'>,
): Promise<void> {
  const { event, party, address } = facts;
  if (!EVENTS.has(event) || party !== charter.party || charter.governance.threshold > 1) return;
  if (typeof address !== 'string' || !/^0x[0-9a-f]{40}$/i.test(address)) return;
  const bytes = await readIfThere(recordPath);
  if (!bytes) return;
  const { body } = verifyRecord(bytes, charter);
  const own = body.parties.find((entry) => entry.party === party);
  // Another address is another vault: that is for people to look at.
  if (!own || own.address) return;
  const named = { ...own, address: fromHex(address.slice(2).toLowerCase()) };
  const parties = body.parties.map((entry) => (entry.party === party ? named : entry));
  const next = signRecord(makeRecord({ ...body, version: body.version + 1, parties }), governanceKey);
  await writeWhole(recordPath, encodeSigned(next));
}
