/**
 * A software security module: the whole CBOR interface of a Nitro Security Module, with documents signed under a
 * developer root. It runs in the supervisor; a process that is attested reaches it through a socket of its own and
 * can neither see the root key nor choose the registers that measure it.
 *
 * Of an enclave the registers 0–15 are fixed and 16–31 are free until locked, and a document shows locked registers
 * alone. A NitroTPM shows all of its 24, and its users cannot extend them through this interface.
 */
import type { Clock } from '../../common/clock.ts';
import { type RandomSource, systemRandom } from '../../common/random.ts';
import { ATTEST_FIELD_MAX_BYTES } from '../attester/attester.ts';
import { decodeNsmRequest, encodeNsmResponse, nsmError } from '../attester/nsm-codec.ts';
import type { NsmRequest, NsmResponse } from '../attester/nsm-messages.ts';
import type { Platform } from '../document/types.ts';
import { type DeveloperRootKey, makeSigningChain, type SigningChain } from './chain.ts';
import { PCR_BYTES, type RegisterLayout, Registers } from './registers.ts';
import { type DocumentForm, signDocument } from './sign-document.ts';

/** Settings of {@link createSoftwareNsm}. */
export interface SoftwareNsmOptions {
  readonly root: DeveloperRootKey;
  readonly platform: Platform;
  /** `i-…-enc…` of an enclave, `i-…-tpm…` of a parent instance. */
  readonly moduleId: string;
  /** What stands in the fixed registers: 0–15 of an enclave, 0–23 of a NitroTPM; the others there are zero. */
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
  readonly clock: Clock;
  /** How long a signing certificate lives; 3 hours, as a real one does. */
  readonly leafLifeMs?: number;
  /** Encoding of the document's map: recent devices write an indefinite length. */
  readonly form?: DocumentForm;
  readonly random?: RandomSource;
  /**
   * Awaited before each document; fixed registers that it returns take the place of what stands there.
   * If it fails, the request is answered with `InternalError`.
   */
  readonly beforeAttest?: () => Promise<ReadonlyMap<number, Uint8Array> | undefined>;
  /** Learns why a request was answered with `InternalError`: who asked does not. */
  readonly onFault?: (error: unknown) => void;
}

/** A security module without a device. */
export interface SoftwareNsm {
  /** Answers one request, whatever its bytes; never rejects. Requests are served one after the other. */
  handle(request: Uint8Array): Promise<Uint8Array>;
}

const LEAF_LIFE_MS = 3 * 60 * 60 * 1000;

/** A certificate serves for this part of its life; real devices were seen to reuse theirs for 6017 s of 10800 s. */
const LEAF_REUSE = 0.6;

const RANDOM_BYTES = 256;
const VERSION = [1, 0, 0] as const;

const ENCLAVE = { count: 32, fixed: 16 } as const;
const NITRO_TPM = { count: 24, fixed: 24 } as const;
/** Registers of a TPM that hold ones until something is measured into them. */
const TPM_ONES = [17, 18, 19, 20, 21, 22] as const;

/**
 * Makes a security module in its state after boot.
 *
 * @throws RangeError if a given register is not among the fixed ones or not of 48 bytes.
 */
export function createSoftwareNsm(options: SoftwareNsmOptions): SoftwareNsm {
  const registers = new Registers(layout(options));
  const signer = documentSigner(options);
  const random = options.random ?? systemRandom;

  const serve = async (request: NsmRequest): Promise<NsmResponse> => {
    switch (request.kind) {
      case 'DescribeNSM':
        return {
          kind: request.kind,
          version: VERSION,
          moduleId: options.moduleId,
          maxPcrs: registers.count,
          lockedPcrs: [...registers.locked().keys()],
          digest: 'SHA384',
        };
      case 'GetRandom':
        return { kind: request.kind, random: random(RANDOM_BYTES) };
      case 'DescribePCR': {
        const found = registers.describe(request.index);
        return 'kind' in found ? found : { kind: request.kind, lock: found.locked, data: found.value };
      }
      case 'ExtendPCR': {
        const value = registers.extend(request.index, request.data);
        return 'kind' in value ? value : { kind: request.kind, data: value };
      }
      case 'LockPCR':
        return registers.lock(request.index) ?? { kind: request.kind };
      case 'LockPCRs':
        return registers.lockFirst(request.range) ?? { kind: request.kind };
      case 'Attestation': {
        if (isTooLong(request)) return nsmError('InputTooLarge');
        for (const [index, value] of (await options.beforeAttest?.()) ?? []) registers.replace(index, value);
        return { kind: request.kind, document: signer(registers.locked(), request) };
      }
    }
  };

  const answer = async (bytes: Uint8Array): Promise<Uint8Array> => {
    const request = decodeNsmRequest(bytes);
    if (request.kind === 'Error') return encodeNsmResponse(request);
    try {
      return encodeNsmResponse(await serve(request));
    } catch (error) {
      options.onFault?.(error);
      return encodeNsmResponse(nsmError('InternalError'));
    }
  };

  let last: Promise<unknown> = Promise.resolve();
  return {
    handle: (request) => {
      const answered = last.then(() => answer(request));
      last = answered;
      return answered;
    },
  };
}

function layout({ platform, pcrs }: SoftwareNsmOptions): RegisterLayout {
  const { count, fixed } = platform === 'enclave' ? ENCLAVE : NITRO_TPM;
  for (const index of pcrs.keys()) {
    if (index >= fixed) throw new RangeError(`register ${index} is not fixed: only 0 to ${fixed - 1} can be given`);
  }
  const ones =
    platform === 'enclave' ? [] : TPM_ONES.map((index) => [index, new Uint8Array(PCR_BYTES).fill(0xff)] as const);
  return { count, fixed, values: new Map([...ones, ...pcrs]) };
}

/** What a document is asked to carry. */
export type AttestationRequest = NsmRequest & { readonly kind: 'Attestation' };

/** Signs documents over registers under a certificate that is reused and renewed as a real device does it. */
export function documentSigner({
  root,
  platform,
  moduleId,
  clock,
  form,
  leafLifeMs = LEAF_LIFE_MS,
}: Pick<SoftwareNsmOptions, 'root' | 'platform' | 'moduleId' | 'clock' | 'form' | 'leafLifeMs'>) {
  let chain: SigningChain | undefined;
  return (pcrs: ReadonlyMap<number, Uint8Array>, fields: AttestationRequest): Uint8Array => {
    const nowMs = clock.nowMs();
    // A clock that went back before the certificate's birth needs a new one, too.
    const fresh = chain !== undefined && nowMs >= chain.notBeforeMs && nowMs < reusedUntilMs(chain);
    if (chain === undefined || !fresh) chain = makeSigningChain(root, { nowMs, moduleId, leafLifeMs });
    const { userData, nonce, publicKey } = fields;
    const shape = form === undefined ? {} : { form };
    return signDocument({ chain, platform, moduleId, timestampMs: nowMs, pcrs, userData, nonce, publicKey, ...shape });
  };
}

function reusedUntilMs({ notBeforeMs, notAfterMs }: SigningChain): number {
  return notBeforeMs + (notAfterMs - notBeforeMs) * LEAF_REUSE;
}

/** Returns whether a document may not carry this much. */
export function isTooLong({ userData, nonce, publicKey }: AttestationRequest): boolean {
  return (
    (userData?.byteLength ?? 0) > ATTEST_FIELD_MAX_BYTES.userData ||
    (nonce?.byteLength ?? 0) > ATTEST_FIELD_MAX_BYTES.nonce ||
    (publicKey?.byteLength ?? 0) > ATTEST_FIELD_MAX_BYTES.publicKey
  );
}
