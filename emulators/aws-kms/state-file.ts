/** The file in which an emulator keeps its keys: JSON, checked field by field when read. */
import { z } from 'zod';
import { GRANT_OPERATIONS, type Grant } from './grants.ts';

const grant = z.strictObject({
  grantId: z.string(),
  name: z.string().optional(),
  granteePrincipal: z.string(),
  retiringPrincipal: z.string().optional(),
  issuingAccount: z.string(),
  operations: z.array(z.enum(GRANT_OPERATIONS)),
  constraint: z
    .strictObject({ kind: z.enum(['equals', 'subset']), pairs: z.array(z.tuple([z.string(), z.string()])) })
    .optional(),
  createdAtMs: z.number(),
});

const key = z.strictObject({
  id: z.string(),
  arn: z.string(),
  spec: z.enum(['SYMMETRIC_DEFAULT', 'RSA_2048', 'RSA_3072', 'RSA_4096']),
  origin: z.enum(['AWS_KMS', 'EXTERNAL']),
  multiRegion: z.boolean(),
  description: z.string(),
  createdAtMs: z.number(),
  state: z.enum(['Enabled', 'Disabled', 'PendingImport']),
  policy: z.string(),
  grants: z.array(grant),
  symmetric: z.base64().length(44).optional(),
  rsa: z.string().optional(),
});

const state = z.strictObject({ version: z.literal(1), keys: z.array(key) });

/** One key as the file has it. */
export type StoredKey = z.infer<typeof key>;

type StoredGrant = z.infer<typeof grant>;

/** Reads the file's text. @throws Error naming the file and what is wrong with it. */
export function readState(text: string, path: string): readonly StoredKey[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error(`${path} is not JSON; remove it to begin without keys`);
  }
  const parsed = state.safeParse(value);
  if (parsed.success) return parsed.data.keys;
  throw new Error(`${path} is damaged; remove it to begin without keys: ${z.prettifyError(parsed.error)}`);
}

/** Returns a grant as the file has it. */
export function grantToJson({ constraint, name, retiringPrincipal, ...rest }: Grant): StoredGrant {
  return {
    ...rest,
    operations: [...rest.operations],
    ...(name === undefined ? {} : { name }),
    ...(retiringPrincipal === undefined ? {} : { retiringPrincipal }),
    ...(constraint === undefined ? {} : { constraint: { kind: constraint.kind, pairs: [...constraint.pairs] } }),
  };
}

/** Returns the grant that the file has. */
export function grantFromJson({ constraint, ...rest }: StoredGrant): Grant {
  return {
    ...rest,
    name: rest.name,
    retiringPrincipal: rest.retiringPrincipal,
    constraint: constraint && { kind: constraint.kind, pairs: new Map(constraint.pairs) },
  };
}
