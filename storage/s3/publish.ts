/**
 * How an upload that is complete gets its name: of many writers of one name one wins, and nothing is overwritten that a
 * writer did not see. A server without conditional writes is for developer mode; there turns within the process must do.
 */
import { createHash } from 'node:crypto';
import { equalBytes } from '../../common/bytes.ts';
import { type ObjectPath, otherContent } from '../storage.ts';
import type { FailedOutcome, Outcome } from './attempts.ts';
import type { S3Calls } from './calls.ts';
import { readObject } from './read.ts';
import type { StagedObject } from './upload.ts';

/** How often an object that is replaced again and again is looked at again. */
export const MAX_TURNS = 10;

/** Where an upload is published. */
export interface PublishTarget {
  readonly calls: S3Calls;
  /** Whether the server keeps to conditions. */
  readonly fenced: boolean;
  readonly path: ObjectPath;
}

/** Gives a first object its name. Loses against another writer of the same name, never overwrites. */
export async function createObject(target: PublishTarget, staged: StagedObject): Promise<'stored' | 'already'> {
  for (let turn = 1; ; turn++) {
    const outcome = target.fenced ? await staged.publish('absent') : undefined;
    if (outcome?.ok) return 'stored';
    if (outcome && !conditionFailed(outcome)) throw outcome.failure.error;
    const state = await compareDigest(target, staged.digest);
    if (state === 'other') throw otherContent(target.path);
    if (state === 'same') break;
    if (!outcome) return await published(staged.publish('any'));
    // What stood in the way was removed since.
    if (outcome.failure.code === 'NoSuchUpload' || turn === MAX_TURNS) throw outcome.failure.error;
  }
  await staged.abort();
  return 'already';
}

/** Gives an object the place of whatever is there, again if that changes meanwhile. */
export async function replaceObject(target: PublishTarget, staged: StagedObject): Promise<'stored'> {
  const { calls, fenced, path } = target;
  if (!fenced) return await published(staged.publish('any'));
  for (let turn = 1; ; turn++) {
    const there = await calls.head(path);
    const outcome = await staged.publish(there ? { tag: there.tag } : 'absent');
    if (outcome.ok) return 'stored';
    if (!conditionFailed(outcome)) throw outcome.failure.error;
    if (outcome.ambiguous && (await compareDigest(target, staged.digest)) === 'same') return 'stored';
    if (outcome.failure.code === 'NoSuchUpload' || turn === MAX_TURNS) throw outcome.failure.error;
  }
}

/** Whether a write was refused for the state that it met, which may be one that an attempt of its own made. */
export function conditionFailed({ failure, ambiguous }: FailedOutcome): boolean {
  const { code } = failure;
  return code === 'PreconditionFailed' || code === 'NoSuchKey' || (code === 'NoSuchUpload' && ambiguous);
}

async function compareDigest({ calls, path }: PublishTarget, digest: Uint8Array): Promise<'absent' | 'same' | 'other'> {
  const head = await calls.head(path);
  if (!head) return 'absent';
  const hash = createHash('sha256');
  for await (const chunk of readObject(calls, path, head, 0, head.sizeBytes)) hash.update(chunk);
  return equalBytes(hash.digest(), digest) ? 'same' : 'other';
}

async function published(outcome: Promise<Outcome<unknown>>): Promise<'stored'> {
  const result = await outcome;
  if (result.ok) return 'stored';
  throw result.failure.error;
}
