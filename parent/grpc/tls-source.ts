/**
 * What a TLS listener serves: certificate, key and client authorities, read from files and read again when they change.
 *
 * The private key passes through here on its way into OpenSSL and nowhere else. A change that is no good is said in
 * the log, and what was served before goes on being served.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import type { Clock } from '../../common/clock.ts';
import { KmsError, systemErrorCode } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';

/** What one TLS listener needs of certificates. */
export interface TlsMaterial {
  /** PEM, the leaf first. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
  /** PEM of the authorities whose client certificates count; absent: none is asked for. */
  readonly clientCa?: string | undefined;
}

/** Certificates of a listener, now and whenever they change. */
export interface TlsSource {
  current(): TlsMaterial;
  /** Calls `listener` with each new material until the returned function is called. */
  onChange(listener: (material: TlsMaterial) => void): () => void;
  /** Reasons why nobody can be served with what there is, for people. */
  reasons?(): readonly string[];
  close(): void;
}

/** Files that a source is read from. */
export interface TlsFiles {
  readonly certPath: string;
  readonly keyPath: string;
  readonly clientCaPath?: string | undefined;
}

/** A source that can be told to look again. */
export interface FileTlsSource extends TlsSource {
  /** Looks at the files now. @returns Whether new material is served. Never rejects. */
  check(): Promise<boolean>;
}

/** How often the files are looked at. */
const CHECK_EVERY_MS = 5000;
/** From when on the log warns that the certificate ends. */
const WARN_BEFORE_MS = 14 * 24 * 60 * 60_000;
/** Curves that TLS 1.3 knows and OpenSSL serves. */
const CURVES: ReadonlySet<string> = new Set(['prime256v1', 'secp384r1', 'secp521r1']);

/**
 * Reads certificate, key and authorities.
 *
 * @throws {@link KmsError} `CONFIG_INVALID` naming the file at fault.
 */
export async function openFileTlsSource(
  files: TlsFiles,
  { clock, log, checkEveryMs = CHECK_EVERY_MS }: { clock: Clock; log: Logger; checkEveryMs?: number },
): Promise<FileTlsSource> {
  const listeners = new Set<(material: TlsMaterial) => void>();
  let seen = await fingerprint(files);
  let material = await read(files, clock, log);
  let checking: Promise<boolean> = Promise.resolve(false);

  const look = async (): Promise<boolean> => {
    const now = await fingerprint(files);
    if (now === seen) return false;
    seen = now;
    try {
      material = await read(files, clock, log);
    } catch (err) {
      log.error({ event: 'tls.refused', err }, 'the new certificate is no good: the old one stays');
      return false;
    }
    for (const listener of listeners) listener(material);
    return true;
  };
  const check = (): Promise<boolean> => {
    checking = checking.then(look, look);
    return checking;
  };
  const timer = setInterval(() => void check(), checkEveryMs).unref();

  return {
    current: () => material,
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    check,
    close: () => clearInterval(timer),
  };
}

/** What a change of a file changes: also when it is replaced by a link to another. */
async function fingerprint({ certPath, keyPath, clientCaPath }: TlsFiles): Promise<string> {
  const paths = [certPath, keyPath, ...(clientCaPath === undefined ? [] : [clientCaPath])];
  const parts = paths.map(async (path) => {
    try {
      const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
      return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
    } catch (error) {
      return systemErrorCode(error) ?? 'unknown';
    }
  });
  return (await Promise.all(parts)).join('\n');
}

async function read({ certPath, keyPath, clientCaPath }: TlsFiles, clock: Clock, log: Logger): Promise<TlsMaterial> {
  const [cert, key, clientCa] = await Promise.all([
    readText(certPath, 'service.tls.cert_path'),
    readText(keyPath, 'service.tls.key_path'),
    clientCaPath === undefined ? undefined : readClientAuthorities(clientCaPath),
  ]);
  const leaf = parseCertificate(cert, certPath);
  const privateKey = parseKey(key, keyPath);
  requireUsableKey(privateKey, keyPath);
  if (!leaf.checkPrivateKey(privateKey)) {
    throw invalid(`${keyPath} is not the key of the first certificate in ${certPath}`);
  }
  const notAfter = Date.parse(leaf.validTo);
  if (notAfter <= clock.nowMs()) throw invalid(`${certPath} ended on ${leaf.validTo}`);
  if (Date.parse(leaf.validFrom) > clock.nowMs()) throw invalid(`${certPath} begins on ${leaf.validFrom}`);
  const authorities = clientCa === undefined ? [] : splitPem(clientCa);
  const { fingerprint256, validTo } = leaf;
  const line = { event: 'tls.loaded', certPath, fingerprint256, validTo, clientAuthorities: authorities.length };
  if (notAfter - clock.nowMs() < WARN_BEFORE_MS) log.warn(line, 'the server certificate ends soon');
  else log.info(line);
  if (((await stat(keyPath)).mode & 0o007) !== 0) {
    log.warn({ event: 'tls.key_readable', keyPath }, 'every user of this machine can read the private key');
  }
  return { cert, key, ...(clientCa === undefined ? {} : { clientCa }) };
}

/**
 * Reads the authorities of client certificates.
 *
 * @throws {@link KmsError} `CONFIG_INVALID` if the file holds none, or one that cannot be used.
 */
export async function readClientAuthorities(path: string): Promise<string> {
  const text = await readText(path, 'service.tls.client_ca_path');
  checkAuthorities(splitPem(text), path);
  return text;
}

/**
 * An authority on a curve that TLS does not have can sign no client we could talk to, and Node crashes on some of
 * them elsewhere: refused before OpenSSL sees it.
 */
function checkAuthorities(pems: readonly string[], path: string): void {
  if (pems.length === 0) throw invalid(`${path} holds no PEM certificate`);
  for (const pem of pems) {
    const certificate = parseCertificate(pem, path);
    if (!certificate.ca) throw invalid(`${path} holds a certificate that is no authority: ${oneLine(certificate)}`);
    requireUsableKey(certificate.publicKey, path);
  }
}

function requireUsableKey({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject, path: string): void {
  const curve = asymmetricKeyDetails?.namedCurve;
  const bits = asymmetricKeyDetails?.modulusLength ?? 0;
  const fits =
    asymmetricKeyType === 'ed25519' ||
    (asymmetricKeyType === 'ec' && curve !== undefined && CURVES.has(curve)) ||
    (asymmetricKeyType === 'rsa' && bits >= 2048);
  if (fits) return;
  throw invalid(
    `${path} has a key that TLS 1.3 is not used with: needs P-256, P-384, P-521, Ed25519 or RSA from 2048 bits`,
  );
}

async function readText(path: string, setting: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const code = systemErrorCode(error) ?? 'unknown';
    throw new KmsError('CONFIG_INVALID', `${setting}: cannot read ${path} (${code})`, { path, setting }, error);
  }
}

function parseCertificate(pem: string, path: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch {
    throw invalid(`${path} holds no PEM certificate`);
  }
}

function parseKey(pem: string, path: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    // The library's error may quote what it read.
    throw invalid(`${path} holds no PEM private key without a passphrase`);
  }
}

function splitPem(text: string): string[] {
  return text.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
}

function oneLine({ subject }: X509Certificate): string {
  return (subject ?? '').replaceAll('\n', ', ');
}

function invalid(message: string): KmsError {
  return new KmsError('CONFIG_INVALID', message);
}
