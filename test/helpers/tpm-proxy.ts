/**
 * A NitroTPM for tests: a TPM proxy that answers the vendor command from a software security module and passes
 * everything else on. It checks the vendor command's authorization itself, in the form that it is told to accept; for
 * salted sessions it has an endorsement key of its own.
 *
 * Software TPMs have no room for the 8 KiB index: below the proxy it is smaller, authorizations are checked there, and
 * the contents are the proxy's.
 */
import {
  constants,
  createHash,
  createHmac,
  generateKeyPairSync,
  type KeyObject,
  privateDecrypt,
  randomBytes,
} from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { TpmReader, TpmWriter } from '../../attestation/tpm/bytes.ts';
import { cborItemBytes } from '../../attestation/tpm/cbor-length.ts';
import { COMMAND, HANDLE } from '../../attestation/tpm/constants.ts';
import type { TpmTransport } from '../../attestation/tpm/transport.ts';
import type { Teardown } from './temp-dir.ts';
import { HANDLES_OF, nameOf } from './tpm-fake.ts';
import {
  isPassword,
  plainResponse,
  readCommand,
  type SeenCommand,
  type SeenSession,
  sessionResponse,
} from './tpm-messages.ts';

const BELOW_BYTES = 2048;
const SESSION = 0x02ab_cd01;
const REFUSED_TYPE = 0x124;
const REFUSED_AUTH = 0x98e;
const BAD_RANGE = 0x146;

interface Index {
  readonly auth: Uint8Array;
  readonly content: Uint8Array;
  publicArea: Uint8Array;
}

/** What the proxy does. */
export interface ProxyOptions {
  readonly below: TpmTransport;
  /** Answers the request in an index: a software security module's `handle`. */
  readonly answer: (request: Uint8Array) => Promise<Uint8Array>;
  /** Forms of authorization that the vendor command takes. Default both. */
  readonly accepts?: readonly ('password' | 'salted')[];
  /** Called with each command's code before it runs; a returned response is given in its place, a throw is a fault. */
  readonly before?: (code: number) => Uint8Array | undefined | Promise<Uint8Array | undefined>;
}

/** Returns the proxy as a transport; `codes` are the commands that it has seen. */
export function nitroTpmProxy(options: ProxyOptions): TpmTransport & { readonly codes: number[] } {
  const { below, accepts = ['password', 'salted'] } = options;
  const indices = new Map<number, Index>();
  const key = accepts.includes('salted') ? generateKeyPairSync('rsa', { modulusLength: 2048 }) : undefined;
  const codes: number[] = [];
  let session: { key: Buffer; nonceTpm: Uint8Array } | undefined;

  const vendor = async ({ session: shown, handles }: SeenCommand, index: Index): Promise<Uint8Array> => {
    if (handles[0] !== handles[1] || !shown) return plainResponse(REFUSED_AUTH);
    const form = shown.handle === HANDLE.PASSWORD_SESSION ? 'password' : 'salted';
    if (!accepts.includes(form)) return plainResponse(REFUSED_TYPE);
    const isRight = form === 'password' ? isPassword(shown, index.auth) : isAuthorized(shown, index, session);
    if (!isRight) return plainResponse(REFUSED_AUTH);
    const size = cborItemBytes(index.content);
    const answer = await options.answer(index.content.slice(0, size));
    index.content.set(answer);
    return sessionResponse();
  };

  const handle = async (bytes: Uint8Array): Promise<Uint8Array> => {
    const command = readCommand(bytes, (code) => HANDLES_OF[code] ?? 0);
    const { code, handles, parameters } = command;
    codes.push(code);
    const instead = await options.before?.(code);
    if (instead) return instead;
    const at = handles.at(-1) ?? 0;
    const index = indices.get(at);
    switch (code) {
      case COMMAND.NV_DEFINE_SPACE: {
        const auth = Uint8Array.from(parameters.sized());
        const publicArea = Uint8Array.from(parameters.sized());
        const size = new DataView(publicArea.buffer).getUint16(publicArea.length - 2);
        const small = Buffer.from(bytes);
        small.writeUInt16BE(Math.min(size, BELOW_BYTES), small.length - 2);
        const response = await below.send(small);
        const defined = new TpmReader(publicArea).u32();
        if (isSuccess(response)) indices.set(defined, { auth, content: new Uint8Array(size).fill(0xff), publicArea });
        return response;
      }
      case COMMAND.NV_UNDEFINE_SPACE: {
        const response = await below.send(bytes);
        if (isSuccess(response)) indices.delete(at);
        return response;
      }
      case COMMAND.NV_WRITE: {
        if (!index) return below.send(bytes);
        const data = parameters.sized();
        const offset = parameters.u16();
        if (offset + data.length > index.content.length) return plainResponse(BAD_RANGE);
        const response = await below.send(withOffsetZero(bytes));
        if (isSuccess(response)) index.content.set(data, offset);
        return response;
      }
      case COMMAND.NV_READ: {
        if (!index) return below.send(bytes);
        const size = parameters.u16();
        const offset = parameters.u16();
        if (offset + size > index.content.length) return plainResponse(BAD_RANGE);
        const response = await below.send(withOffsetZero(bytes));
        if (!isSuccess(response)) return response;
        return sessionResponse(new TpmWriter().sized(index.content.subarray(offset, offset + size)).finish());
      }
      case COMMAND.NV_READ_PUBLIC: {
        const response = await below.send(bytes);
        if (!index || !isSuccess(response)) return response;
        const attributes = new TpmReader(response.subarray(18)).u32();
        new DataView(index.publicArea.buffer).setUint32(6, attributes);
        return plainResponse(0, new TpmWriter().sized(index.publicArea).sized(nameOf(index.publicArea)).finish());
      }
      case COMMAND.NITRO_NSM_REQUEST:
        return index ? vendor(command, index) : plainResponse(0x18b);
      case COMMAND.READ_PUBLIC:
        return key && at === HANDLE.EK_RSA2048 ? plainResponse(0, publicKeyArea(key.publicKey)) : below.send(bytes);
      case COMMAND.START_AUTH_SESSION: {
        if (!key || handles[0] !== HANDLE.EK_RSA2048) return below.send(bytes);
        const nonceCaller = parameters.sized();
        const salt = decryptSalt(key.privateKey, parameters.sized());
        const nonceTpm = randomBytes(64);
        session = { key: sessionKey(salt, nonceTpm, nonceCaller), nonceTpm };
        return plainResponse(0, new TpmWriter().u32(SESSION).sized(nonceTpm).finish());
      }
      case COMMAND.FLUSH_CONTEXT: {
        if (!session || new TpmReader(bytes.subarray(10)).u32() !== SESSION) return below.send(bytes);
        session = undefined;
        return plainResponse(0);
      }
      default:
        return below.send(bytes);
    }
  };
  return { codes, send: handle, close: () => below.close() };
}

function isSuccess(response: Uint8Array): boolean {
  return new TpmReader(response.subarray(6)).u32() === 0;
}

/** Reads and writes end with their offset; below the proxy all of them are at the beginning. */
function withOffsetZero(bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy.fill(0, copy.length - 2);
  return copy;
}

/** Written after the specification and apart from the code under test: part 1, sections 18.7 and 19.6. */
function isAuthorized(shown: SeenSession, index: Index, session: { key: Buffer; nonceTpm: Uint8Array } | undefined) {
  if (!session || shown.handle !== SESSION) return false;
  const name = nameOf(index.publicArea);
  const code = Buffer.from([0x20, 0, 0, 1]);
  const cpHash = createHash('sha512')
    .update(Buffer.concat([code, name, name]))
    .digest();
  const message = Buffer.concat([cpHash, shown.nonce, session.nonceTpm, Buffer.from([shown.attributes])]);
  const expected = createHmac('sha512', Buffer.concat([session.key, index.auth]))
    .update(message)
    .digest();
  return expected.equals(shown.hmac);
}

function sessionKey(salt: Uint8Array, nonceTpm: Uint8Array, nonceCaller: Uint8Array): Buffer {
  const counter = Buffer.from([0, 0, 0, 1]);
  const bits = Buffer.from([0, 0, 2, 0]);
  const input = Buffer.concat([counter, Buffer.from('ATH'), Buffer.alloc(1), nonceTpm, nonceCaller, bits]);
  return createHmac('sha512', salt).update(input).digest();
}

function decryptSalt(key: KeyObject, encrypted: Uint8Array): Uint8Array {
  const oaepLabel = Buffer.concat([Buffer.from('SECRET'), Buffer.alloc(1)]);
  return privateDecrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256', oaepLabel }, encrypted);
}

/** `TPMT_PUBLIC` of a default endorsement key, then a name and a qualified name that nobody reads. */
function publicKeyArea(key: KeyObject): Uint8Array {
  const modulus = Buffer.from(key.export({ format: 'jwk' }).n ?? '', 'base64url');
  const area = new TpmWriter()
    .u16(1)
    .u16(0x0b)
    .u32(0x0003_00b2)
    .sized(new Uint8Array(32))
    .u16(6)
    .u16(128)
    .u16(0x43)
    .u16(0x10)
    .u16(2048)
    .u32(0)
    .sized(modulus)
    .finish();
  return new TpmWriter().sized(area).sized(new Uint8Array(34)).sized(new Uint8Array(34)).finish();
}

/** Serves a transport on a Unix socket, as `swtpm` does. */
export async function serveTpm(t: Teardown, path: string, tpm: TpmTransport): Promise<void> {
  const server = createServer((socket) => {
    let buffered = Buffer.alloc(0);
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      buffered = Buffer.concat([buffered, chunk]);
      if (buffered.length < 10 || buffered.length < buffered.readUInt32BE(2)) return;
      const command = Uint8Array.from(buffered);
      buffered = Buffer.alloc(0);
      tpm.send(command).then(
        (response) => socket.write(response),
        () => socket.destroy(),
      );
    });
  });
  server.listen(path);
  await once(server, 'listening');
  t.teardown(() => void server.close());
}
