/**
 * User key pairs in `<dir>/users`: an ML-KEM-512 key that answers are encrypted to, and the user's address.
 *
 * SECRET: the seed. It stands in a file of mode 0600 and in memory of its own, which the holder wipes.
 */
import { mkdir, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { systemRandom } from '../../../common/random.ts';
import { formatAddress, parseAddress } from '../../../wire/addresses.ts';
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

const UserFile = z.strictObject({
  format: z.literal('arca-user'),
  version: z.literal(1),
  address: z.string(),
  /** SECRET, base64. */
  seed: z.base64(),
});

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
  const path = join(dir, STATE_FILES.users, `${name}.json`);
  try {
    return parseUser(await readFile(path), path);
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
  const { encKey, seed } = generateUserKeyPair();
  const user = { address: systemRandom(20), encKey, seed };
  await mkdir(join(dir, STATE_FILES.users), { recursive: true, mode: 0o700 });
  await writeUser(path, user);
  return user;
}

async function writeUser(path: string, { address, seed }: User): Promise<void> {
  const secret = Buffer.from(seed.buffer, seed.byteOffset, seed.byteLength).toString('base64');
  const value: z.infer<typeof UserFile> = {
    format: 'arca-user',
    version: 1,
    address: formatAddress(address),
    seed: secret,
  };
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(`${JSON.stringify(value)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
}

function parseUser(bytes: Buffer, path: string): User {
  try {
    const file = UserFile.parse(JSON.parse(bytes.toString('utf8')));
    const seed = new Uint8Array(64);
    const decoded = Buffer.from(file.seed, 'base64');
    if (decoded.byteLength !== seed.byteLength) throw new Error('the seed has another length');
    seed.set(decoded);
    decoded.fill(0);
    return { address: parseAddress(file.address), encKey: encKeyOfSeed(seed), seed };
  } catch {
    // The cause may quote the file, and the file holds a secret.
    throw failure('STATE_INVALID', `${path} is no user key pair`, 'name another with --user, or move the file away');
  } finally {
    bytes.fill(0);
  }
}
