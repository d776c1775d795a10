/**
 * The client of a Nitro Security Module, whatever carries its requests: the kernel's device, or the socket on which the
 * supervisor of developer mode serves its software module. Nothing here is secret but what `random` returns.
 */
import { type ErrorCode, type Fact, KmsError } from '../../common/errors.ts';
import { ATTEST_FIELD_MAX_BYTES, type AttestFields, type Nsm, type NsmTransport } from './attester.ts';
import { decodeNsmResponse, encodeNsmRequest } from './nsm-codec.ts';
import type { NsmErrorName, NsmRequest, NsmResponse } from './nsm-messages.ts';

const REGISTER_BYTES = 48;

/** What a refusal of the device means to the caller. */
const CODE_OF: Readonly<Record<NsmErrorName, ErrorCode>> = {
  InvalidArgument: 'REQUEST_INVALID',
  InvalidIndex: 'REQUEST_INVALID',
  InputTooLarge: 'REQUEST_INVALID',
  ReadOnlyIndex: 'STATE_INVALID',
  InvalidOperation: 'UNIMPLEMENTED',
  InvalidResponse: 'UNAVAILABLE',
  BufferTooSmall: 'UNAVAILABLE',
  InternalError: 'UNAVAILABLE',
};

/**
 * Returns the module behind a transport, which it owns from now on: `close` closes both.
 *
 * A refusal of the device becomes a {@link KmsError} with the facts `request` and `deviceError`.
 */
export function openNsm(transport: NsmTransport, kind: 'nsm' | 'developer'): Nsm {
  const ask = async <K extends NsmRequest['kind']>(
    request: NsmRequest & { readonly kind: K },
    signal?: AbortSignal,
  ): Promise<NsmResponse & { readonly kind: K }> => {
    const response = decodeNsmResponse(await transport.request(encodeNsmRequest(request), signal));
    if (isAnswerTo(response, request.kind)) return response;
    throw refusal(request.kind, response);
  };

  return {
    kind,
    close: () => transport.close(),
    attest: async (fields, signal) => {
      checkFields(fields);
      const { userData, nonce, publicKey } = fields;
      return (await ask({ kind: 'Attestation', userData, nonce, publicKey }, signal)).document;
    },
    describe: async () => {
      const { moduleId, maxPcrs, lockedPcrs, digest, version } = await ask({ kind: 'DescribeNSM' });
      return { moduleId, maxPcrs, lockedPcrs, digest, version: version.join('.') };
    },
    describePcr: async (index) => {
      const { lock, data } = await ask({ kind: 'DescribePCR', index });
      return { locked: lock, value: register(data) };
    },
    extendPcr: async (index, data) => register((await ask({ kind: 'ExtendPCR', index, data })).data),
    lockPcr: async (index) => void (await ask({ kind: 'LockPCR', index })),
    lockPcrs: async (range) => void (await ask({ kind: 'LockPCRs', range })),
    random: async () => (await ask({ kind: 'GetRandom' })).random,
  };
}

function isAnswerTo<K extends NsmRequest['kind']>(
  response: NsmResponse,
  kind: K,
): response is NsmResponse & { readonly kind: K } {
  return response.kind === kind;
}

function refusal(request: string, response: NsmResponse): KmsError {
  if (response.kind !== 'Error') {
    return new KmsError('ATTESTATION_INVALID', 'the attestation device answered another request', {
      request,
      answered: response.kind,
    });
  }
  const facts = { request, deviceError: response.error };
  return new KmsError(CODE_OF[response.error], `the attestation device refused ${request}: ${response.error}`, facts);
}

function checkFields(fields: AttestFields): void {
  const tooLong: Record<string, Fact> = {};
  for (const name of ['publicKey', 'userData', 'nonce'] as const) {
    const sizeBytes = fields[name]?.byteLength ?? 0;
    if (sizeBytes > ATTEST_FIELD_MAX_BYTES[name]) tooLong[name] = sizeBytes;
  }
  if (Object.keys(tooLong).length === 0) return;
  const { publicKey, userData, nonce } = ATTEST_FIELD_MAX_BYTES;
  const limits = `publicKey ${publicKey}, userData ${userData}, nonce ${nonce} bytes`;
  throw new KmsError('REQUEST_INVALID', `a document carries at most ${limits}`, tooLong);
}

function register(value: Uint8Array): Uint8Array {
  if (value.byteLength === REGISTER_BYTES) return value;
  throw new KmsError('ATTESTATION_INVALID', `a register holds ${REGISTER_BYTES} bytes`, { got: value.byteLength });
}
