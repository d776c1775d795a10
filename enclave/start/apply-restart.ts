/**
 * Takes governance's word that the quorum goes on from given starts, after more parties came out of backups than a quorum
 * may forget. From then on the engine waits for a reshare, whatever else happens.
 */
import { decodeRestart, restartDigest, restartFaults } from '../../attestation/start/quorum-restart.ts';
import { compareStarts, type StartRecord } from '../../attestation/start/start-record.ts';
import { equalBytes } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import type { GovernanceMemory } from '../governance/governance-memory.ts';
import type { ConfirmStart } from './confirm-start.ts';
import type { OwnStart } from './own-start.ts';
import type { PeerMemory } from './peer-memory.ts';

/** What it needs. */
export interface ApplyRestartDeps {
  readonly governance: Pick<GovernanceMemory, 'book' | 'requireApproval'>;
  readonly memory: PeerMemory;
  readonly own: OwnStart;
  readonly confirm: Pick<ConfirmStart, 'state' | 'restarted'>;
}

/**
 * See the file comment. Durable once this returns.
 *
 * @throws KmsError `REQUEST_INVALID` with all that is wrong; `APPROVAL_MISSING` naming the proposal; `STATE_INVALID` if
 *   this vault was put back, or is not the one that is restarted; `PRECONDITION_FAILED` for a restart that was overtaken,
 *   or while a newer record or release set is known elsewhere.
 */
export async function applyRestart(encoded: Uint8Array, deps: ApplyRestartDeps): Promise<void> {
  const { governance, memory, own, confirm } = deps;
  const { book } = governance;
  if (confirm.state.isOver) throw confirm.state.refusal();
  const record = book.record?.body;
  const now = own.current?.start;
  if (!record || !now) throw new KmsError('UNAVAILABLE', 'this engine is starting: try again');
  const restart = decodeRestart(encoded);
  const faults = restartFaults(restart, {
    network: book.charter.network,
    context: record.context,
    parties: record.parties.map(({ party }) => party),
    isGenuine: (one) => memory.isGenuine(one),
  });
  if (faults.length > 0) throw new KmsError('REQUEST_INVALID', `the restart is refused: ${faults.join('; ')}`);
  const digest = restartDigest(encoded);
  await governance.requireApproval('quorum-restart', digest);

  const { reshareDue } = memory;
  if (reshareDue !== undefined && equalBytes(reshareDue.digest, digest)) return;
  if (restart.number <= (reshareDue?.number ?? 0)) {
    throw new KmsError('PRECONDITION_FAILED', 'a later restart has overtaken this one', { number: restart.number });
  }
  const newest = (of: (start: StartRecord) => number): number =>
    Math.max(...restart.starts.map(({ start }) => of(start)));
  const known = book.versions;
  if (newest((start) => start.record) > known.record || newest((start) => start.releases) > known.releases) {
    const message = 'another party knows a newer record or release set: hand it to this node first';
    throw new KmsError('PRECONDITION_FAILED', message);
  }
  const mine = restart.starts.find(({ start }) => start.party === now.party)?.start;
  // The one that governance has seen, or one that goes on from it: this vault knows the starts that led here.
  const isMine = mine === undefined || [now.nonce, ...memory.nonces].some((nonce) => equalBytes(nonce, mine.nonce));
  if (!isMine) {
    throw new KmsError('STATE_INVALID', 'this vault does not go on from the start that governance has approved');
  }
  for (const { start } of restart.remembered.filter((one) => one.start.party === now.party)) {
    const verdict = compareStarts(now, start);
    if (verdict === 'newer' || verdict === 'moved' || verdict === 'same') continue;
    throw new KmsError('STATE_INVALID', 'this vault is older than what other parties remember: restore a newer backup');
  }
  for (const one of [...restart.starts, ...restart.remembered]) if (one.start.party !== now.party) memory.keep(one);
  memory.restart({ number: restart.number, digest });
  await confirm.restarted();
}
