/**
 * Numbers of the TPM 2.0 library specification (parts 2 and 3) that attestation needs, and the one vendor command of
 * a NitroTPM. Names as in the specification, less the prefix.
 */

/** Structure tags. */
export const TAG = { NO_SESSIONS: 0x8001, SESSIONS: 0x8002 } as const;

/** Command codes. */
export const COMMAND = {
  NV_UNDEFINE_SPACE: 0x122,
  NV_DEFINE_SPACE: 0x12a,
  CREATE_PRIMARY: 0x131,
  NV_WRITE: 0x137,
  STARTUP: 0x144,
  NV_READ: 0x14e,
  FLUSH_CONTEXT: 0x165,
  NV_READ_PUBLIC: 0x169,
  READ_PUBLIC: 0x173,
  START_AUTH_SESSION: 0x176,
  GET_CAPABILITY: 0x17a,
  /** NitroTPM: hands the request in an NV index to the hypervisor's security module. */
  NITRO_NSM_REQUEST: 0x2000_0001,
} as const;

/** Permanent and reserved handles. */
export const HANDLE = {
  OWNER: 0x4000_0001,
  NULL: 0x4000_0007,
  PASSWORD_SESSION: 0x4000_0009,
  ENDORSEMENT: 0x4000_000b,
  /** Where a provisioned RSA-2048 endorsement key is (TCG provisioning guidance, table 2). */
  EK_RSA2048: 0x8101_0001,
  NV_FIRST: 0x0100_0000,
  NV_LAST: 0x01ff_ffff,
} as const;

/** Algorithm identifiers. */
export const ALGORITHM = {
  RSA: 0x0001,
  AES: 0x0006,
  SHA256: 0x000b,
  SHA512: 0x000d,
  NULL: 0x0010,
  CFB: 0x0043,
} as const;

/** Attributes of an NV index. */
export const NV_ATTRIBUTE = { AUTH_WRITE: 0x0000_0004, AUTH_READ: 0x0004_0000, WRITTEN: 0x2000_0000 } as const;

/** Capabilities and properties to ask for. */
export const CAPABILITY = { HANDLES: 1, TPM_PROPERTIES: 6 } as const;
/** The most bytes of one NV read or write. */
export const PROPERTY_NV_BUFFER_MAX = 0x12c;

/** Response codes that are told apart. */
export const RC = {
  SUCCESS: 0,
  NV_SPACE: 0x14b,
  NV_DEFINED: 0x14c,
  YIELDED: 0x908,
  TESTING: 0x90a,
  LOCKOUT: 0x921,
  RETRY: 0x922,
} as const;

/** Most bytes of a command or response that any TPM exchanges. */
export const MAX_MESSAGE_BYTES = 4096;
/** Bytes of the header: tag, size, code. */
export const HEADER_BYTES = 10;

/**
 * Returns whether a response code says that a handle names nothing: `RC_HANDLE` for whichever handle, or the
 * reference to an object that is not loaded.
 */
export function isNoSuchHandle(code: number): boolean {
  const isFormatOne = (code & 0x80) !== 0;
  return isFormatOne ? (code & 0xbf) === 0x8b : code >= 0x910 && code <= 0x916;
}
