/**
 * First enrolment: the governed record comes to name this node's address. Design §3, "First enrolment".
 *
 * A developer node by itself has the governance key, which signs at once: what governance looks at elsewhere, an
 * attestation document over charter and address, is this engine's own and was verified as it started. A party of a quorum
 * says its address and waits until governance has signed a record with it.
 */
import type { KeyObject } from 'node:crypto';
import { encodeSigned, makeRecord, signRecord } from '../../attestation/governance/index.ts';
import { equalBytes, toHex } from '../../common/bytes.ts';
import type { Clock } from '../../common/clock.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
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
  if (isNamed(memory, address, isNewVault)) return;
  const known = current.parties.find((entry) => entry.party === party)?.address;
  if (known) log.warn({ event: 'governance.enrolled-anew', party, was: hexOf(known), is: hexOf(address) });
  if (book.charter.governance.threshold > 1) return;
  const own = current.parties.find((entry) => entry.party === party) ?? { party };
  const parties = [...current.parties.filter((entry) => entry.party !== party), { ...own, address }];
  const record = encodeSigned(signRecord(makeRecord({ ...current, version: current.version + 1, parties }), local.key));
  await memory.offer({ kind: 'record', content: record });
  await local.keep('record', record);
}

/** Where a party of a quorum finds the record that names it. */
export interface EnrolmentFile {
  /** Reads the node's file of the governed record again; undefined while there is none to read. */
  readonly readRecord: () => Promise<Uint8Array | undefined>;
  /** How long a record may take that names the node. Default 5 minutes: another party may still be booting. */
  readonly enrolWithinMs?: number;
}

const POLL_MS = 200;
const ENROL_WITHIN_MS = 300_000;

/**
 * Waits until the governed record names this node, looking at the node's file again and again. Says in the log which
 * address is waiting, for whoever signs the record.
 *
 * @throws KmsError `STATE_INVALID` if the record names another address and the vault is none that was just made, or if no
 *   record has named this one in time.
 */
export async function awaitEnrolment(
  memory: GovernanceMemory,
  address: Uint8Array,
  options: EnrolmentFile & { readonly isNewVault: boolean; readonly clock: Clock; readonly log: Logger },
): Promise<void> {
  const { readRecord, enrolWithinMs = ENROL_WITHIN_MS, isNewVault, clock, log } = options;
  const { party } = memory.book.charter;
  if (isNamed(memory, address, isNewVault)) return;
  log.info({ event: 'engine.unenrolled', party, address: hexOf(address) });
  const beganMs = clock.monotonicMs();
  let last: Uint8Array = new Uint8Array();
  while (clock.monotonicMs() - beganMs < enrolWithinMs) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    const content = (await readRecord()) ?? last;
    if (equalBytes(content, last)) continue;
    last = content;
    await offerRecord(memory, content, log);
    if (isNamed(memory, address, true)) return;
  }
  const what = `the governed record does not name this node, party ${party} with address ${hexOf(address)}`;
  throw new KmsError('STATE_INVALID', `${what}: have governance sign a record that does, and start again`);
}

/** What is in the file may be half written, or old: it is looked at again when it has changed. */
async function offerRecord(memory: GovernanceMemory, content: Uint8Array, log: Logger): Promise<void> {
  try {
    await memory.offer({ kind: 'record', content });
  } catch (err) {
    if (!isKmsError(err)) throw err;
    log.warn({ event: 'governance.refused', kind: 'record', err });
  }
}

/** Whether the record names this node, which it must if the vault is none that was just made. */
function isNamed({ book }: GovernanceMemory, address: Uint8Array, isNewVault: boolean): boolean {
  const { party } = book.charter;
  const known = book.record?.body.parties.find((entry) => entry.party === party)?.address;
  if (known === undefined || equalBytes(known, address)) return known !== undefined;
  if (isNewVault) return false;
  const message = `the governed record names address ${hexOf(known)} for party ${party}, this vault has ${hexOf(address)}`;
  throw new KmsError('STATE_INVALID', `${message}: restore the vault that belongs to it`);
}

function hexOf(address: Uint8Array): string {
  return `0x${toHex(address)}`;
}
