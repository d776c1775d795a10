/** The link's calls about the backup. All that they answer is public: names, versions, sizes, faults. */
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { isErrorCode, KmsError } from '../../common/errors.ts';
import {
  type BackupDrill,
  BackupDrillSchema,
  BackupReportSchema,
  BackupStateSchema,
  type BackupStatusSchema,
  DrillCallSchema,
  RestoreCallSchema,
  RestoreReportSchema,
} from '../../proto/gen/engine_pb.js';
import { ENGINE_METHOD, type EngineMethod } from '../../wire/frames.ts';
import type { CallHandler } from '../call.ts';
import { decodeRequest } from '../decode-request.ts';
import type { ManifestPoint } from '../seal/manifest.ts';
import type { DrillRecord } from './drill-record.ts';
import type { SealingKey } from './open-backup.ts';
import type { RestoreDesk } from './restore-desk.ts';
import type { RunningBackup } from './running-backup.ts';
import { type BackupReport, verifyBackup } from './verify-backup.ts';

type Handlers = Readonly<Partial<Record<EngineMethod, CallHandler>>>;

const POINT_BYTES = 48;

/**
 * Returns the calls of an engine that serves its vault; without a backup vault each says so.
 *
 * @param developerMode - Whether an operator's word on a rehearsal is recorded: one that another process made on a copy.
 */
export function backupCalls(backup: RunningBackup | undefined, developerMode: boolean): Handlers {
  if (backup === undefined) {
    const none = (): never => {
      throw new KmsError('UNIMPLEMENTED', 'this node has no backup vault: set [backup_vault] in its configuration');
    };
    const { backupState, backupVerify, restore, backupDrill } = ENGINE_METHOD;
    return { [backupState]: none, [backupVerify]: none, [restore]: none, [backupDrill]: none };
  }
  return {
    [ENGINE_METHOD.backupState]: async () => {
      const objects = backup.key() === undefined ? [] : await objectsOf(backup);
      const folders = await backup.opened.storage.list([]);
      return toBinary(BackupStateSchema, create(BackupStateSchema, { status: backupStatus(backup), objects, folders }));
    },
    [ENGINE_METHOD.backupVerify]: async ({ signal }) =>
      toBinary(
        BackupReportSchema,
        create(BackupReportSchema, reportOf(await verifyBackup(await backup.find(), signal))),
      ),
    [ENGINE_METHOD.restore]: restoreCall(backup.desk, () => backup.key()),
    [ENGINE_METHOD.backupDrill]: async ({ body, signal }) => {
      const { rehearsed } = decodeRequest(DrillCallSchema, body);
      const record = await (rehearsed ? backup.recordDrill(outcomeOf(rehearsed, developerMode)) : backup.drill(signal));
      return toBinary(BackupDrillSchema, create(BackupDrillSchema, drillOf(record)));
    },
  };
}

/** Reads how a rehearsal went that the engine did not make. */
function outcomeOf(
  { passed, objects, bytes, tookMs, failureCode }: BackupDrill,
  developerMode: boolean,
): Omit<DrillRecord, 'timeMs'> {
  if (!developerMode) {
    throw new KmsError('PRECONDITION_FAILED', "this engine rehearses by itself, and takes nobody's word for it");
  }
  const failure = isErrorCode(failureCode) ? failureCode : undefined;
  const isWhole = [objects, bytes, tookMs].every((count) => count <= BigInt(Number.MAX_SAFE_INTEGER));
  if (isWhole && passed === (failureCode === '') && passed === (failure === undefined)) {
    return { objects: Number(objects), bytes: Number(bytes), tookMs: Number(tookMs), failure };
  }
  throw new KmsError('REQUEST_INVALID', 'a rehearsal has passed, or failed with a code; its counts are whole numbers');
}

/** Returns the call that restores what `key` seals. */
export function restoreCall(desk: RestoreDesk, key: () => SealingKey | undefined): CallHandler {
  return async ({ body, signal }) => {
    const { plan, headSequence, headDigest } = decodeRequest(RestoreCallSchema, body);
    const remembered = pointOf(headSequence, headDigest);
    const sealing = key();
    if (sealing === undefined) {
      const cure = 'begin a recovery with the custodians';
      throw new KmsError('PRECONDITION_FAILED', `no key at hand opens this backup: ${cure}`);
    }
    const { folder } = sealing;
    const done = await desk.run({ folder, keyring: await sealing.keyring(), plan, remembered, signal });
    const report = create(RestoreReportSchema, {
      sourceSequence: BigInt(done.source.sequence),
      sourceDigest: done.source.digest,
      objects: done.objects.map(({ object, action, version, versionHere = 0, bytes }) => ({
        object,
        action,
        version: BigInt(version),
        versionHere: BigInt(versionHere),
        bytes: BigInt(bytes),
      })),
      report: reportOf(done.report),
      address: desk.address,
      lost: desk.lost,
    });
    return toBinary(RestoreReportSchema, report);
  };
}

/** Returns how the backup is, as the link tells it. */
export function backupStatus(backup: RunningBackup): MessageInitShape<typeof BackupStatusSchema> {
  const {
    keychain,
    folder,
    behind,
    behindMs,
    copied,
    failures,
    failure,
    completeTo,
    drill,
    uncompared = '',
  } = backup.status();
  return {
    keychain,
    folder,
    behind: BigInt(behind),
    behindMs: BigInt(Math.round(behindMs)),
    copied: BigInt(copied),
    failures: BigInt(failures),
    failureCode: failure?.code ?? '',
    failure: failure?.message ?? '',
    completeSequence: BigInt(completeTo?.sequence ?? 0),
    completeDigest: completeTo?.digest ?? new Uint8Array(),
    uncompared,
    ...(drill && { drill: drillOf(drill) }),
  };
}

async function objectsOf(backup: RunningBackup) {
  const { manifest } = await backup.find();
  return [...manifest.entries].map(([name, { version, writing }]) => ({
    name,
    version: BigInt(version),
    bytes: BigInt(writing?.sizeBytes ?? 0),
    removed: writing === undefined,
  }));
}

function reportOf({ objects, bytes, faulty, strays }: BackupReport): MessageInitShape<typeof BackupReportSchema> {
  return { objects: BigInt(objects), bytes: BigInt(bytes), faulty: [...faulty], strays: [...strays] };
}

function drillOf({ timeMs, objects, bytes, tookMs, failure }: DrillRecord): MessageInitShape<typeof BackupDrillSchema> {
  return {
    timeMs: BigInt(timeMs),
    passed: failure === undefined,
    objects: BigInt(objects),
    bytes: BigInt(bytes),
    tookMs: BigInt(tookMs),
    failureCode: failure ?? '',
  };
}

function pointOf(sequence: bigint, digest: Uint8Array): ManifestPoint | undefined {
  if (sequence === 0n && digest.byteLength === 0) return undefined;
  if (sequence < 1n || sequence > BigInt(Number.MAX_SAFE_INTEGER) || digest.byteLength !== POINT_BYTES) {
    throw new KmsError('REQUEST_INVALID', 'a remembered state needs its number, from 1, and a digest of 48 bytes');
  }
  return { sequence: Number(sequence), digest: digest.slice() };
}
