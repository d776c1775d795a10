/**
 * A TPM of NV indices alone, in memory: enough for the message index of a NitroTPM, and for faults at each command.
 */
import { createHash } from 'node:crypto';
import { TpmReader, TpmWriter } from '../../attestation/tpm/bytes.ts';
import { CAPABILITY, COMMAND, NV_ATTRIBUTE, PROPERTY_NV_BUFFER_MAX, RC } from '../../attestation/tpm/constants.ts';
import type { TpmTransport } from '../../attestation/tpm/transport.ts';
import { isPassword, plainResponse, readCommand, type SeenCommand, sessionResponse } from './tpm-messages.ts';

/** How many handles each command begins with. */
export const HANDLES_OF: Readonly<Record<number, number>> = {
  [COMMAND.NV_UNDEFINE_SPACE]: 2,
  [COMMAND.NV_DEFINE_SPACE]: 1,
  [COMMAND.CREATE_PRIMARY]: 1,
  [COMMAND.NV_WRITE]: 2,
  [COMMAND.NV_READ]: 2,
  [COMMAND.NV_READ_PUBLIC]: 1,
  [COMMAND.READ_PUBLIC]: 1,
  [COMMAND.START_AUTH_SESSION]: 2,
  [COMMAND.NITRO_NSM_REQUEST]: 2,
};

/** An index as the fake keeps it. */
export interface FakeIndex {
  readonly auth: Uint8Array;
  readonly publicArea: Uint8Array;
  readonly content: Uint8Array;
  written: boolean;
}

/** Refusals of the fake. */
const NO_HANDLE = 0x18b;
const BAD_AUTH = 0x98e;
const BAD_RANGE = 0x146;
const UNKNOWN_COMMAND = 0x143;

/** The fake and what it holds. */
export interface FakeTpm extends TpmTransport {
  readonly indices: Map<number, FakeIndex>;
  /** Adds an index that somebody else defined. */
  plant(handle: number, shape?: { size?: number; attributes?: number }): void;
}

/** Makes an empty TPM with room for `room` indices. */
export function fakeTpm({ room = 8, chunk = 512 }: { room?: number; chunk?: number } = {}): FakeTpm {
  const indices = new Map<number, FakeIndex>();

  const define = (publicArea: Uint8Array, auth: Uint8Array): number => {
    const area = new TpmReader(publicArea);
    const handle = area.u32();
    area.take(6);
    area.sized();
    if (indices.has(handle)) return RC.NV_DEFINED;
    if (indices.size >= room) return RC.NV_SPACE;
    indices.set(handle, { auth, publicArea, content: new Uint8Array(area.u16()).fill(0xff), written: false });
    return RC.SUCCESS;
  };

  const onIndex = ({ code, handles, session, parameters }: SeenCommand, index: FakeIndex): Uint8Array => {
    if (handles[0] !== handles[1] || !isPassword(session, index.auth)) return plainResponse(BAD_AUTH);
    if (code === COMMAND.NV_WRITE) {
      const data = parameters.sized();
      const offset = parameters.u16();
      if (data.length > chunk || offset + data.length > index.content.length) return plainResponse(BAD_RANGE);
      index.content.set(data, offset);
      index.written = true;
      return sessionResponse();
    }
    const size = parameters.u16();
    const offset = parameters.u16();
    if (size > chunk || offset + size > index.content.length) return plainResponse(BAD_RANGE);
    return sessionResponse(new TpmWriter().sized(index.content.subarray(offset, offset + size)).finish());
  };

  const handle = (command: SeenCommand): Uint8Array => {
    const { code, handles, parameters } = command;
    if (code === COMMAND.GET_CAPABILITY) return plainResponse(0, capability(parameters, [...indices.keys()], chunk));
    if (code === COMMAND.NV_DEFINE_SPACE) {
      const auth = Uint8Array.from(parameters.sized());
      const refused = define(Uint8Array.from(parameters.sized()), auth);
      return refused ? plainResponse(refused) : sessionResponse();
    }
    if (HANDLES_OF[code] === undefined) return plainResponse(UNKNOWN_COMMAND);
    const at = handles.at(-1) ?? 0;
    const index = indices.get(at);
    if (!index) return plainResponse(NO_HANDLE);
    switch (code) {
      case COMMAND.NV_UNDEFINE_SPACE:
        indices.delete(at);
        return sessionResponse();
      case COMMAND.NV_WRITE:
      case COMMAND.NV_READ:
        return onIndex(command, index);
      case COMMAND.NV_READ_PUBLIC:
        return plainResponse(0, publicOf(index));
      default:
        return plainResponse(UNKNOWN_COMMAND);
    }
  };

  return {
    indices,
    plant: (at, { size = 8192, attributes = NV_ATTRIBUTE.AUTH_READ | NV_ATTRIBUTE.AUTH_WRITE } = {}) => {
      define(new TpmWriter().u32(at).u16(0x000d).u32(attributes).u16(0).u16(size).finish(), Uint8Array.of(1));
    },
    send: async (bytes) => handle(readCommand(bytes, (code) => HANDLES_OF[code] ?? 0)),
    close: () => {},
  };
}

function capability(parameters: TpmReader, handles: number[], chunk: number): Uint8Array {
  const wanted = parameters.u32();
  const first = parameters.u32();
  const writer = new TpmWriter().u8(0).u32(wanted);
  if (wanted === CAPABILITY.TPM_PROPERTIES) return writer.u32(1).u32(PROPERTY_NV_BUFFER_MAX).u32(chunk).finish();
  const listed = handles.filter((handle) => handle >= first).sort((a, b) => a - b);
  writer.u32(listed.length);
  for (const handle of listed) writer.u32(handle);
  return writer.finish();
}

function publicOf({ publicArea, written }: FakeIndex): Uint8Array {
  const area = Uint8Array.from(publicArea);
  // The attributes' highest byte, which has the bit that says written.
  if (written) area[6] = (area[6] ?? 0) | (NV_ATTRIBUTE.WRITTEN >>> 24);
  return new TpmWriter().sized(area).sized(nameOf(area)).finish();
}

/** The name of an index with this public area, whose name algorithm is SHA-512. */
export function nameOf(publicArea: Uint8Array): Uint8Array {
  return new TpmWriter().u16(0x000d).bytes(createHash('sha512').update(publicArea).digest()).finish();
}
