/**
 * What makes attestation documents: one interface in front of the security module of an enclave, the TPM of a parent
 * instance, and the software module of developer mode. No input here is secret.
 *
 * Sizes and requests: the Nitro Security Module's CBOR interface (`/dev/nsm`).
 */

/** Most bytes of a request, the device's own limit. */
export const NSM_MAX_REQUEST_BYTES = 0x1000;

/** Most bytes of an answer, the device's own limit. */
export const NSM_MAX_RESPONSE_BYTES = 0x3000;

/** Most bytes of a field that a document may be asked to carry. */
export const ATTEST_FIELD_MAX_BYTES = { publicKey: 1024, userData: 512, nonce: 512 } as const;

/** What a new document shall carry; an absent field stands in it as null. */
export interface AttestFields {
  /** At most 1024 bytes. */
  readonly publicKey?: Uint8Array | undefined;
  /** At most 512 bytes. */
  readonly userData?: Uint8Array | undefined;
  /** At most 512 bytes. */
  readonly nonce?: Uint8Array | undefined;
}

/** A source of attestation documents about this very process. */
export interface Attester {
  readonly kind: 'nsm' | 'nitro-tpm' | 'developer';
  /**
   * Returns a new signed document. It is not verified here: who receives it does that.
   *
   * @throws KmsError `REQUEST_INVALID` for a field that is too long, `UNAVAILABLE` if the device is slow, gone or
   * failing, `ATTESTATION_INVALID` if its answer makes no sense, `CANCELLED` if the signal fired.
   */
  attest(fields: AttestFields, signal?: AbortSignal): Promise<Uint8Array>;
  /** Lets the device go; what is still waiting fails with `UNAVAILABLE`. May be called twice. */
  close(): void;
}

/** What a security module says of itself. */
export interface NsmDescription {
  readonly moduleId: string;
  readonly maxPcrs: number;
  /** Ascending. */
  readonly lockedPcrs: readonly number[];
  /** `SHA384`. */
  readonly digest: string;
  /** `major.minor.patch`. */
  readonly version: string;
}

/** A security module: attester, registers and randomness. Errors as in {@link Attester.attest}. */
export interface Nsm extends Attester {
  describe(): Promise<NsmDescription>;
  describePcr(index: number): Promise<{ readonly locked: boolean; readonly value: Uint8Array }>;
  /**
   * Sets a register to SHA-384(its value ‖ data) and returns the new value.
   *
   * @throws KmsError `STATE_INVALID` if the register is locked.
   */
  extendPcr(index: number, data: Uint8Array): Promise<Uint8Array>;
  /** Locks one register until the enclave ends. @throws KmsError `STATE_INVALID` if it is locked already. */
  lockPcr(index: number): Promise<void>;
  /** Locks the registers 0 … range − 1; those that are locked already stay so. */
  lockPcrs(range: number): Promise<void>;
  /** Returns up to 256 bytes of the device's randomness; they may become secret, the caller owns them. */
  random(): Promise<Uint8Array>;
}

/** Carries one CBOR request at a time to a security module and brings back its answer. */
export interface NsmTransport {
  /**
   * @param cbor - At most {@link NSM_MAX_REQUEST_BYTES}.
   * @returns At most {@link NSM_MAX_RESPONSE_BYTES}.
   * @throws KmsError `UNAVAILABLE` or `CANCELLED`, as {@link Attester.attest} says.
   */
  request(cbor: Uint8Array, signal?: AbortSignal): Promise<Uint8Array>;
  close(): void;
}
