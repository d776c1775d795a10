/**
 * Attestation of a test image: registers, randomness and locks are those of a real security module that signs nothing
 * worth verifying (an emulator's); documents over exactly these registers are signed by a developer root elsewhere.
 *
 * The signing side believes what it is told: it proves nothing to anybody who does not trust the developer root, and no
 * production program does. Wire: the frames of nsm-link.ts; a request is CBOR `[module id, {index: register}, request]`.
 */
import type { Clock } from '../../common/clock.ts';
import { KmsError } from '../../common/errors.ts';
import type { NsmTransport } from '../attester/attester.ts';
import { openNsm } from '../attester/nsm.ts';
import { decodeNsmRequest, encodeNsmResponse, nsmError } from '../attester/nsm-codec.ts';
import type { NsmResponse } from '../attester/nsm-messages.ts';
import { type CborValue, decodeStrict, encodeCanonical, isMap } from '../cbor.ts';
import type { DeveloperRootKey } from './chain.ts';
import { PCR_BYTES } from './registers.ts';
import { documentSigner, isTooLong, type SoftwareNsm } from './software-nsm.ts';

const MAX_REGISTERS = 32;
const BOUNDS = { maxBytes: 4096, maxDepth: 2, canonical: true } as const;

/**
 * Returns a security module that is `device` in everything but its documents, which `signer` signs over the registers
 * that the device has locked. Owns both.
 */
export function withSignedDocuments(device: NsmTransport, signer: NsmTransport): NsmTransport {
  const registers = openNsm(device, 'nsm');
  // A locked register never changes again, and an emulated device takes its time for each question.
  const values = new Map<number, Uint8Array>();
  let name: string | undefined;
  const readLocked = async (): Promise<string> => {
    if (name !== undefined && values.size === MAX_REGISTERS) return name;
    const { moduleId, lockedPcrs } = await registers.describe();
    for (const index of lockedPcrs) {
      if (!values.has(index)) values.set(index, (await registers.describePcr(index)).value);
    }
    name = moduleId;
    return moduleId;
  };
  return {
    request: async (cbor, signal) => {
      if (decodeNsmRequest(cbor).kind !== 'Attestation') return await device.request(cbor, signal);
      return await signer.request(encodeCanonical([await readLocked(), values, cbor]), signal);
    },
    close: () => {
      registers.close();
      signer.close();
    },
  };
}

/** Settings of {@link createRegisterSigner}. */
export interface RegisterSignerOptions {
  readonly root: DeveloperRootKey;
  readonly clock: Clock;
}

/** Returns the side that signs; `serveNsm` serves it on a stream. */
export function createRegisterSigner({ root, clock }: RegisterSignerOptions): SoftwareNsm {
  let known: { readonly moduleId: string; readonly sign: ReturnType<typeof documentSigner> } | undefined;
  const answer = (bytes: Uint8Array): NsmResponse => {
    const asked = readRequest(bytes);
    if (asked === undefined) return nsmError('InvalidArgument');
    const { moduleId, registers, request } = asked;
    if (isTooLong(request)) return nsmError('InputTooLarge');
    // One enclave at a time: a certificate names its module, and is used again.
    if (known?.moduleId !== moduleId) {
      known = { moduleId, sign: documentSigner({ root, clock, platform: 'enclave', moduleId }) };
    }
    return { kind: 'Attestation', document: known.sign(registers, request) };
  };
  return { handle: async (bytes) => encodeNsmResponse(answer(bytes)) };
}

function readRequest(bytes: Uint8Array) {
  const [moduleId, values, cbor, ...more] = decodeTriple(bytes);
  if (typeof moduleId !== 'string' || moduleId === '' || moduleId.length > 128) return undefined;
  if (!isMap(values) || values.size > MAX_REGISTERS || !(cbor instanceof Uint8Array) || more.length > 0)
    return undefined;
  const registers = new Map<number, Uint8Array>();
  for (const [index, value] of values) {
    const isRegister = value instanceof Uint8Array && value.byteLength === PCR_BYTES;
    if (typeof index !== 'number' || index < 0 || index >= MAX_REGISTERS || !isRegister) return undefined;
    registers.set(index, value);
  }
  const request = decodeNsmRequest(cbor);
  return request.kind === 'Attestation' ? { moduleId, registers, request } : undefined;
}

function decodeTriple(bytes: Uint8Array): readonly CborValue[] {
  try {
    const value = decodeStrict(bytes, BOUNDS);
    return Array.isArray(value) ? value : [];
  } catch (error) {
    if (error instanceof KmsError) return [];
    throw error;
  }
}
