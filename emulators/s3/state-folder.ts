/**
 * The folder in which an S3 emulator keeps its buckets: `<bucket>/bucket.json`, and for each version of an object
 * `<number>.json` with what is known of it and `<number>.bin` with its bytes as they came. Numbers ascend with time.
 *
 * A version is there once its `.json` is. What a process that was killed left behind is removed when the folder is opened.
 * Nothing is flushed to the disk: it outlives processes, not power cuts. Unfinished uploads are not kept.
 */
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { Bucket, type BucketKeeper, type BucketSettings, type Content, type Version } from './bucket.ts';
import { CHECKSUM_ALGORITHMS } from './checksums.ts';
import { S3Error } from './errors.ts';
import { parsePolicy } from './policy.ts';

const SETTINGS = 'bucket.json';
const BUCKET_NAME = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const NUMBER_DIGITS = 12;
const PIECE_BYTES = 8 * 1024 * 1024;

const settingsSchema = z.strictObject({
  name: z.string().regex(BUCKET_NAME),
  region: z.string(),
  createdMs: z.number(),
  versioning: z.enum(['Off', 'Enabled', 'Suspended']),
  policy: z.string().optional(),
});

const versionSchema = z.strictObject({
  key: z.string(),
  versionId: z.string(),
  modifiedMs: z.number(),
  data: z
    .strictObject({
      sizeBytes: z.int().nonnegative(),
      etag: z.string(),
      checksum: z.strictObject({
        algorithm: z.enum(CHECKSUM_ALGORITHMS),
        type: z.enum(['FULL_OBJECT', 'COMPOSITE']),
        value: z.string(),
      }),
      headers: z.record(z.string(), z.string()),
    })
    .optional(),
});

/** See the file comment. */
export class StateFolder {
  readonly #path: string;

  /** Makes the folder if it is not there. */
  constructor(path: string) {
    this.#path = path;
    mkdirSync(path, { recursive: true, mode: 0o700 });
  }

  /**
   * Opens the buckets that are there.
   *
   * @throws Error naming a file that is damaged.
   */
  open(): Bucket[] {
    const names = readdirSync(this.#path).filter((name) => BUCKET_NAME.test(name));
    return names.flatMap((name) => this.#openBucket(join(this.#path, name)) ?? []);
  }

  /**
   * Makes an empty bucket.
   *
   * @throws S3Error `InvalidBucketName`.
   */
  create(name: string, region: string, createdMs: number): Bucket {
    if (!BUCKET_NAME.test(name)) throw new S3Error('InvalidBucketName', { BucketName: name });
    const folder = join(this.#path, name);
    mkdirSync(folder, { mode: 0o700 });
    const bucket = new Bucket(name, region, createdMs, new Keeper(folder, 0));
    writeSettings(folder, bucket);
    return bucket;
  }

  /** Removes a bucket, which is empty. */
  remove(name: string): void {
    rmSync(join(this.#path, name), { recursive: true, force: true });
  }

  #openBucket(folder: string): Bucket | undefined {
    const names = readdirSync(folder);
    // Its making was cut short.
    if (!names.includes(SETTINGS)) {
      rmSync(folder, { recursive: true });
      return undefined;
    }
    const { name, region, createdMs, versioning, policy } = readJson(join(folder, SETTINGS), settingsSchema);
    const numbers = names.flatMap((file) => /^(\d{12})\.json$/.exec(file)?.[1] ?? []).sort();
    const known = new Set([SETTINGS, ...numbers.flatMap((number) => [`${number}.json`, `${number}.bin`])]);
    for (const file of names) if (!known.has(file)) rmSync(join(folder, file), { recursive: true });
    const keeper = new Keeper(folder, Number(numbers.at(-1) ?? 0));
    const objects = new Map<string, Version[]>();
    for (const number of numbers) {
      const { key, version } = keeper.read(number);
      const before = objects.get(key) ?? [];
      const replaced = before.find(({ versionId }) => versionId === version.versionId);
      if (replaced) keeper.drop(replaced);
      objects.set(key, [version, ...before.filter((old) => old !== replaced)]);
    }
    const bucket = new Bucket(name, region, createdMs, keeper, objects);
    bucket.versioning = versioning;
    bucket.policy = policy === undefined ? undefined : parsePolicy(policy);
    return bucket;
  }
}

class Keeper implements BucketKeeper {
  readonly #folder: string;
  readonly #numbers = new WeakMap<Version, string>();
  #last: number;

  constructor(folder: string, last: number) {
    this.#folder = folder;
    this.#last = last;
  }

  settings(settings: BucketSettings): void {
    writeSettings(this.#folder, settings);
  }

  keep(key: string, { versionId, modifiedMs, data }: Version): Version {
    const number = String(++this.#last).padStart(NUMBER_DIGITS, '0');
    if (data) writeContent(this.#file(number, 'bin'), data.content);
    const kept = data && {
      sizeBytes: data.content.byteLength,
      etag: data.etag,
      checksum: data.checksum,
      headers: data.headers,
    };
    writeJson(this.#file(number, 'json'), { key, versionId, modifiedMs, data: kept });
    return this.read(number).version;
  }

  drop(version: Version): void {
    const number = this.#numbers.get(version);
    if (number === undefined) return;
    // In this order: without its description it is not there.
    rmSync(this.#file(number, 'json'), { force: true });
    rmSync(this.#file(number, 'bin'), { force: true });
  }

  read(number: string): { readonly key: string; readonly version: Version } {
    const { key, versionId, modifiedMs, data } = readJson(this.#file(number, 'json'), versionSchema);
    const kept = data && {
      content: fileContent(this.#file(number, 'bin'), data.sizeBytes),
      etag: data.etag,
      checksum: data.checksum,
      headers: data.headers,
    };
    const version: Version = { versionId, modifiedMs, data: kept };
    this.#numbers.set(version, number);
    return { key, version };
  }

  #file(number: string, kind: 'json' | 'bin'): string {
    return join(this.#folder, `${number}.${kind}`);
  }
}

function writeContent(path: string, content: Content): void {
  const file = openSync(path, 'w', 0o600);
  try {
    for (let at = 0; at < content.byteLength; ) {
      at += writeSync(file, content.subarray(at, Math.min(content.byteLength, at + PIECE_BYTES)));
    }
  } finally {
    closeSync(file);
  }
}

/** Bytes that are read when they are asked for: gigabytes of keys need not stand in memory. */
function fileContent(path: string, byteLength: number): Content {
  if (statSync(path).size !== byteLength) throw new Error(`${path} is damaged: it should have ${byteLength} bytes`);
  return {
    byteLength,
    subarray: (start, end) => {
      const bytes = Buffer.alloc(end - start);
      const file = openSync(path, 'r');
      try {
        for (let at = 0; at < bytes.byteLength; ) {
          const count = readSync(file, bytes, at, bytes.byteLength - at, start + at);
          if (count === 0) throw new Error(`${path} is shorter than it was`);
          at += count;
        }
      } finally {
        closeSync(file);
      }
      return bytes;
    },
  };
}

function writeSettings(folder: string, { name, region, createdMs, versioning, policy }: BucketSettings): void {
  writeJson(join(folder, SETTINGS), { name, region, createdMs, versioning, policy: policy?.document });
}

function writeJson(path: string, value: object): void {
  writeFileSync(`${path}.new`, JSON.stringify(value), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

function readJson<T>(path: string, schema: z.ZodType<T>): T {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new Error(`${path} is damaged: it is not JSON`, { cause });
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new Error(`${path} is damaged: ${z.prettifyError(parsed.error)}`);
}
