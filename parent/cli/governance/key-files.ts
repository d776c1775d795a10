/**
 * Keys of people: Ed25519 keys in PEM files. A private key that others may read is refused; its bytes go into a
 * `KeyObject` and the buffer is wiped.
 */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { open } from 'node:fs/promises';
import { rawPublicKey } from '../../../attestation/governance/index.ts';
import { fromHex } from '../../../common/bytes.ts';
import { failure, hasCode } from '../framework/failure.ts';
import { readLimited } from '../framework/read-limited.ts';

const MAX_PEM_BYTES = 16 * 1024;
const MAKE_ONE = "make one: 'umask 077; openssl genpkey -algorithm ed25519 -out key.pem'";

/**
 * Reads a private key.
 *
 * @throws {@link KmsError} `NOT_FOUND`; `PERMISSION_DENIED` if anybody but its owner may read or change the file;
 *   `KEY_INVALID` if it holds no unencrypted Ed25519 private key.
 */
export async function readSigningKey(path: string): Promise<KeyObject> {
  const pem = await readPrivateFile(path);
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType === 'ed25519') return key;
  } catch {
    // What the parser says of a private key is not repeated.
  } finally {
    pem.fill(0);
  }
  throw failure('KEY_INVALID', `${path} holds no unencrypted Ed25519 private key`, MAKE_ONE);
}

/**
 * Reads a public key: 64 hexadecimal digits, or a PEM file with a public or private key.
 *
 * @throws {@link KmsError} `KEY_INVALID`, `NOT_FOUND`.
 */
export async function readPublicKey(text: string): Promise<Uint8Array> {
  if (/^(?:0x)?[0-9a-fA-F]{64}$/.test(text)) return fromHex(text.slice(-64));
  const pem = await readLimited(text, MAX_PEM_BYTES).catch((error: unknown) => {
    const cure = 'give 64 hexadecimal digits, or the path of a PEM file';
    throw failure(
      hasCode(error, 'ENOENT') ? 'NOT_FOUND' : 'KEY_INVALID',
      `cannot read the key ${text}`,
      cure,
      {},
      error,
    );
  });
  if (pem === undefined) throw failure('KEY_INVALID', `${text} is too large for a key`, MAKE_ONE);
  try {
    if (pem.includes('PRIVATE KEY')) (await readPrivateFile(text)).fill(0);
    return rawPublicKey(createPublicKey(pem));
  } catch (error) {
    if (hasCode(error, 'PERMISSION_DENIED')) throw error;
    throw failure('KEY_INVALID', `${text} holds no Ed25519 key`, MAKE_ONE);
  } finally {
    pem.fill(0);
  }
}

/** Reads a file that nobody else may read; mode and content are of one and the same file. */
async function readPrivateFile(path: string): Promise<Buffer> {
  const file = await open(path, 'r').catch((error: unknown) => {
    const code = hasCode(error, 'ENOENT') ? 'NOT_FOUND' : 'KEY_INVALID';
    throw failure(code, `cannot read the key ${path}`, MAKE_ONE, {}, error);
  });
  try {
    const found = await file.stat();
    if (!found.isFile()) throw failure('KEY_INVALID', `${path} is no file`, MAKE_ONE);
    const mode = found.mode & 0o777;
    if ((mode & 0o077) === 0) return await file.readFile();
    const text = mode.toString(8).padStart(4, '0');
    throw failure('PERMISSION_DENIED', `${path} has mode ${text}: others may use this key`, `run: chmod 600 ${path}`);
  } finally {
    await file.close();
  }
}
