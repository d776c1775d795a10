/**
 * `--client-cert`, `--client-key`, `--ca`: the certificates that a command talks to a node with.
 */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { ClientTls } from '../../grpc/client.ts';
import { failure, usageFailure } from '../framework/failure.ts';

/** The options, as paths of PEM files. */
export interface ClientTlsOptions {
  readonly clientCert?: string | undefined;
  readonly clientKey?: string | undefined;
  readonly ca?: string | undefined;
}

/** Reads the files. @throws {@link KmsError} with exit code 2 if one of a pair is missing, else naming the file. */
export async function readClientTls({ clientCert, clientKey, ca }: ClientTlsOptions): Promise<ClientTls> {
  if ((clientCert === undefined) !== (clientKey === undefined)) {
    throw usageFailure('--client-cert and --client-key go together', 'give both, or neither');
  }
  const [cert, key, authorities] = await Promise.all([clientCert, clientKey, ca].map(readPem));
  if (authorities !== undefined) requireUsableAuthorities(authorities, ca ?? '');
  return { cert, key, ca: authorities };
}

/** Node crashes on a chain with a secp256k1 authority that it is told to trust: never hand it one. */
function requireUsableAuthorities(text: string, file: string): void {
  const cure = 'give PEM certificates of authorities with P-256, P-384, P-521, Ed25519 or RSA keys';
  const pems = text.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
  if (pems.length === 0) throw failure('REQUEST_INVALID', `${file} holds no PEM certificate`, cure);
  for (const pem of pems) {
    let curve: string | undefined;
    try {
      curve = new X509Certificate(pem).publicKey.asymmetricKeyDetails?.namedCurve;
    } catch (error) {
      throw failure('REQUEST_INVALID', `${file} holds a certificate that cannot be read`, cure, {}, error);
    }
    if (curve === 'secp256k1') throw failure('REQUEST_INVALID', `${file} holds a secp256k1 authority`, cure);
  }
}

async function readPem(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw failure('REQUEST_INVALID', `cannot read ${file}`, 'give the path of a PEM file', {}, error);
  }
}
