/**
 * Commands as bytes, responses as values: headers, handles, the authorization area with its password session, and the
 * codes a TPM answers with (TPM 2.0 part 1, section 18; part 3, section 5).
 */
import { setTimeout as wait } from 'node:timers/promises';
import { KmsError } from '../../common/errors.ts';
import { TpmReader, TpmWriter } from './bytes.ts';
import { HANDLE, HEADER_BYTES, RC, TAG } from './constants.ts';
import type { TpmTransport } from './transport.ts';

/** How often a command is sent that the TPM is too busy to start, and how much longer each wait is than the last. */
const MAX_TRIES = 10;
const WAIT_STEP_MS = 20;

/** A command. */
export interface TpmCommand {
  readonly code: number;
  readonly handles?: readonly number[];
  /** The authorization area's sessions, in the order of the handles that need one. */
  readonly authorizations?: readonly Uint8Array[];
  readonly parameters?: Uint8Array;
  /** How many handles the response begins with. */
  readonly responseHandles?: number;
}

/** A response to a command that succeeded. */
export interface TpmResponse {
  readonly handles: readonly number[];
  readonly parameters: TpmReader;
}

/** A command that the TPM refused. `code` in the facts is its response code, in hexadecimal. */
export class TpmRefusal extends KmsError {
  readonly responseCode: number;

  constructor(command: number, responseCode: number) {
    const facts = { command: `0x${command.toString(16)}`, code: `0x${responseCode.toString(16)}` };
    super('UNAVAILABLE', 'the TPM refused a command', facts);
    this.responseCode = responseCode;
  }
}

/** The session that shows an authorization value in clear: for the owner without one, and for our own NV indices. */
export function passwordSession(password: Uint8Array = new Uint8Array()): Uint8Array {
  return new TpmWriter().u32(HANDLE.PASSWORD_SESSION).u16(0).u8(1).sized(password).finish();
}

/** Returns the bytes of a command. */
export function encodeCommand({ code, handles = [], authorizations = [], parameters }: TpmCommand): Uint8Array {
  const body = new TpmWriter();
  for (const handle of handles) body.u32(handle);
  if (authorizations.length > 0) {
    body.u32(authorizations.reduce((size, session) => size + session.length, 0));
    for (const session of authorizations) body.bytes(session);
  }
  if (parameters) body.bytes(parameters);
  const bytes = body.finish();
  const tag = authorizations.length > 0 ? TAG.SESSIONS : TAG.NO_SESSIONS;
  return new TpmWriter()
    .u16(tag)
    .u32(HEADER_BYTES + bytes.length)
    .u32(code)
    .bytes(bytes)
    .finish();
}

/**
 * Sends a command, again while the TPM is too busy for it, and takes the response apart. The sessions of the response
 * are not judged: what matters of it is signed.
 *
 * @throws {@link TpmRefusal} for every response code but success, {@link KmsError} `UNAVAILABLE` for a response that
 * is none, and as the transport does.
 */
export async function execute(transport: TpmTransport, command: TpmCommand): Promise<TpmResponse> {
  const bytes = encodeCommand(command);
  for (let tries = 1; ; tries++) {
    const reader = new TpmReader(await transport.send(bytes));
    const tag = reader.u16();
    const size = reader.u32();
    const code = reader.u32();
    if (size !== HEADER_BYTES + reader.remaining) {
      throw new KmsError('UNAVAILABLE', 'the TPM gave a response whose size is not what it says');
    }
    if ((code === RC.RETRY || code === RC.YIELDED || code === RC.TESTING) && tries < MAX_TRIES) {
      await wait(tries * WAIT_STEP_MS);
      continue;
    }
    if (code !== RC.SUCCESS) throw new TpmRefusal(command.code, code);
    const handles = Array.from({ length: command.responseHandles ?? 0 }, () => reader.u32());
    const parameters = tag === TAG.SESSIONS ? new TpmReader(reader.take(reader.u32())) : reader;
    return { handles, parameters };
  }
}
