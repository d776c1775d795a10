/** What the command line asks an import to do. It comes from the operator's own process; paths and public values only. */
import { z } from 'zod';
import { fromHex } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import type { Domain } from '../../wire/eip712.ts';
import { parseRequestId, type RequestId } from '../../wire/ids.ts';
import type { ImportOptions } from './import-key.ts';

const path = z.string().min(1).max(4096);
const hex = z
  .string()
  .regex(/^(?:[0-9a-f]{2})*$/)
  .transform((text) => fromHex(text));
const id = z.string().transform((text): RequestId => parseRequestId(text, 'id'));
const domain: z.ZodType<Domain, unknown> = z
  .strictObject({
    name: z.string(),
    version: z.string(),
    chainId: hex,
    verifyingContract: hex,
  })
  .refine(({ chainId, verifyingContract }) => chainId.length === 32 && verifyingContract.length === 20);

const Job = z.strictObject({
  /** Configuration files of all nodes. */
  configs: z.array(path).min(1).max(13),
  clientKey: path,
  material: z.union([
    z.strictObject({ publicKey: path, keySet: path }),
    z.strictObject({ publicKey: path, serverKey: path }),
    z.enum(['compressed', 'uncompressed']),
  ]),
  keyId: id.optional(),
  epochId: id,
  domain,
  extraData: hex,
});

const VaultJob = z.strictObject({
  /** Configuration file of the node that takes a vault over. */
  config: path,
  privateFolder: path,
  publicFolder: path,
  rootKey: z
    .strictObject({
      keyArn: z.string().min(1).max(2048),
      spec: z.enum(['symm', 'asymm']),
      /** File with `[aws]`: as whom the key is used, and in developer mode where it is. */
      awsFile: path,
    })
    .optional(),
  /** Where the emulators of AWS run on which the node's own vaults lie. */
  emulators: z.strictObject({ s3Url: z.url(), kmsUrl: z.url() }).optional(),
  epochId: id.optional(),
  /** Take the signing key alone: of a party whose quorum has not made its epoch yet. */
  identityOnly: z.boolean(),
  domain,
});

/** The vault of another node to take over, checked. */
export type VaultJob = z.infer<typeof VaultJob>;

/** An import, checked. */
export type ImportJob = Omit<ImportOptions, 'clientKey' | 'targets' | 'onStep'> & {
  readonly configs: readonly string[];
  /** Path of the file. */
  readonly clientKey: string;
};

/**
 * Reads a job, one JSON object.
 *
 * @throws KmsError `REQUEST_INVALID` naming the field at fault.
 */
export function parseImportJob(text: string): ImportJob | VaultJob {
  const job = parseJson(text);
  const isVault = typeof job === 'object' && job !== null && 'config' in job;
  const parsed = isVault ? VaultJob.safeParse(job) : Job.safeParse(job);
  if (parsed.success) return parsed.data;
  const fields = parsed.error.issues.map((issue) => issue.path.join('.') || 'job').join(', ');
  throw new KmsError('REQUEST_INVALID', `not an import: ${fields}`, {}, parsed.error);
}

/** Reads JSON; what is none becomes undefined, for a schema to refuse. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
