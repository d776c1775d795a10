/**
 * When a restore was last rehearsed, and with what result: a private object of the node, so that its age outlives servers. Not
 * secret. Format: docs/formats/private-objects.md.
 */
import { type ErrorCode, isErrorCode, KmsError } from '../../common/errors.ts';
import { SIGNING_KEY_ID } from '../../wire/ids.ts';
import { decodeSafe, encodeSafe } from '../../wire/safe-serialize.ts';
import type { PrivateVault } from '../vault/private-vault.ts';

/** See the file comment. */
export interface DrillRecord {
  readonly timeMs: number;
  readonly objects: number;
  readonly bytes: number;
  readonly tookMs: number;
  /** Why it failed; undefined: it passed. */
  readonly failure: ErrorCode | undefined;
}

const TYPE_NAME = 'arca::BackupDrill';
const VERSION = 0;
const PATH = ['BackupDrill', SIGNING_KEY_ID] as const;
const MAX_CODE_BYTES = 64;

/** Returns the newest record; undefined before the first drill. @throws KmsError `STATE_INVALID` if it is damaged. */
export async function readDrill(vault: PrivateVault): Promise<DrillRecord | undefined> {
  return (await vault.has(PATH)) ? await vault.read(PATH, decode) : undefined;
}

/** Takes the place of the record before. */
export async function writeDrill(vault: PrivateVault, record: DrillRecord): Promise<void> {
  await vault.put(PATH, encode(record), { replace: true });
}

function encode({ timeMs, objects, bytes, tookMs, failure: code }: DrillRecord): Uint8Array {
  const failure = code ?? '';
  const sizeBytes = 4 + 4 * 8 + 8 + failure.length;
  return encodeSafe(TYPE_NAME, sizeBytes, (writer) =>
    writer.u32(VERSION).u64(timeMs).u64(objects).u64(bytes).u64(tookMs).string(failure),
  );
}

function decode(encoded: Uint8Array): DrillRecord {
  return decodeSafe(encoded, TYPE_NAME, (reader) => {
    reader.expectU32(VERSION, 'BackupDrill version');
    const [timeMs, objects, bytes, tookMs] = [reader.u64(), reader.u64(), reader.u64(), reader.u64()];
    const code = reader.string();
    if (code.length > MAX_CODE_BYTES || (code !== '' && !isErrorCode(code))) {
      throw new KmsError('REQUEST_INVALID', 'a drill failed with a code that is none');
    }
    return { timeMs, objects, bytes, tookMs, failure: isErrorCode(code) ? code : undefined };
  });
}
