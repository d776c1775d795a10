/**
 * The configuration of an emulator that runs by itself: one JSON file, checked field by field. Emulated secrets stand in it.
 */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { AWS_NITRO_ROOT, type TrustAnchor } from '../../attestation/document/index.ts';
import { printLine } from '../run-emulator.ts';
import { readTlsFiles, tlsFiles } from '../tls-files.ts';
import { faultsOfFile } from './fault-rules.ts';
import type { KmsEmulatorOptions } from './server.ts';

const policies = z.array(z.looseObject({})).optional().describe('IAM policies, as JSON objects.');

const schema = z.strictObject({
  region: z.string().describe('AWS region, such as eu-central-1.'),
  account: z.string().describe('AWS account, twelve digits.'),
  host: z.string().optional().describe('Address to listen on; loopback unless set.'),
  port: z.int().min(0).max(65_535).default(4599).describe('Port to listen on; 0 takes any free one.'),
  root: z.string().describe("Root of attestation documents: 'aws', or a PEM file beside this one."),
  tls: tlsFiles.optional(),
  state: z.string().optional().describe('File in which keys are kept, in clear; in memory alone unless set.'),
  faults: z.string().optional().describe('File of faults to commit, read again when it changes; it need not be there.'),
  identities: z
    .array(z.strictObject({ accessKeyId: z.string(), secretAccessKey: z.string(), arn: z.string(), policies }))
    .describe('Users, roles and the account itself, with credentials that do not expire.'),
  providers: z
    .array(z.strictObject({ issuer: z.string(), keys: z.array(z.looseObject({ kty: z.string() })) }))
    .default([])
    .describe('Issuers of web identity tokens, with their public keys as JWK.'),
  roles: z
    .array(
      z.strictObject({
        arn: z.string(),
        issuer: z.string(),
        audience: z.string(),
        subject: z.string().optional(),
        policies,
      }),
    )
    .default([])
    .describe('Roles that holders of tokens may assume.'),
});

/**
 * Reads a configuration file.
 *
 * @throws Error whose message names the file and everything that is wrong with it.
 */
export function readEmulatorConfig(path: string): KmsEmulatorOptions {
  const beside = (name: string): string => resolve(dirname(path), name);
  const parsed = schema.safeParse(readJson(path));
  if (!parsed.success) throw new Error(`${path}: ${z.prettifyError(parsed.error)}`);
  const { root, state, host, tls, faults, identities, roles, ...rest } = parsed.data;
  return {
    ...rest,
    anchor: root === 'aws' ? AWS_NITRO_ROOT : readRoot(beside(root)),
    identities: identities.map(withPolicyTexts),
    roles: roles.map(({ subject, ...role }) => ({
      ...withPolicyTexts(role),
      ...(subject === undefined ? {} : { subject }),
    })),
    ...(host === undefined ? {} : { host }),
    ...(tls && { tls: readTlsFiles(tls, beside) }),
    ...(state === undefined ? {} : { statePath: beside(state) }),
    ...(faults === undefined ? {} : { intercept: faultsOfFile(beside(faults), printLine) }),
  };
}

function withPolicyTexts<T extends { readonly policies?: readonly object[] | undefined }>(
  item: T,
): Omit<T, 'policies'> & { readonly policies: readonly string[] } {
  return { ...item, policies: (item.policies ?? []).map((policy) => JSON.stringify(policy)) };
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    const why = cause instanceof SyntaxError ? 'is not JSON' : 'cannot be read';
    throw new Error(`${path} ${why}`, { cause });
  }
}

function readRoot(path: string): TrustAnchor {
  try {
    return { name: 'configured root', certificate: new Uint8Array(new X509Certificate(readFileSync(path)).raw) };
  } catch (cause) {
    throw new Error(`${path} is not a certificate in PEM`, { cause });
  }
}
