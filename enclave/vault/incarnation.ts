/**
 * How often this party's engine has been started: a counter in the vault, advanced durably before each start serves.
 *
 * Peers refuse a lower one than they have seen, so an engine that was put back to an old copy of its vault cannot
 * take the place of its successor. Not secret. Format: docs/formats/private-objects.md.
 */
import { SIGNING_KEY_ID } from '../../wire/ids.ts';
import { decodeSafe, encodeSafe } from '../../wire/safe-serialize.ts';
import type { PrivateVault } from './private-vault.ts';

const TYPE_NAME = 'arca::Incarnation';
const VERSION = 0;
const PATH = ['Incarnation', SIGNING_KEY_ID] as const;

/**
 * Advances the counter and returns it once it is durable: 1 at the first start.
 *
 * @throws KmsError `STATE_INVALID` if the stored one is damaged.
 */
export async function advanceIncarnation(vault: PrivateVault): Promise<number> {
  const last = (await vault.has(PATH)) ? await vault.read(PATH, decodeIncarnation) : 0;
  const next = last + 1;
  await vault.put(PATH, encodeIncarnation(next), { replace: true });
  return next;
}

function encodeIncarnation(incarnation: number): Uint8Array {
  return encodeSafe(TYPE_NAME, 4 + 8, (writer) => writer.u32(VERSION).u64(incarnation));
}

function decodeIncarnation(bytes: Uint8Array): number {
  return decodeSafe(bytes, TYPE_NAME, (reader) => {
    reader.expectU32(VERSION, 'Incarnation version');
    return reader.u64();
  });
}
