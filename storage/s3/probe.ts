/**
 * Finds out whether a store keeps to conditional writes, by writes that it must refuse. That a condition is taken
 * without an error says nothing: servers that do not know it overwrite.
 */
import type { ObjectPath, ObjectTag } from '../storage.ts';
import type { Outcome } from './attempts.ts';
import type { S3Calls } from './calls.ts';
import { crc32Base64 } from './crc32.ts';
import { PartsUpload } from './upload.ts';

/** How often the step is repeated whose answer was lost. */
const MAX_TURNS = 3;

/** What a store keeps to. */
export interface Fences {
  /** Every write of a condition that does not hold was refused, and changed nothing. */
  readonly writes: boolean;
  /** The same for deletions. */
  readonly deletions: boolean;
  /** What was not as it must be, for the log. */
  readonly findings: readonly string[];
}

/**
 * Probes with an object of its own, which it removes.
 *
 * @param name - Fresh for each probe: two servers may start at once.
 * @throws KmsError if the store cannot be written or read at all.
 */
export async function probeFences(calls: S3Calls, name: string): Promise<Fences> {
  const path: ObjectPath = [`.probe-${name}`];
  const findings: string[] = [];
  const content = (step: string): Uint8Array => Buffer.from(`${name} ${step}`);
  const mustRefuse = async (what: string, outcome: Outcome<unknown>): Promise<boolean> => {
    const code = outcome.ok ? undefined : outcome.failure.code;
    if (code === 'PreconditionFailed') return true;
    if (!outcome.ok && code !== 'NotImplemented') throw outcome.failure.error;
    findings.push(outcome.ok ? `overwrites on ${what}` : `does not know ${what}`);
    return false;
  };

  const first = await calls.put(path, content('first'), 'absent', undefined);
  const tag = await plainly(calls, path, content('first'), first, findings);
  try {
    await mustRefuse('If-None-Match: *', await calls.put(path, content('second'), 'absent', undefined));
    const other = { tag: `"${'0'.repeat(32)}"` };
    await mustRefuse('If-Match with another ETag', await calls.put(path, content('third'), other, undefined));
    await mustRefuse('If-None-Match: * of an upload in parts', await inParts(calls, path, content('fourth')));
    if (findings.length === 0) findings.push(...(await movesOn(calls, path, content('fifth'), tag)));
    const deletions = findings.length === 0 && (await refusesDeletion(calls, path, other));
    await remove(calls, path);
    return { writes: findings.length === 0, deletions, findings };
  } catch (error) {
    await calls.delete(path, 'any');
    throw error;
  }
}

/** A role that may not remove anything would fill its bucket, and fail when the first object is to go: it is told now. */
async function remove(calls: S3Calls, path: ObjectPath): Promise<void> {
  const outcome = await calls.delete(path, 'any');
  if (!outcome.ok && outcome.failure.error.code === 'PERMISSION_DENIED') throw outcome.failure.error;
}

/** An upload in one part, which is refused like one in many. */
async function inParts(calls: S3Calls, path: ObjectPath, content: Uint8Array): Promise<Outcome<unknown>> {
  const upload = await PartsUpload.start(calls, path, undefined);
  await upload.add(content);
  await upload.settle();
  const outcome = await upload.complete('absent', crc32Base64(content), content.byteLength);
  if (!outcome.ok) await upload.abort();
  return outcome;
}

/** The tag of the first state, also on a store that knows no conditions at all. */
async function plainly(
  calls: S3Calls,
  path: ObjectPath,
  content: Uint8Array,
  first: Outcome<string>,
  findings: string[],
): Promise<string> {
  if (first.ok) return first.value;
  if (first.failure.code === 'NotImplemented') findings.push('does not know If-None-Match: *');
  // Our own lost first attempt, tried again.
  else if (first.failure.code !== 'PreconditionFailed' || !first.ambiguous) throw first.failure.error;
  const again = await calls.put(path, content, 'any', undefined);
  if (!again.ok) throw again.failure.error;
  return again.value;
}

/** A condition that holds must be taken; returns what is wrong otherwise. */
async function movesOn(calls: S3Calls, path: ObjectPath, content: Uint8Array, first: ObjectTag): Promise<string[]> {
  let tag: ObjectTag | undefined = first;
  for (let turn = 0; turn < MAX_TURNS && tag !== undefined; turn++) {
    const moved: Outcome<ObjectTag> = await calls.put(path, content, { tag }, undefined);
    const now: ObjectTag | undefined = (await calls.head(path))?.tag;
    if (moved.ok) return now === moved.value ? [] : ['takes If-Match with the right ETag and does nothing'];
    // An attempt whose answer was lost has moved it; otherwise the refusal is the finding.
    if (!moved.ambiguous) break;
    tag = now;
  }
  return ['refuses If-Match with the right ETag'];
}

async function refusesDeletion(calls: S3Calls, path: ObjectPath, other: { tag: string }): Promise<boolean> {
  const outcome = await calls.delete(path, other);
  return !outcome.ok && outcome.failure.code === 'PreconditionFailed';
}
