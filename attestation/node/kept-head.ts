/**
 * The newest state of its engine's vault that a Core was told of, in a file beside the Core's store: what the next engine on
 * this machine compares its vault with. Public, signed by nobody: it can end a start, and nothing is believed because of it.
 */
import { readFile, rm } from 'node:fs/promises';
import { fromHex, toHex } from '../../common/bytes.ts';
import { KmsError, systemErrorCode } from '../../common/errors.ts';
import type { NodeConfig } from '../../common/node-config.ts';
import type { VaultPoint } from '../start/start-record.ts';
import { writeNodeFile } from './node-files.ts';

/** What of a configuration says where the file is. */
export type KeptHeadConfig = Pick<NodeConfig, 'state'>;

const POINT = /^([1-9]\d{0,14}):([0-9a-f]{96})$/;

/** Returns the text of a state, as operators pin it. */
export function formatVaultPoint({ sequence, digest }: VaultPoint): string {
  return `${sequence}:${toHex(digest)}`;
}

/** Reads such a text; undefined if it is none. */
export function parseVaultPoint(text: string): VaultPoint | undefined {
  const [, sequence, digest] = POINT.exec(text) ?? [];
  return digest === undefined ? undefined : { sequence: Number(sequence), digest: fromHex(digest) };
}

/** Reads the file; undefined if there is none. @throws {@link KmsError} `STATE_INVALID` if it is damaged. */
export async function readKeptHead(config: KeptHeadConfig): Promise<VaultPoint | undefined> {
  const path = keptHeadPath(config);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  const point = parseVaultPoint(text.trimEnd());
  if (point) return point;
  throw new KmsError('STATE_INVALID', `${path} names no state of a vault: look at the vault's state, and remove it`);
}

/** Writes the file in one step. */
export async function writeKeptHead(config: KeptHeadConfig, point: VaultPoint): Promise<void> {
  await writeNodeFile(keptHeadPath(config), Buffer.from(`${formatVaultPoint(point)}\n`));
}

/** Removes the file, if it is there. */
export async function removeKeptHead(config: KeptHeadConfig): Promise<void> {
  await rm(keptHeadPath(config), { force: true });
}

function keptHeadPath({ state }: KeptHeadConfig): string {
  return `${state.path}.vault-head`;
}
