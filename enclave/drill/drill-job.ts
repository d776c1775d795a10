/** What the command line asks a drill to do. It comes from the operator's own process; paths and public values only. */
import { z } from 'zod';
import { fromHex } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import { parseJson } from '../import/import-job.ts';

const Job = z.strictObject({
  /** Configuration file of the node, which goes on serving. */
  config: z.string().min(1).max(4096),
  /** Empty folder that everything is copied and restored into; whoever gave it removes it. */
  folder: z.string().min(1).max(4096),
  /** Folder of the backup storage that is rehearsed. */
  backup: z.string().regex(/^[A-Za-z0-9._-]{1,128}$/),
  /** State of the vault that the backup is said to be complete to. */
  head: z.strictObject({
    sequence: z.int().positive(),
    digest: z
      .string()
      .regex(/^[0-9a-f]{96}$/)
      .transform((text) => fromHex(text)),
  }),
});

/** A drill, checked. */
export type DrillJob = z.infer<typeof Job>;

/**
 * Reads a job, one JSON object.
 *
 * @throws KmsError `REQUEST_INVALID` naming the field at fault.
 */
export function parseDrillJob(text: string): DrillJob {
  const parsed = Job.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  const fields = parsed.error.issues.map((issue) => issue.path.join('.') || 'job').join(', ');
  throw new KmsError('REQUEST_INVALID', `not a drill: ${fields}`, {}, parsed.error);
}
