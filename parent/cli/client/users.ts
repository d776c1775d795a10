/**
 * User key pairs in `<dir>/users`: an ML-KEM-512 key that answers are encrypted to, and the user's address.
 *
 * SECRET: the seed. It stands in a file of mode 0600 and in memory of its own, which the holder wipes. The file is
 * the magic text, 20 bytes of address and 64 bytes of seed: binary, so that the seed is never a string.
 */
import { mkdir, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemRandom } from '../../../common/random.ts';
import { ADDRESS_BYTES } from '../../../wire/addresses.ts';
import { encKeyOfSeed, generateUserKeyPair } from '../../../wire/signcryption.ts';
import { failure, hasCode, usageFailure } from '../framework/failure.ts';
import { STATE_FILES } from '../supervise/state-folder.ts';

/** A user who asks for decryptions. */
export interface User {
  /** 20 bytes. */
  readonly address: Uint8Array;
  /** As requests carry it, 869 bytes. */
  readonly encKey: Uint8Array;
  /** SECRET: seed of the ML-KEM key. */
  readonly seed: Uint8Array;
}

const MAGIC = Buffer.from('arca-user-1\n', 'latin1');
const SEED_BYTES = 64;
const SEED_AT = MAGIC.byteLength + ADDRESS_BYTES;
const FILE_BYTES = SEED_AT + SEED_BYTES;

/**
 * Returns the user of a name; makes one, with a random address, if there is none.
 *
 * Nothing is signed in the user's name: the address only says for whom the answer is.
 *
 * @throws {@link KmsError} `STATE_INVALID` for a damaged file; wrong usage for a name that is no file name.
 */
export async function openUser(dir: string, name: string): Promise<User> {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name)) {
    throw usageFailure(`'${name}' is no user name`, 'use letters, digits, dots, dashes and underscores with --user');
  }
  const folder = join(dir, STATE_FILES.users);
  const path = join(folder, `${name}.key`);
  try {
    return parseUser(await readFile(path), path);
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
  const user = { ...generateUserKeyPair(), address: systemRandom(ADDRESS_BYTES) };
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeUser(path, user);
  return user;
}

async function writeUser(path: string, { address, seed }: User): Promise<void> {
  const bytes = new Uint8Array(FILE_BYTES);
  bytes.set(MAGIC);
  bytes.set(address, MAGIC.byteLength);
  bytes.set(seed, SEED_AT);
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
    bytes.fill(0);
  }
}

function parseUser(bytes: Buffer, path: string): User {
  try {
    if (bytes.byteLength !== FILE_BYTES || !bytes.subarray(0, MAGIC.byteLength).equals(MAGIC)) {
      const cure = 'name another with --user, or move the file away';
      throw failure('STATE_INVALID', `${path} is no user key pair`, cure);
    }
    // Copies: the secret gets memory of its own, the buffer is wiped.
    const seed = Uint8Array.from(bytes.subarray(SEED_AT));
    return { address: Uint8Array.from(bytes.subarray(MAGIC.byteLength, SEED_AT)), encKey: encKeyOfSeed(seed), seed };
  } finally {
    bytes.fill(0);
  }
}
