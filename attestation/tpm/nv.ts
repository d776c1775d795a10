/**
 * NV indices and capabilities: define, write, read, look at and undefine (TPM 2.0 part 3, sections 30 and 31).
 * Owner authorization is empty, as on an EC2 instance.
 */
import { TpmReader, TpmWriter } from './bytes.ts';
import { execute, passwordSession } from './command.ts';
import { ALGORITHM, CAPABILITY, COMMAND, HANDLE, NV_ATTRIBUTE, PROPERTY_NV_BUFFER_MAX } from './constants.ts';
import type { TpmTransport } from './transport.ts';

/** Fewest and most bytes that are read or written at once, whatever the TPM says that it can do. */
const CHUNK_BYTES = { least: 64, most: 2048 } as const;
/** Handles that one answer lists at most. */
const HANDLES_AT_ONCE = 254;

/** What is public of an NV index. */
export interface NvPublic {
  readonly handle: number;
  readonly nameAlgorithm: number;
  readonly attributes: number;
  readonly policyBytes: number;
  readonly sizeBytes: number;
  /** Algorithm and hash of all this: what authorizations are computed over. */
  readonly name: Uint8Array;
}

/** An NV index and the value that opens it. */
export interface NvIndex {
  readonly handle: number;
  readonly auth: Uint8Array;
}

/** Returns how many bytes one read or write may carry. */
export async function nvChunkBytes(transport: TpmTransport): Promise<number> {
  const { parameters } = await execute(transport, {
    code: COMMAND.GET_CAPABILITY,
    parameters: new TpmWriter().u32(CAPABILITY.TPM_PROPERTIES).u32(PROPERTY_NV_BUFFER_MAX).u32(1).finish(),
  });
  parameters.u8();
  parameters.u32();
  const found = parameters.u32() > 0 && parameters.u32() === PROPERTY_NV_BUFFER_MAX ? parameters.u32() : 512;
  return Math.min(Math.max(found, CHUNK_BYTES.least), CHUNK_BYTES.most);
}

/** Returns the handles of NV indices from `first` on, ascending, at most 254. */
export async function nvHandles(transport: TpmTransport, first: number): Promise<readonly number[]> {
  const { parameters } = await execute(transport, {
    code: COMMAND.GET_CAPABILITY,
    parameters: new TpmWriter().u32(CAPABILITY.HANDLES).u32(first).u32(HANDLES_AT_ONCE).finish(),
  });
  parameters.u8();
  parameters.u32();
  const count = Math.min(parameters.u32(), HANDLES_AT_ONCE);
  return Array.from({ length: count }, () => parameters.u32()).filter((handle) => handle <= HANDLE.NV_LAST);
}

/**
 * Defines an index that whoever knows `auth` reads and writes: name algorithm SHA-512, no policy.
 *
 * @throws {@link TpmRefusal} `NV_DEFINED` if the handle is taken, `NV_SPACE` if the TPM is full.
 */
export async function nvDefine(transport: TpmTransport, { handle, auth }: NvIndex, sizeBytes: number): Promise<void> {
  const publicArea = new TpmWriter()
    .u32(handle)
    .u16(ALGORITHM.SHA512)
    .u32(NV_ATTRIBUTE.AUTH_READ | NV_ATTRIBUTE.AUTH_WRITE)
    .sized(new Uint8Array())
    .u16(sizeBytes)
    .finish();
  await execute(transport, {
    code: COMMAND.NV_DEFINE_SPACE,
    handles: [HANDLE.OWNER],
    authorizations: [passwordSession()],
    parameters: new TpmWriter().sized(auth).sized(publicArea).finish(),
  });
}

/** Removes an index. @throws {@link TpmRefusal} if there is none, or it may not be removed. */
export async function nvUndefine(transport: TpmTransport, handle: number): Promise<void> {
  await execute(transport, {
    code: COMMAND.NV_UNDEFINE_SPACE,
    handles: [HANDLE.OWNER, handle],
    authorizations: [passwordSession()],
  });
}

/** Writes a chunk at an offset. */
export async function nvWrite(
  transport: TpmTransport,
  { handle, auth }: NvIndex,
  offset: number,
  data: Uint8Array,
): Promise<void> {
  await execute(transport, {
    code: COMMAND.NV_WRITE,
    handles: [handle, handle],
    authorizations: [passwordSession(auth)],
    parameters: new TpmWriter().sized(data).u16(offset).finish(),
  });
}

/** Reads a chunk at an offset. */
export async function nvRead(
  transport: TpmTransport,
  { handle, auth }: NvIndex,
  offset: number,
  sizeBytes: number,
): Promise<Uint8Array> {
  const { parameters } = await execute(transport, {
    code: COMMAND.NV_READ,
    handles: [handle, handle],
    authorizations: [passwordSession(auth)],
    parameters: new TpmWriter().u16(sizeBytes).u16(offset).finish(),
  });
  return parameters.sized();
}

/** Returns what is public of an index. @throws {@link TpmRefusal} if there is none. */
export async function nvReadPublic(transport: TpmTransport, handle: number): Promise<NvPublic> {
  const { parameters } = await execute(transport, { code: COMMAND.NV_READ_PUBLIC, handles: [handle] });
  const area = new TpmReader(parameters.sized());
  const name = parameters.sized();
  return {
    handle: area.u32(),
    nameAlgorithm: area.u16(),
    attributes: area.u32(),
    policyBytes: area.sized().length,
    sizeBytes: area.u16(),
    name,
  };
}
