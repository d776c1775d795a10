/**
 * `node.json`: how the other commands find a running node. Written when the node is ready, removed when it stops;
 * one left by a killed supervisor is recognized by its process id.
 */
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { failure, hasCode } from '../framework/failure.ts';
import { STATE_FILES } from './state-folder.ts';

const NodeFileSchema = z.strictObject({
  pid: z.int().positive(),
  clientUrl: z.url(),
  publicUrl: z.url(),
  /** Where its attestation is fetched, where that is not beside the public material. */
  attestationUrl: z.url().optional(),
  opsUrl: z.url(),
  params: z.enum(['test', 'default']),
  engineSocket: z.string(),
  /** Unix socket for administration. */
  adminSocket: z.string().optional(),
  /** The configuration that engine and core were started with. */
  configFile: z.string().optional(),
  startedAt: z.iso.datetime(),
  version: z.string(),
  developerMode: z.boolean(),
  /** What the engine demands before it decrypts. */
  authorizationPolicy: z.string(),
  /** Address of the node's signing key. */
  address: z.string(),
  /** Network of the node's charter. */
  network: z.string(),
  /** Release that engine and core were attested as. */
  release: z.string(),
  /** Its number in a quorum. */
  party: z.int().positive().optional(),
  /** The private vault is gone: the node does nothing but what a restore needs. */
  awaitsRestore: z.boolean().optional(),
  /** Why, where the vault is not gone but was put back. */
  restoreReason: z.string().optional(),
});

/** What the engine says of itself when it is ready. */
export const EngineFacts = z.object(
  NodeFileSchema.pick({
    developerMode: true,
    authorizationPolicy: true,
    address: true,
    network: true,
    release: true,
    awaitsRestore: true,
    restoreReason: true,
  }).shape,
);

/** A running node, as `node.json` describes it. */
export type NodeFile = z.infer<typeof NodeFileSchema>;

/** Writes the file in one step. */
export async function writeNodeFile(dir: string, node: NodeFile): Promise<void> {
  const path = join(dir, STATE_FILES.node);
  await writeFile(`${path}.new`, `${JSON.stringify(node)}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

/** Removes the file, if it is there. */
export async function removeNodeFile(dir: string): Promise<void> {
  await rm(join(dir, STATE_FILES.node), { force: true });
}

/**
 * Returns the node that runs on a state folder.
 *
 * @throws {@link KmsError} `UNAVAILABLE` if none does.
 */
export async function readNodeFile(dir: string): Promise<NodeFile> {
  const cure = `start one with 'arca dev --dir ${dir}', or name a running one with --url or --dir`;
  let text: string;
  try {
    text = await readFile(join(dir, STATE_FILES.node), 'utf8');
  } catch (error) {
    if (!hasCode(error, 'ENOENT') && !hasCode(error, 'ENOTDIR')) throw error;
    throw failure('UNAVAILABLE', `no node runs on ${dir}`, cure, { dir });
  }
  const parsed = NodeFileSchema.safeParse(parseJson(text));
  if (!parsed.success) {
    throw failure('STATE_INVALID', `${join(dir, STATE_FILES.node)} is damaged`, `stop the node and start it again`);
  }
  if (!isRunning(parsed.data.pid)) {
    throw failure('UNAVAILABLE', `the node on ${dir} (process ${parsed.data.pid}) is gone`, cure, { dir });
  }
  return parsed.data;
}

/** Returns whether a process of this id exists. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return hasCode(error, 'EPERM');
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
