/**
 * The developer root of a state folder: made on first use, then kept. Its private key is SECRET in so far as who reads
 * it can pass for any program of that folder's network; it stays in the supervisor and is never given to a child.
 *
 * `developer-root.key` holds key and certificate in one file, so that no crash leaves the one without the other;
 * `developer-root.pem` is the certificate for everybody.
 */
import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { access, link, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { toHex } from '../../common/bytes.ts';
import type { Clock } from '../../common/clock.ts';
import { type Fact, KmsError, systemErrorCode } from '../../common/errors.ts';
import { systemRandom } from '../../common/random.ts';
import type { TrustAnchor } from '../document/types.ts';
import { type DeveloperRootKey, makeDeveloperRoot } from './chain.ts';

/** The files of a developer root within its folder. */
export const DEVELOPER_ROOT_FILES = { key: 'developer-root.key', certificate: 'developer-root.pem' } as const;

/** The root of a state folder, and the trust anchor that verifiers are given. */
export interface DeveloperRoot extends DeveloperRootKey {
  readonly anchor: TrustAnchor;
}

/** Longest file that is read as a root. */
const MAX_FILE_BYTES = 16 * 1024;
const OTHERS_MODE = 0o077;
const CURVE = 'secp384r1';

/** A new root is valid from this long ago, so that a clock that is set right after the first start does no harm. */
const BACKDATED_MS = 24 * 60 * 60 * 1000;

const NEW_ROOT = 'a new root is made at the next start; releases and charters under the old one are void';

/**
 * Returns the developer root of a folder and makes it if there is none.
 *
 * @param folder - Made with mode 0700 if absent.
 * @throws {@link KmsError} `STATE_INVALID` with a `cure` if a file is damaged, expired, readable by others, or if
 *   certificate and key do not belong together.
 */
export async function openDeveloperRoot(folder: string, { clock }: { readonly clock: Clock }): Promise<DeveloperRoot> {
  const path = join(folder, DEVELOPER_ROOT_FILES.key);
  const text = (await readKeyFile(path)) ?? (await createKeyFile(folder, path, clock));
  const root = parseRoot(path, text, clock.nowMs());
  await publishCertificate(folder, root.certificate);
  return { ...root, anchor: { name: 'developer root', certificate: root.certificate } };
}

/** Returns the text of the key file, undefined if there is none. */
async function readKeyFile(path: string): Promise<string | undefined> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw invalid(path, 'cannot be opened', 'check its owner, its mode, and that it is a plain file', {}, error);
  }
  try {
    const stats = await file.stat();
    checkOwnFile(path, stats);
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}

function checkOwnFile(path: string, stats: Stats): void {
  const { mode, uid, size } = stats;
  if (!stats.isFile()) throw invalid(path, 'is no plain file', 'move it away');
  if ((mode & OTHERS_MODE) !== 0) {
    const shown = (mode & 0o777).toString(8).padStart(4, '0');
    throw invalid(path, `holds a private key and can be reached by others (mode ${shown})`, `chmod 600 ${path}`);
  }
  const own = process.getuid?.();
  if (own !== undefined && uid !== own) throw invalid(path, 'belongs to another user', `chown it to user ${own}`);
  if (size > MAX_FILE_BYTES) throw damaged(path);
}

/** A new key beside the certificate of another would only hide which file is missing: nothing of the old root holds. */
async function refuseLostKey(folder: string, path: string): Promise<void> {
  const isThere = await access(join(folder, DEVELOPER_ROOT_FILES.certificate)).then(
    () => true,
    () => false,
  );
  if (isThere) throw invalid(path, 'is gone, its certificate is there', 'restore it from a copy, or use --reset');
}

/** Writes the file whole and never over another; of two processes that try at once, one's root stands for both. */
async function createKeyFile(folder: string, path: string, clock: Clock): Promise<string> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await refuseLostKey(folder, path);
  const { privateKey, certificate } = makeDeveloperRoot({ nowMs: clock.nowMs() - BACKDATED_MS });
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' });
  const text = `${typeof key === 'string' ? key : key.toString('utf8')}${new X509Certificate(certificate).toString()}`;
  const draft = draftOf(path);
  try {
    await writeDurably(draft, text, 0o600);
    await link(draft, path);
  } catch (error) {
    if (systemErrorCode(error) !== 'EEXIST') {
      throw invalid(path, 'cannot be written', 'check the owner, the mode and the free space of its folder', {}, error);
    }
  } finally {
    await rm(draft, { force: true });
  }
  return (await readKeyFile(path)) ?? text;
}

function parseRoot(path: string, text: string, nowMs: number): DeveloperRootKey {
  let privateKey: KeyObject;
  let certificate: X509Certificate;
  try {
    privateKey = createPrivateKey(text);
    certificate = new X509Certificate(text.slice(Math.max(0, text.indexOf('-----BEGIN CERTIFICATE-----'))));
  } catch {
    // The cause stays here: a parser's message may quote what it read, and that is a private key.
    throw damaged(path);
  }
  if (privateKey.asymmetricKeyDetails?.namedCurve !== CURVE) throw damaged(path);
  const publicKey = createPublicKey(privateKey);
  if (!certificate.checkPrivateKey(privateKey) || !certificate.verify(publicKey)) {
    throw invalid(path, 'holds a certificate and a key that do not belong together', `remove it: ${NEW_ROOT}`);
  }
  const from = certificate.validFromDate.getTime();
  const until = certificate.validToDate.getTime();
  if (nowMs < from || nowMs >= until) {
    const dates = { validFrom: new Date(from).toISOString(), validTo: new Date(until).toISOString() };
    const cure = `check this machine's clock; if it is right, remove the file: ${NEW_ROOT}`;
    throw invalid(path, `is valid from ${dates.validFrom} to ${dates.validTo} only`, cure, dates);
  }
  return { certificate: new Uint8Array(certificate.raw), privateKey };
}

/** Sees to it that the public copy is there, and is the certificate of this very key. */
async function publishCertificate(folder: string, certificate: Uint8Array): Promise<void> {
  const path = join(folder, DEVELOPER_ROOT_FILES.certificate);
  const pem = new X509Certificate(certificate).toString();
  let found: string;
  try {
    found = await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT')
      throw invalid(path, 'cannot be read', 'check its owner and mode', {}, error);
    const draft = draftOf(path);
    await writeDurably(draft, pem, 0o644);
    await rename(draft, path);
    return;
  }
  if (found.trim() === pem.trim()) return;
  throw invalid(
    path,
    'is not the certificate of the key beside it',
    'remove it: it is written again at the next start',
  );
}

/** Each writer has a draft of its own. */
function draftOf(path: string): string {
  return `${path}.${toHex(systemRandom(8))}.new`;
}

async function writeDurably(path: string, text: string, mode: number): Promise<void> {
  const file = await open(path, 'wx', mode);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

function damaged(path: string): KmsError {
  return invalid(path, 'is damaged', `remove it: ${NEW_ROOT}`);
}

function invalid(
  path: string,
  what: string,
  cure: string,
  facts: Readonly<Record<string, Fact>> = {},
  cause?: unknown,
): KmsError {
  return new KmsError('STATE_INVALID', `${path} ${what}: ${cure}`, { path, ...facts, cure }, cause);
}
