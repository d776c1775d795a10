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
import type { Logger } from '../../common/log.ts';
import type { GovernanceMemory } from './governance-memory.ts';

/** What the engine of developer mode has of governance. */
export interface LocalGovernance {
  /** Approves by itself. */
  readonly key: KeyObject;
  /** Puts what is in force into the node's files: its other processes may not be able to connect before they know it. */
  keep(kind: 'record' | 'release-set', signed: Uint8Array): Promise<void>;
}

/** Settings of {@link enrol}. */
export interface EnrolOptions {
  readonly local: LocalGovernance;
  /** The vault was empty: the address is one that was made just now. */
  readonly isNewVault: boolean;
  readonly log: Logger;
}

/**
 * Puts a record into force that names `address`, unless the one in force does. A network with more than one governance
 * key to ask is left as it is: people enrol the node there.
 *
 * @throws KmsError `STATE_INVALID` if the record names another address and the vault is none that was just made: it is
 *   not the party's.
 */
export async function enrol(memory: GovernanceMemory, address: Uint8Array, options: EnrolOptions): Promise<void> {
  const { local, isNewVault, log } = options;
  const { book } = memory;
  const { party } = book.charter;
  const current = book.record?.body;
  if (!current) return;
  const known = current.parties.find((entry) => entry.party === party)?.address;
  if (known !== undefined) {
    if (equalBytes(known, address)) return;
    const [was, is] = [`0x${toHex(known)}`, `0x${toHex(address)}`];
    if (!isNewVault) {
      const message = `the governed record names address ${was} for party ${party}, this vault has ${is}`;
      throw new KmsError('STATE_INVALID', `${message}: restore the vault that belongs to it`);
    }
    log.warn({ event: 'governance.enrolled-anew', party, was, is });
  }
  if (book.charter.governance.threshold > 1) return;
  const own = current.parties.find((entry) => entry.party === party) ?? { party };
  const parties = [...current.parties.filter((entry) => entry.party !== party), { ...own, address }];
  const record = encodeSigned(signRecord(makeRecord({ ...current, version: current.version + 1, parties }), local.key));
  await memory.offer({ kind: 'record', content: record });
  await local.keep('record', record);
}
