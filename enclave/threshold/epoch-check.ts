/**
 * The opening of zero of a key set under an epoch: the quorum opens once, unpacked, what must be zero and a mask, and so
 * sees that all parties hold shares of one key of bits and mask with the keys of one set-up.
 * Spec: threshold-protocols section 3.5 (d).
 */
import { createHash } from 'node:crypto';
import { type CborValue, encodeCanonical } from '../../attestation/cbor.ts';
import type { Logger } from '../../common/log.ts';
import type { ShareProvenance } from '../../native/engine/index.ts';
import { idBytes, type RequestId } from '../../wire/ids.ts';
import type { OpenZeros } from './kernels.ts';
import type { Quorum } from './quorum.ts';
import type { RequestName } from './request-name.ts';

/** What is checked, and with what. */
export interface EpochCheckOptions {
  readonly contextId: RequestId;
  readonly epochId: RequestId;
  readonly keyId: RequestId;
  /** Digest of the ceremony that made the shares, 32 bytes. */
  readonly sharingId: Uint8Array;
  /** Where the shares come from: parties that say different things about it are told apart. */
  readonly provenance: ShareProvenance;
  /** Makes this party's shares. */
  readonly zeroShares: () => Promise<Uint8Array>;
  readonly openZeros: OpenZeros;
}

/** Only hashed, never signed: they stand in no table of signatures. */
const [ID_LABEL, LABEL] = ['arca-zero-id', 'arca-zero'];
const VERSION = 1;

/** The name of an opening of zero. Parties with shares of another ceremony or origin have another digest under its id. */
export function nameEpochCheck(options: Omit<EpochCheckOptions, 'zeroShares' | 'openZeros'>): RequestName {
  const { contextId, epochId, keyId, sharingId, provenance } = options;
  const ids = [contextId, epochId, keyId].map(idBytes);
  const digest = hash([LABEL, VERSION, ...ids, sharingId, provenance]);
  return { kind: 'zero', id: hash([ID_LABEL, VERSION, ...ids]), digest };
}

/**
 * Takes part in the opening, for as long as it takes parties to come, and says in the log what came of it.
 *
 * @returns Whether zero opened; false too if `signal` ended the wait.
 */
export async function checkEpoch(
  quorum: Quorum,
  options: EpochCheckOptions,
  { log, signal }: { readonly log: Pick<Logger, 'info' | 'error'>; readonly signal: AbortSignal },
): Promise<boolean> {
  const { contextId, epochId, keyId, provenance, zeroShares, openZeros } = options;
  const facts = { contextId, epochId, keyId, provenance };
  try {
    await quorum.checkEpoch({ name: nameEpochCheck(options), epochId, zeroShares, openZeros }, signal);
  } catch (error) {
    if (signal.aborted) return false;
    const reason = error instanceof Error ? error.message : String(error);
    log.error({ event: 'quorum.check', ...facts, reason }, 'the parties hold no shares of one key under this epoch');
    return false;
  }
  log.info({ event: 'quorum.check', ...facts }, 'an encryption of zero opened to zero');
  return true;
}

function hash(content: CborValue): Uint8Array {
  return new Uint8Array(createHash('sha256').update(encodeCanonical(content)).digest());
}
