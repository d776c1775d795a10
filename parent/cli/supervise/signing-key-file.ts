/**
 * Ed25519 keys of developer mode in PEM files of mode 0600: the governance key that approves by itself, and the key
 * that signs release sets. Made on first use.
 */
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { link, mkdir, open, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { failure, hasCode } from '../framework/failure.ts';

/**
 * Returns the key in a file, which is made if it is not there.
 *
 * @throws {@link KmsError} `STATE_INVALID` if the file holds no Ed25519 key.
 */
export async function openSigningKey(path: string): Promise<KeyObject> {
  try {
    return parseKey(await readFile(path), path);
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const { privateKey } = generateKeyPairSync('ed25519');
  const temp = `${path}.new`;
  await rm(temp, { force: true });
  const file = await open(temp, 'wx', 0o600);
  try {
    await file.writeFile(privateKey.export({ type: 'pkcs8', format: 'pem' }));
    await file.sync();
  } finally {
    await file.close();
  }
  // Not a rename: a key that somebody else has made meanwhile stays.
  await link(temp, path);
  await rm(temp);
  return privateKey;
}

function parseKey(pem: Buffer, path: string): KeyObject {
  const fault = `${path} holds no Ed25519 key`;
  const cure = 'restore it from a copy, or start over with --reset';
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType === 'ed25519') return key;
  } catch (error) {
    throw failure('STATE_INVALID', fault, cure, {}, error);
  } finally {
    pem.fill(0);
  }
  throw failure('STATE_INVALID', fault, cure);
}
