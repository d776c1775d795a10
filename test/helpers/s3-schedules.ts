/**
 * Random operations on a vault in S3 that fails at random, compared with a model: what an operation says has happened,
 * and what fails has happened or not, never anything else.
 */
import type { Test } from 'tap';
import { isKmsError } from '../../common/errors.ts';
import type { Fault, FaultPoint } from '../../emulators/s3/faults.ts';
import type { Storage } from '../../storage/storage.ts';
import { startS3 } from './s3.ts';
import { seededRandom } from './seeded-rng.ts';

/** What may go wrong with any request. */
export const S3_WRITE_FAULTS: readonly Fault[] = [
  { kind: 'error', code: 'SlowDown' },
  { kind: 'error', code: 'InternalError' },
  { kind: 'error', code: 'ConditionalRequestConflict' },
  { kind: 'reset' },
  { kind: 'lost-answer' },
  { kind: 'lost-answer' },
  { kind: 'cut', afterBytes: 0 },
  { kind: 'cut', afterBytes: 40 },
];
/** What may go wrong with one that reads. */
export const S3_READ_FAULTS: readonly Fault[] = [...S3_WRITE_FAULTS, { kind: 'corrupt', offset: 3 }];

/** What the object may hold; undefined: it may be absent. */
type Possible = ReadonlySet<string | undefined>;

/** Runs schedules and returns how many operations failed, so that a test sees that faults did bite. */
export async function runS3Schedules(t: Test, count: number, seed: number): Promise<{ failed: number; done: number }> {
  const s3 = await startS3(t, { minPartBytes: 16 });
  const storage = await s3.open({ attempts: 3, partBytes: 1024 });
  const bytes = seededRandom(seed);
  const below = (limit: number): number => Buffer.from(bytes(4)).readUInt32LE() % limit;
  const tally = { failed: 0, done: 0 };
  for (let schedule = 0; schedule < count; schedule++) {
    const rate = below(60);
    s3.fault = ({ operation }: FaultPoint) => {
      if (below(100) >= rate) return undefined;
      const faults = operation === 'GetObject' ? S3_READ_FAULTS : S3_WRITE_FAULTS;
      return faults[below(faults.length)];
    };
    const path = ['Schedule', `s${schedule}`];
    let possible: Possible = new Set([undefined]);
    for (let step = 0; step < 4; step++) {
      // Some contents repeat, some go up in parts.
      const content = `${below(2)} `.repeat([1, 1, 700][below(3)] ?? 1);
      const kind = (['put', 'replace', 'swap', 'delete', 'get'] as const)[below(5)] ?? 'get';
      const before = [...possible].map((one) => one?.slice(0, 8));
      const outcome = await run(storage, kind, path, content, possible);
      if ('wrong' in outcome) {
        t.fail(`seed ${seed}, schedule ${schedule}, step ${step}: ${kind}: ${outcome.wrong}`, { before });
        return tally;
      }
      tally[outcome.failed ? 'failed' : 'done']++;
      possible = outcome.possible;
    }
    s3.fault = undefined;
    const last = await run(storage, 'get', path, '', possible);
    if ('wrong' in last || last.failed) {
      t.fail(`seed ${seed}, schedule ${schedule}, at the end`, last);
      return tally;
    }
    await storage.delete(path);
  }
  t.same(s3.bucket.keys(), [], 'nothing is left over');
  return tally;
}

type Outcome = { readonly possible: Possible; readonly failed: boolean } | { readonly wrong: string };

async function run(
  storage: Storage,
  kind: 'put' | 'replace' | 'swap' | 'delete' | 'get',
  path: readonly string[],
  text: string,
  possible: Possible,
): Promise<Outcome> {
  const content = Buffer.from(text);
  const known = (value: string | undefined): Outcome => ({ possible: new Set([value]), failed: false });
  const read = async (): Promise<{ text: string; tag: string }> => {
    const { content, tag } = await storage.getTagged(path);
    return { text: Buffer.from(content).toString(), tag };
  };
  let seen = possible;
  try {
    switch (kind) {
      case 'put': {
        const result = await storage.put(path, content);
        const may = possible.has(undefined) || (result === 'already' && possible.has(text));
        return may ? known(text) : { wrong: `${result}, where something else is` };
      }
      case 'replace':
        await storage.put(path, content, { replace: true });
        return known(text);
      case 'swap': {
        const now = await read();
        if (!possible.has(now.text)) return { wrong: 'read what nobody wrote' };
        seen = new Set([now.text]);
        await storage.swap(path, Buffer.from(`${text}!`), now.tag);
        return known(`${text}!`);
      }
      case 'delete':
        return (await storage.delete(path)) || possible.has(undefined)
          ? known(undefined)
          : { wrong: 'found nothing, where something is' };
      case 'get': {
        const now = await read();
        return possible.has(now.text) ? known(now.text) : { wrong: 'read what nobody wrote' };
      }
    }
  } catch (error) {
    if (!isKmsError(error)) return { wrong: `an error that is none of ours: ${String(error)}` };
    if (error.code === 'NOT_FOUND') return possible.has(undefined) ? known(undefined) : { wrong: 'lost' };
    if (error.code === 'ALREADY_EXISTS') {
      const others = new Set([...possible].filter((one) => one !== undefined && one !== text));
      return others.size > 0 ? { possible: others, failed: false } : { wrong: 'exists, where nothing else is' };
    }
    const written = { put: text, replace: text, swap: `${text}!`, delete: undefined, get: text }[kind];
    const happened = kind === 'get' || (kind === 'put' && !possible.has(undefined)) ? [] : [written];
    return { possible: new Set([...seen, ...happened]), failed: true };
  }
}
