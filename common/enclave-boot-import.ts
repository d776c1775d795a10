/**
 * The one job that a parent may have its enclave do in place of serving: take over the vaults of another node. Part of the boot
 * document; format: docs/formats/boot-document.md.
 *
 * Nothing here is secret, and nothing here is believed: the governed record says whose signing key may come in.
 */
import { z } from 'zod';
import { KmsError } from './errors.ts';
import { bucketName, s3Bucket } from './node-config-vaults.ts';

const hexOf = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${2 * bytes}}$`));
const place = z.strictObject({ bucket: s3Bucket, prefix: bucketName });

/** Keys stand in this order in the document. */
const BootImport = z.strictObject({
  format: z.literal(1),
  /** Private vault of the other node, in the region of [aws]. */
  private: place,
  /** Its public vault. */
  public: place,
  /** Key of AWS KMS that sealed the private one. */
  root_key: z.strictObject({
    arn: z.string().regex(/^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key\/[0-9a-z-]{8,64}$/),
    spec: z.enum(['symm', 'asymm']),
  }),
  /** The signing key alone. */
  identity_only: z.boolean(),
  /** Epoch that everything is put into; each object's own if absent. */
  epoch: hexOf(32).optional(),
  /** What the other node signed its keys and CRSs under. */
  domain: z.strictObject({
    name: z.string().max(256),
    version: z.string().max(256),
    chain_id: hexOf(32),
    verifying_contract: hexOf(20),
  }),
});

/** See the file comment. */
export type BootImport = z.infer<typeof BootImport>;

/** A bucket's part of {@link BootImport}. */
export type BootPlace = BootImport['private'];

/**
 * Reads the job out of a boot document.
 *
 * @throws KmsError `REQUEST_INVALID` naming every field at fault; none of their values is repeated.
 */
export function readBootImport(value: unknown): BootImport {
  const read = BootImport.safeParse(value);
  if (read.success) return read.data;
  const fields = new Set(read.error.issues.map(({ path }) => ['import', ...path].join('.')));
  throw new KmsError('REQUEST_INVALID', `boot document: ${[...fields].join(', ')} is not as it must be`);
}
