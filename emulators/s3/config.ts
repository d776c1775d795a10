/**
 * The configuration of an S3 emulator that runs by itself: one JSON file, checked field by field. Emulated secrets stand in it.
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { printLine } from '../run-emulator.ts';
import { readTlsFiles, tlsFiles } from '../tls-files.ts';
import { faultsOfFile } from './fault-rules.ts';
import type { S3EmulatorOptions } from './server.ts';

const schema = z.strictObject({
  region: z.string().default('us-east-1').describe('AWS region, such as eu-central-1.'),
  port: z.int().min(0).max(65_535).default(4600).describe('Port to listen on; 0 takes any free one.'),
  tls: tlsFiles.optional(),
  state: z.string().optional().describe('Folder in which buckets are kept; in memory alone unless set.'),
  faults: z.string().optional().describe('File of faults to commit, read again when it changes; it need not be there.'),
  credentials: z
    .array(z.strictObject({ accessKeyId: z.string(), secretAccessKey: z.string() }))
    .describe('Keys of those who may do everything.'),
  buckets: z
    .array(
      z.strictObject({
        name: z.string(),
        versioning: z.boolean().default(false).describe('Keeps the versions of its objects.'),
        policy: z.looseObject({}).optional().describe('Bucket policy, as a JSON object: what anonymous readers may.'),
      }),
    )
    .default([])
    .describe('Buckets that are there from the beginning, made what they should be at each start.'),
});

/** What a file says. */
export interface S3EmulatorConfig {
  readonly options: S3EmulatorOptions & { readonly region: string };
  readonly buckets: readonly {
    readonly name: string;
    readonly versioning: boolean;
    /** JSON text. */
    readonly policy: string | undefined;
  }[];
}

/**
 * Reads a configuration file.
 *
 * @throws Error whose message names the file and everything that is wrong with it.
 */
export function readEmulatorConfig(path: string): S3EmulatorConfig {
  const beside = (name: string): string => resolve(dirname(path), name);
  const parsed = schema.safeParse(readJson(path));
  if (!parsed.success) throw new Error(`${path}: ${z.prettifyError(parsed.error)}`);
  const { state, tls, faults, buckets, ...options } = parsed.data;
  return {
    options: {
      ...options,
      ...(tls && { tls: readTlsFiles(tls, beside) }),
      ...(state === undefined ? {} : { statePath: beside(state) }),
      ...(faults === undefined ? {} : { fault: faultsOfFile(beside(faults), printLine) }),
    },
    buckets: buckets.map(({ policy, ...bucket }) => ({ ...bucket, policy: policy && JSON.stringify(policy) })),
  };
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    const why = cause instanceof SyntaxError ? 'is not JSON' : 'cannot be read';
    throw new Error(`${path} ${why}`, { cause });
  }
}
