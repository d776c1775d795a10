/**
 * The engine's attestation document for whoever asks: one call, for the HTTP page and for the admin service.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { ATTEST_NONCE_BYTES } from '../../../attestation/attest-facts.ts';
import { KmsError } from '../../../common/errors.ts';
import { AttestCallSchema, type AttestResult, AttestResultSchema } from '../../../proto/gen/engine_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import type { EngineClient } from '../engine-client/engine-client.ts';

/**
 * Returns a fresh document over the nonce and the facts that it commits to.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` for a nonce of another length, `UNAVAILABLE` while the engine is down.
 */
export type Attest = (nonce: Uint8Array, signal?: AbortSignal) => Promise<AttestResult>;

/** An NSM takes milliseconds; one that takes so long is in trouble. */
const TIMEOUT_MS = 10_000;

/** Returns what asks the engine. */
export function attestWith(engine: EngineClient): Attest {
  return async (nonce, signal) => {
    const { min, max } = ATTEST_NONCE_BYTES;
    if (nonce.byteLength < min || nonce.byteLength > max) {
      throw new KmsError('REQUEST_INVALID', `a nonce has ${min} to ${max} bytes`, { sizeBytes: nonce.byteLength });
    }
    const body = toBinary(AttestCallSchema, create(AttestCallSchema, { nonce }));
    return fromBinary(
      AttestResultSchema,
      await engine.call(ENGINE_METHOD.attest, body, { signal, timeoutMs: TIMEOUT_MS }),
    );
  };
}
