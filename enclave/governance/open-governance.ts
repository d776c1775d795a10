/**
 * Opens the vault's memory of governance, adds what the node's files hold, and sees to it that the record names this
 * node before the engine goes on. All of it is public.
 */
import { type Charter, encodeSigned } from '../../attestation/governance/index.ts';
import type { Clock } from '../../common/clock.ts';
import { KmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type { PrivateVault } from '../vault/private-vault.ts';
import { awaitEnrolment, type EnrolmentFile, enrol, type LocalGovernance } from './enrol.ts';
import { type GovernanceMemory, offerFiles, openGovernanceMemory } from './governance-memory.ts';

/** What governance is opened with. */
export interface OpenGovernanceOptions {
  readonly vault: PrivateVault;
  /** Of this node's key. */
  readonly address: Uint8Array;
  readonly charter: Charter;
  /** As the node's files hold them. */
  readonly record: Uint8Array | undefined;
  readonly releases: Uint8Array | undefined;
  /** Governance that approves by itself; developer mode alone has it. */
  readonly localGovernance?: LocalGovernance | undefined;
  /** Where a record that names this node will come from; a developer node by itself enrols itself. */
  readonly enrolment?: EnrolmentFile | undefined;
  /** Whether it is configured as one of a quorum. */
  readonly isParty: boolean;
  /** The vault is not written to before the memory's `mayWrite`. */
  readonly holdWrites?: boolean | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * See the file comment.
 *
 * @throws KmsError `STATE_INVALID` if nobody is trusted, if the record names another node as this party, or if it is to be a
 *   party of a quorum and would run alone.
 */
export async function openGovernance(options: OpenGovernanceOptions): Promise<GovernanceMemory> {
  const {
    vault,
    address,
    charter,
    record,
    releases,
    localGovernance: local,
    enrolment,
    holdWrites,
    clock,
    log,
  } = options;
  const memory = await openGovernanceMemory({ vault, charter, localKey: local?.key, holdWrites, clock, log });
  const isNewVault = memory.book.versions.record === 0;
  const files = [
    ...(record ? [{ kind: 'record' as const, content: record }] : []),
    ...(releases ? [{ kind: 'release-set' as const, content: releases }] : []),
  ];
  try {
    await offerFiles(memory, files, log);
    if (enrolment) await awaitEnrolment(memory, address, { ...enrolment, isNewVault, clock, log });
    else if (local) await enrol(memory, address, { local, isNewVault, log });
    if (!options.isParty && !local) refuseAlone(memory);
    if (local) keepReleases(memory, local, log);
    return memory;
  } catch (error) {
    await memory.close();
    throw error;
  }
}

/** Whether a node is one of a quorum is governance's to say: whoever writes the configuration only agrees with it. */
function refuseAlone({ book }: GovernanceMemory): void {
  const parties = book.record?.body.parties.length ?? 0;
  if (parties <= 1) return;
  const message = `the governed record names ${parties} parties, so this node is one of a quorum: configure [threshold]`;
  throw new KmsError('STATE_INVALID', message, { parties });
}

/** Keeps the release set in the node's files, from which the next start of developer mode makes a newer one. */
function keepReleases({ book }: GovernanceMemory, local: LocalGovernance, log: Logger): void {
  let kept = book.versions.releases;
  book.onChange(() => {
    if (!book.releases || book.versions.releases === kept) return;
    kept = book.versions.releases;
    local.keep('release-set', encodeSigned(book.releases)).catch((err: unknown) => {
      log.warn({ event: 'governance.not-written', err });
    });
  });
}
