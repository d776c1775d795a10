/**
 * The TPM's side of its messages, for the stand-ins of the tests: commands taken apart, responses put together.
 */
import { TpmReader, TpmWriter } from '../../attestation/tpm/bytes.ts';
import { HANDLE, TAG } from '../../attestation/tpm/constants.ts';

/** An authorization session as a command carries it. */
export interface SeenSession {
  readonly handle: number;
  readonly nonce: Uint8Array;
  readonly attributes: number;
  readonly hmac: Uint8Array;
}

/** A command taken apart. */
export interface SeenCommand {
  readonly code: number;
  readonly handles: readonly number[];
  readonly session: SeenSession | undefined;
  readonly parameters: TpmReader;
}

/** Takes a command apart, given how many handles its code has. */
export function readCommand(bytes: Uint8Array, handlesOf: (code: number) => number): SeenCommand {
  const reader = new TpmReader(bytes);
  const tag = reader.u16();
  if (reader.u32() !== bytes.length) throw new Error('a command of another size than it says');
  const code = reader.u32();
  const handles = Array.from({ length: handlesOf(code) }, () => reader.u32());
  if (tag === TAG.NO_SESSIONS) return { code, handles, session: undefined, parameters: reader };
  const area = new TpmReader(reader.take(reader.u32()));
  const session = { handle: area.u32(), nonce: area.sized(), attributes: area.u8(), hmac: area.sized() };
  if (area.remaining > 0) throw new Error('more sessions than one');
  return { code, handles, session, parameters: reader };
}

/** A response to a command without sessions, or a refusal. */
export function plainResponse(code: number, body: Uint8Array = new Uint8Array()): Uint8Array {
  return new TpmWriter()
    .u16(TAG.NO_SESSIONS)
    .u32(10 + body.length)
    .u32(code)
    .bytes(body)
    .finish();
}

/** A successful response to a command with one session. */
export function sessionResponse(parameters: Uint8Array = new Uint8Array(), nonce = new Uint8Array()): Uint8Array {
  const body = new TpmWriter()
    .u32(parameters.length)
    .bytes(parameters)
    .sized(nonce)
    .u8(1)
    .sized(new Uint8Array())
    .finish();
  return new TpmWriter()
    .u16(TAG.SESSIONS)
    .u32(10 + body.length)
    .u32(0)
    .bytes(body)
    .finish();
}

/** Whether the session is the password `auth`. */
export function isPassword(session: SeenSession | undefined, auth: Uint8Array): boolean {
  return session?.handle === HANDLE.PASSWORD_SESSION && Buffer.from(auth).equals(session.hmac);
}
