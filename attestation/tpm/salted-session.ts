/**
 * The HMAC session that a NitroTPM's vendor command is authorized with: SHA-512, salted to the endorsement key
 * (TPM 2.0 part 1, sections 18.7, 19.6 and B.10). The salt, the session key and the index's authorization value are
 * secret to whoever could otherwise use the index; they are wiped after use.
 */
import { constants, createHash, createHmac, createPublicKey, publicEncrypt } from 'node:crypto';
import { KmsError } from '../../common/errors.ts';
import type { RandomSource } from '../../common/random.ts';
import { TpmReader, TpmWriter } from './bytes.ts';
import { execute, passwordSession, TpmRefusal } from './command.ts';
import { ALGORITHM, COMMAND, HANDLE, isNoSuchHandle } from './constants.ts';
import type { TpmTransport } from './transport.ts';

const NONCE_BYTES = 64;
/** As long as the digest of the endorsement key's name algorithm. */
const SALT_BYTES = 32;
const CONTINUE_SESSION = 1;
const RSA_BITS = 2048;

/** SHA-256 policy of a default endorsement key: PolicySecret of the endorsement hierarchy (EK credential profile B.3). */
const EK_POLICY = Buffer.from('837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa', 'hex');
/** Fixed in this TPM and parent, made inside, admin by policy, restricted decryption. */
const EK_ATTRIBUTES = 0x0003_00b2;

interface EndorsementKey {
  readonly handle: number;
  readonly modulus: Uint8Array;
  readonly exponent: number;
  readonly release: () => Promise<void>;
}

/** What is to be authorized: a command on one object, given twice, without parameters. */
export interface Authorized {
  readonly code: number;
  readonly names: readonly Uint8Array[];
  readonly parameters?: Uint8Array;
  readonly auth: Uint8Array;
}

/**
 * Opens a salted session, runs `use` with the authorization of one command, and flushes the session.
 *
 * @throws {@link KmsError} `UNAVAILABLE` if the TPM has no RSA-2048 endorsement key and makes none.
 */
export async function withSaltedSession<T>(
  transport: TpmTransport,
  random: RandomSource,
  command: Authorized,
  use: (authorization: Uint8Array) => Promise<T>,
): Promise<T> {
  const key = await endorsementKey(transport);
  const salt = random(SALT_BYTES);
  try {
    const nonceCaller = random(NONCE_BYTES);
    const { handles, parameters } = await execute(transport, {
      code: COMMAND.START_AUTH_SESSION,
      handles: [key.handle, HANDLE.NULL],
      parameters: new TpmWriter()
        .sized(nonceCaller)
        .sized(encryptSalt(key, salt))
        .u8(0)
        .u16(ALGORITHM.NULL)
        .u16(ALGORITHM.SHA512)
        .finish(),
      responseHandles: 1,
    });
    const session = handles[0] ?? HANDLE.NULL;
    try {
      const nonceTpm = Uint8Array.from(parameters.sized());
      const sessionKey = deriveSessionKey(salt, nonceTpm, nonceCaller);
      return await use(authorize(session, sessionKey, nonceTpm, random(NONCE_BYTES), command));
    } finally {
      await flush(transport, session);
    }
  } finally {
    salt.fill(0);
    await key.release();
  }
}

/** The provisioned key if there is one, else one made from the default template. */
async function endorsementKey(transport: TpmTransport): Promise<EndorsementKey> {
  try {
    const { parameters } = await execute(transport, { code: COMMAND.READ_PUBLIC, handles: [HANDLE.EK_RSA2048] });
    return { handle: HANDLE.EK_RSA2048, ...readRsaPublic(parameters.sized()), release: async () => {} };
  } catch (error) {
    if (!(error instanceof TpmRefusal) || !isNoSuchHandle(error.responseCode)) throw error;
  }
  const template = new TpmWriter()
    .u16(ALGORITHM.RSA)
    .u16(ALGORITHM.SHA256)
    .u32(EK_ATTRIBUTES)
    .sized(EK_POLICY)
    .u16(ALGORITHM.AES)
    .u16(128)
    .u16(ALGORITHM.CFB)
    .u16(ALGORITHM.NULL)
    .u16(RSA_BITS)
    .u32(0)
    .sized(new Uint8Array(RSA_BITS / 8))
    .finish();
  const emptySensitive = new TpmWriter().u16(0).u16(0).finish();
  const { handles, parameters } = await execute(transport, {
    code: COMMAND.CREATE_PRIMARY,
    handles: [HANDLE.ENDORSEMENT],
    authorizations: [passwordSession()],
    parameters: new TpmWriter().sized(emptySensitive).sized(template).u16(0).u32(0).finish(),
    responseHandles: 1,
  });
  const handle = handles[0] ?? HANDLE.NULL;
  return { handle, ...readRsaPublic(parameters.sized()), release: () => flush(transport, handle) };
}

/** Modulus and exponent of a `TPMT_PUBLIC`. */
function readRsaPublic(area: Uint8Array): { modulus: Uint8Array; exponent: number } {
  const reader = new TpmReader(area);
  const type = reader.u16();
  const nameAlgorithm = reader.u16();
  reader.u32();
  reader.sized();
  if (type !== ALGORITHM.RSA || nameAlgorithm !== ALGORITHM.SHA256) throw noKey();
  if (reader.u16() !== ALGORITHM.NULL) reader.take(4);
  if (reader.u16() !== ALGORITHM.NULL) throw noKey();
  const bits = reader.u16();
  const exponent = reader.u32() || 65537;
  const modulus = reader.sized();
  if (bits !== RSA_BITS || modulus.length !== RSA_BITS / 8) throw noKey();
  return { modulus: Uint8Array.from(modulus), exponent };
}

function noKey(): KmsError {
  return new KmsError('UNAVAILABLE', 'the endorsement key of the TPM is not an RSA-2048 key with SHA-256');
}

function encryptSalt({ modulus, exponent }: EndorsementKey, salt: Uint8Array): Uint8Array {
  const e = new TpmWriter().u32(exponent).finish();
  const n = Buffer.from(modulus).toString('base64url');
  const key = createPublicKey({ format: 'jwk', key: { kty: 'RSA', n, e: Buffer.from(e).toString('base64url') } });
  // The label ends with a zero byte (B.4).
  const oaepLabel = Buffer.from('SECRET\0');
  return publicEncrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256', oaepLabel }, salt);
}

/** KDFa with one block: SHA-512 gives the 512 bits that are asked for. */
function deriveSessionKey(salt: Uint8Array, nonceTpm: Uint8Array, nonceCaller: Uint8Array): Buffer {
  const input = new TpmWriter().u32(1).bytes(Buffer.from('ATH\0')).bytes(nonceTpm).bytes(nonceCaller).u32(512).finish();
  return createHmac('sha512', salt).update(input).digest();
}

/** The session's entry in the authorization area of one command. */
function authorize(
  session: number,
  sessionKey: Buffer,
  nonceTpm: Uint8Array,
  nonceCaller: Uint8Array,
  { code, names, parameters = new Uint8Array(), auth }: Authorized,
): Uint8Array {
  const hashed = new TpmWriter().u32(code);
  for (const name of names) hashed.bytes(name);
  const cpHash = createHash('sha512').update(hashed.bytes(parameters).finish()).digest();
  const key = Buffer.concat([sessionKey, auth]);
  const hmac = createHmac('sha512', key)
    .update(cpHash)
    .update(nonceCaller)
    .update(nonceTpm)
    .update(Uint8Array.of(CONTINUE_SESSION))
    .digest();
  key.fill(0);
  sessionKey.fill(0);
  return new TpmWriter().u32(session).sized(nonceCaller).u8(CONTINUE_SESSION).sized(hmac).finish();
}

/** Frees a session or a loaded key. One that is gone already is no fault. */
async function flush(transport: TpmTransport, handle: number): Promise<void> {
  try {
    await execute(transport, { code: COMMAND.FLUSH_CONTEXT, parameters: new TpmWriter().u32(handle).finish() });
  } catch (error) {
    if (!(error instanceof TpmRefusal)) throw error;
  }
}
