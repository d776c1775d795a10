/** What people and scripts read of a backup: text and JSON of what the engine says. */
import { toHex } from '../../../common/bytes.ts';
import type {
  BackupDrill,
  BackupReport,
  BackupState,
  BackupStatus,
  RestoreReport,
} from '../../../proto/gen/engine_pb.js';
import { formatAddress } from '../../../wire/addresses.ts';

/** Actions of a restore that write. */
const WRITTEN: ReadonlySet<string> = new Set(['add', 'again']);
const SHOWN_STRAYS = 20;

/** Returns how a backup is, for `--json`. */
export function statusJson(status: BackupStatus): object {
  const { keychain, folder, behind, behindMs, copied, failures, failureCode, failure, drill } = status;
  return {
    keychain,
    folder,
    behind: Number(behind),
    behindSecs: Math.round(Number(behindMs) / 1000),
    copied: Number(copied),
    failures: Number(failures),
    ...(failureCode === '' ? {} : { failure: { code: failureCode, message: failure } }),
    ...(status.completeSequence > 0n ? { completeTo: pinOf(status.completeSequence, status.completeDigest) } : {}),
    ...(drill ? { drill: drillJson(drill) } : {}),
  };
}

/** Returns a state as it is written down: the form of `arca vault status` and `--head`. */
const pinOf = (sequence: bigint, digest: Uint8Array): string => `${sequence}:${toHex(digest)}`;

/** Returns a drill for `--json`. */
export function drillJson({ timeMs, passed, objects, bytes, tookMs, failureCode }: BackupDrill): object {
  return {
    time: isoTime(timeMs),
    passed,
    objects: Number(objects),
    bytes: Number(bytes),
    tookMs: Number(tookMs),
    ...(failureCode === '' ? {} : { failure: failureCode }),
  };
}

/** Returns a drill as one line. */
export function drillText({ timeMs, passed, objects, bytes, tookMs, failureCode }: BackupDrill): string {
  const when = isoTime(timeMs);
  if (!passed) return `FAILED at ${when}: ${printable(failureCode)}`;
  return `passed at ${when}: ${objects} objects, ${bytes} bytes, in ${tookMs} ms`;
}

/** Returns how a backup is, for people. */
export function statusText(status: BackupStatus, folders: readonly string[]): string {
  const { keychain, folder, behind, behindMs, failures, failureCode, failure, completeSequence, drill } = status;
  const secs = Math.round(Number(behindMs) / 1000);
  const others = folders.filter((name) => name !== folder);
  return [
    `keychain     ${keychain === '' ? 'none: nothing seals backups yet' : keychain}`,
    ...(folder === '' ? [] : [`folder       ${printable(folder)}`]),
    `behind       ${behind === 0n && behindMs === 0n ? 'nothing' : `${behind} objects, ${secs} s`}`,
    `complete to  ${completeSequence === 0n ? 'no state yet' : pinOf(completeSequence, status.completeDigest)}`,
    `failures     ${failures}`,
    ...(failureCode === '' ? [] : [`last failure ${failureCode}: ${printable(failure)}`]),
    `drill        ${drill ? drillText(drill) : 'never: run arca backup drill'}`,
    ...(others.length === 0 ? [] : [`other keys   ${others.map(printable).join(', ')}`]),
  ].join('\n');
}

/** Returns a list of objects, for people. */
export function listText({ objects }: BackupState): string {
  if (objects.length === 0) return 'no objects';
  return objects
    .map(
      ({ name, version, bytes, removed }) =>
        `${printable(name)}  v${version}  ${removed ? 'removed' : `${bytes} bytes`}`,
    )
    .join('\n');
}

/** Returns a list of objects, for `--json`. */
export function listJson({ objects, folders }: BackupState): object {
  return {
    objects: objects.map(({ name, version, bytes, removed }) => ({
      name,
      version: Number(version),
      bytes: Number(bytes),
      removed,
    })),
    folders,
  };
}

/** Returns what a check found, for `--json`. */
export function reportJson({ objects, bytes, faulty, strays }: BackupReport): object {
  return {
    objects: Number(objects),
    bytes: Number(bytes),
    faulty: faulty.map(({ object, faults }) => ({ object, faults: faults.split(',') })),
    strays: strays.map(({ path, kind }) => ({ path, kind })),
  };
}

/** Returns what a check found, for people. */
export function reportText({ objects, bytes, faulty, strays }: BackupReport): string {
  const more = strays.length - SHOWN_STRAYS;
  return [
    `${objects} objects, ${bytes} bytes: ${faulty.length === 0 ? 'all whole and signed by this node' : `${faulty.length} FAULTY`}`,
    ...faulty.map(({ object, faults }) => `  FAULTY    ${printable(object)}: ${printable(faults)}`),
    ...strays
      .slice(0, SHOWN_STRAYS)
      .map(({ path, kind }) => `  ${kind.padEnd(8)}  ${printable(path)} (counts for nothing)`),
    ...(more > 0 ? [`  … and ${more} more that count for nothing`] : []),
  ].join('\n');
}

/** Returns a plan, or what was done, for `--json`. */
export function restoreJson(report: RestoreReport): object {
  return {
    source: pinOf(report.sourceSequence, report.sourceDigest),
    address: formatAddress(report.address),
    lost: report.lost,
    objects: report.objects.map(({ object, action, version, versionHere, bytes }) => ({
      object,
      action,
      version: Number(version),
      ...(versionHere === 0n ? {} : { versionHere: Number(versionHere) }),
      bytes: Number(bytes),
    })),
    strays: report.report?.strays.map(({ path, kind }) => ({ path, kind })) ?? [],
  };
}

/** Returns how many objects of a plan are written. */
export const writtenCount = ({ objects }: RestoreReport): number =>
  objects.filter(({ action }) => WRITTEN.has(action)).length;

/** Returns a plan for people. */
export function planText(report: RestoreReport): string {
  const { objects, lost } = report;
  const count = writtenCount(report);
  return [
    `backup of    ${formatAddress(report.address)}`,
    `complete to  ${pinOf(report.sourceSequence, report.sourceDigest)}`,
    `private vault ${lost ? 'GONE: it is restored as a whole' : 'is served: only what is missing is added'}`,
    ...objects.map(({ object, action, version, versionHere, bytes }) => {
      const here = versionHere === 0n ? '' : `, here v${versionHere}`;
      return `  ${action.padEnd(7)}  ${printable(object)}  v${version}${here}  ${bytes} bytes`;
    }),
    `${count} of ${objects.length} objects are written; nothing is overwritten or removed`,
  ].join('\n');
}

/** A clock may say anything that fits 64 bits. */
function isoTime(ms: bigint): string {
  const date = new Date(Number(ms));
  return Number.isNaN(date.getTime()) ? String(ms) : date.toISOString();
}

/** Names out of a storage, and messages, are others' text. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?');
}
