/**
 * A rehearsal of a restore in developer mode: a second engine, which no client and no other party knows, is given a copy of the
 * backup and an empty vault, in a folder that is removed with all that is in it. The node serves meanwhile.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { z } from 'zod';
import { toHex } from '../../../common/bytes.ts';
import { systemClock } from '../../../common/clock.ts';
import { isKmsError } from '../../../common/errors.ts';
import type { BackupDrillSchema, BackupStatus } from '../../../proto/gen/engine_pb.js';
import { locateNode, type NodeSelection } from '../client/session.ts';
import { loadNodeConfig } from '../config/check-config.ts';
import { failure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { END_SIGNALS, runEngineJob } from '../supervise/engine-job.ts';
import { acquireFolderLock } from '../supervise/folder-lock.ts';
import { jobDevice, measureJobProgram } from '../supervise/job-device.ts';
import { STATE_FILES } from '../supervise/state-folder.ts';
import type { BackupAdmin } from './ask.ts';

/** A developer node that can be rehearsed on a copy. */
export interface CopiedNode {
  /** Its state folder. */
  readonly dir: string;
  /** Path of its configuration. */
  readonly config: string;
}

/** How a rehearsal went, for the engine to record. */
export type Rehearsed = MessageInitShape<typeof BackupDrillSchema>;

const STEPS = { copying: 0, planning: 0.4, restoring: 0.5, starting: 0.8 } as const;
const SETTLE_MS = 60_000;
const LOOK_MS = 200;

const count = z.int().nonnegative();
const Done = z.object({ objects: count, bytes: count, keys: count, epochs: count, publicObjects: count });

/**
 * Returns the node of a selection if a second engine can be started for it. For any other the engine rehearses by itself, in
 * memory: one in an enclave, one elsewhere, one whose backup only custodians can open.
 */
export async function nodeForCopy(selection: NodeSelection): Promise<CopiedNode | undefined> {
  const { dir, local } = await locateNode(selection);
  if (local?.developerMode !== true || local.configFile === undefined) return undefined;
  const { configFile: config } = local;
  const { developer_mode: developerMode, enclave, backup_vault: backup } = loadNodeConfig(config, {});
  const opens = backup !== undefined && backup.keychain.custodians === undefined;
  return developerMode && enclave === undefined && opens ? { dir, config } : undefined;
}

/** Waits until the backup is as the vault is. @throws {@link KmsError} `UNAVAILABLE` saying why it does not come to be so. */
export async function settledBackup(admin: Pick<BackupAdmin, 'state'>): Promise<BackupStatus> {
  const until = systemClock.monotonicMs() + SETTLE_MS;
  for (;;) {
    const { status } = await admin.state();
    if (status === undefined) {
      throw failure('PRECONDITION_FAILED', 'the private vault of this node is gone', 'run arca restore --plan');
    }
    if (status.behind === 0n && status.behindMs === 0n && status.completeSequence > 0n) return status;
    if (status.failureCode !== '' || systemClock.monotonicMs() > until) {
      const why = status.failureCode === '' ? '' : `: ${status.failure}`;
      throw failure('UNAVAILABLE', `the backup does not follow the vault${why}`, 'see arca backup status');
    }
    await delay(LOOK_MS);
  }
}

/**
 * Rehearses, and returns how it went: a restore that fails is a result.
 *
 * @throws {@link KmsError} `PRECONDITION_FAILED` while another drill is under way; `CANCELLED` after a signal.
 */
export async function drillOnCopy(node: CopiedNode, status: BackupStatus, output: Output): Promise<Rehearsed> {
  const folder = join(node.dir, STATE_FILES.drill);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const lock = acquireFolderLock(folder);
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  for (const name of END_SIGNALS) process.on(name, onSignal);
  const startedMs = systemClock.monotonicMs();
  const tookMs = (): bigint => BigInt(Math.round(systemClock.monotonicMs() - startedMs));
  try {
    const { signal } = stop;
    const done = await rehearse(node, { folder: join(folder, 'copy'), status, signal }, output);
    const { objects, bytes, keys, epochs, publicObjects } = done;
    output.note(`opened again: ${keys} keys, ${epochs} epochs; compared: ${publicObjects} public objects`);
    return { passed: true, objects: BigInt(objects), bytes: BigInt(bytes), tookMs: tookMs() };
  } catch (error) {
    if (!isKmsError(error) || error.code === 'CANCELLED') throw error;
    output.warn(error.message);
    return { passed: false, failureCode: error.code, tookMs: tookMs() };
  } finally {
    await rm(folder, { recursive: true, force: true });
    lock.release();
    for (const name of END_SIGNALS) process.off(name, onSignal);
  }
}

interface CopyParts {
  /** Everything is copied and restored into it. */
  readonly folder: string;
  readonly status: BackupStatus;
  readonly signal: AbortSignal;
}

async function rehearse(
  { config }: CopiedNode,
  { folder, status, signal }: CopyParts,
  output: Output,
): Promise<z.infer<typeof Done>> {
  // What a drill has left behind that was killed.
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { mode: 0o700 });
  const device = await jobDevice(config, await measureJobProgram(), output);
  const head = { sequence: Number(status.completeSequence), digest: toHex(status.completeDigest) };
  const silent = 'run it again: nothing of the node was changed';
  const cures = { told: 'nothing of the node was changed; see docs/operators/backup.md', silent };
  const job = { config, folder, backup: status.folder, head };
  const run = { title: 'rehearse a restore', kind: 'drill', job, steps: STEPS, device, signal, cures } as const;
  return await runEngineJob(run, Done, output);
}
