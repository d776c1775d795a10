/**
 * What `arca vault status` does: at every party of the quorum on `--dir`, or at the one node that is named.
 */

import { toHex } from '../../../common/bytes.ts';
import type { StartStatus, VaultStatus } from '../../../proto/gen/engine_pb.js';
import { GrpcError, STATUS } from '../../grpc/status.ts';
import type { AdminClient } from '../client/admin-client.ts';
import { withPartyAdmins } from '../client/quorum-admin.ts';
import type { NodeSelection } from '../client/session.ts';
import { EXIT, usageFailure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';

/** A state of a vault that somebody wrote down. */
export interface Pin {
  readonly sequence: bigint;
  readonly digest: string;
}

const PIN = /^(\d{1,16}):([0-9a-f]{96})$/;

/** Reads `--pin`. */
export function readPin(text: string): Pin {
  const [, sequence, digest] = PIN.exec(text) ?? [];
  if (sequence === undefined || digest === undefined) {
    throw usageFailure(`'${text}' is no state of a vault`, 'give what `arca vault status` prints after "pin"');
  }
  return { sequence: BigInt(sequence), digest };
}

/** `arca vault status`. */
export async function runVaultStatus(
  options: NodeSelection & { readonly pin?: string | undefined },
  output: Output,
): Promise<void> {
  const pin = options.pin === undefined ? undefined : readPin(options.pin);
  await withPartyAdmins(options, async ({ parties, missing }) => {
    if (pin !== undefined && parties.length !== 1) {
      throw usageFailure('--pin is about one node', 'name it with --dir or --url');
    }
    for (const { party, reason } of missing) output.warn(`party ${party}: ${reason}`);
    const rows = await Promise.all(
      parties.map(async ({ admin }) => ({ vault: await admin.getVault(), backup: await backupOf(admin) })),
    );
    const verdicts = pin === undefined ? [] : rows.map(({ vault }) => judgePin(vault, pin));
    const texts = rows.map(({ vault, backup }) => describeVault(vault, backup).join('\n'));
    const json = rows.map(({ vault, backup }) => ({ ...vaultJson(vault), ...(backup && { backup }) }));
    const wrong = verdicts.filter((verdict) => verdict !== undefined);
    output.result({ vaults: json, ...(pin && { pin: { ok: wrong.length === 0 } }) }, [...texts, ...wrong].join('\n\n'));
    if (wrong.length > 0) process.exitCode = EXIT.failed;
  });
}

/** What is wrong with a vault, held against what was written down; undefined if nothing is. */
export function judgePin(vault: VaultStatus, { sequence, digest }: Pin): string | undefined {
  if (!vault.sealed) return 'THE VAULT IS IN CLEAR: it has no state that could be pinned';
  const stands = `it is at state ${vault.sequence}, and state ${sequence} was written down`;
  if (vault.sequence < sequence) return `THE VAULT WAS PUT BACK: ${stands}`;
  if (vault.sequence > sequence || toHex(vault.digest) === digest) return undefined;
  return `THE VAULT IS ANOTHER ONE: its state ${sequence} has another digest than was written down`;
}

/** Lag of the backup; undefined where the node has none. */
interface BackupLag {
  readonly objects: number;
  readonly secs: number;
}

async function backupOf({ client }: AdminClient): Promise<BackupLag | undefined> {
  try {
    const { status } = await client.admin('GetBackup', {}, { timeoutMs: 10_000 });
    return status && { objects: Number(status.behind), secs: Math.round(Number(status.behindMs) / 1000) };
  } catch (error) {
    if (error instanceof GrpcError && error.status === STATUS.UNIMPLEMENTED) return undefined; // no backup vault
    throw error;
  }
}

/** The other parties of a quorum confirm a restored vault; a node alone has nobody but its operator. */
const UNCONFIRMED = ', and not confirmed since';
const COMPARE = ': compare it with the pin that you wrote down';

function describeVault(vault: VaultStatus, backup: BackupLag | undefined): string[] {
  const { party, keychain, sealed, sequence, digest, objects, bytes, restored, keyPolicy, incarnation, start } = vault;
  const lag = backup && (backup.objects === 0 ? 'up to date' : `${backup.objects} objects, ${backup.secs} s behind`);
  return [
    `party ${party}`,
    `  keychain      ${keychain}${sealed ? '' : ' (nothing is sealed: developer mode)'}`,
    `  starts        ${incarnation}`,
    ...(sealed ? [`  objects       ${objects}, ${bytes} bytes`, `  pin           ${sequence}:${toHex(digest)}`] : []),
    ...(keyPolicy.length > 0 ? [`  key policy    ${toHex(keyPolicy)}`] : []),
    ...(lag === undefined ? [] : [`  backup        ${lag}`]),
    ...(restored ? [`  restored      from a backup${start ? UNCONFIRMED : COMPARE}`] : []),
    ...(start ? describeStart(start) : []),
  ];
}

function describeStart({ phase, reason, acknowledged, needed, refused, restored, restart }: StartStatus): string[] {
  return [
    `  start         ${phase}: by ${acknowledged.length} others (${acknowledged.join(', ') || 'none'}), ${needed} needed`,
    ...(reason === '' ? [] : [`                ${reason}`]),
    ...refused.map(({ party, why }) => `                party ${party} refuses it: ${why}`),
    ...(restored.length > 0 ? [`  not confirmed since they were restored: party ${restored.join(', ')}`] : []),
    ...(restart > 0n ? [`  restarts      ${restart}, by governance`] : []),
  ];
}

function vaultJson({ start, ...vault }: VaultStatus): object {
  return {
    party: vault.party,
    keychain: vault.keychain,
    sealed: vault.sealed,
    incarnation: Number(vault.incarnation),
    ...(vault.sealed
      ? {
          sequence: Number(vault.sequence),
          digest: toHex(vault.digest),
          pin: `${vault.sequence}:${toHex(vault.digest)}`,
          objects: Number(vault.objects),
          bytes: Number(vault.bytes),
          restored: vault.restored,
        }
      : {}),
    ...(vault.keyPolicy.length > 0 ? { keyPolicy: toHex(vault.keyPolicy) } : {}),
    ...(start
      ? {
          start: {
            phase: start.phase,
            reason: start.reason,
            acknowledged: start.acknowledged,
            needed: start.needed,
            refused: start.refused.map(({ party, why }) => ({ party, why })),
            restored: start.restored,
            restarts: Number(start.restart),
          },
        }
      : {}),
  };
}
