/**
 * First enrolment in developer mode: the local governance key signs a record that names this node's address.
 *
 * What governance looks at elsewhere, an attestation document over charter and address, is this engine's own and was
 * verified as it started; so the key may sign at once. Design §3, "First enrolment".
 */
import type { KeyObject } from 'node:crypto';
import { encodeSigned, makeRecord, signRecord } from '../../attestation/governance/index.ts';
import { equalBytes, toHex } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import type { GovernanceMemory } from './governance-memory.ts';

/**
 * Puts a record into force that names `address`, unless the one in force does. A network with more than one governance
 * key to ask is left as it is: people enrol the node there.
 *
 * @throws KmsError `STATE_INVALID` if the record names another address: this vault is not the party's.
 */
export async function enrol(memory: GovernanceMemory, address: Uint8Array, localKey: KeyObject): Promise<void> {
  const { book } = memory;
  const { party } = book.charter;
  const current = book.record?.body;
  if (!current) return;
  const known = current.parties.find((entry) => entry.party === party)?.address;
  if (known !== undefined) {
    if (equalBytes(known, address)) return;
    const message = `the governed record names address 0x${toHex(known)} for party ${party}, this vault has 0x${toHex(address)}`;
    throw new KmsError('STATE_INVALID', `${message}: restore the vault that belongs to it`);
  }
  if (book.charter.governance.threshold > 1) return;
  const parties = current.parties.map((entry) => (entry.party === party ? { ...entry, address } : entry));
  const record = signRecord(makeRecord({ ...current, version: current.version + 1, parties }), localKey);
  await memory.offer({ kind: 'record', content: encodeSigned(record) });
}
