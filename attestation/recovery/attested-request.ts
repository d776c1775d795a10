/**
 * A recovery request on its way to one custodian: the published request, the document that vouches for it, and what
 * the document commits to. Carried as base64 text, by hand; a stranger's word until the custodian has verified it.
 */
import { KmsError } from '../../common/errors.ts';
import { type CborKey, type CborValue, decodeStrict, encodeCanonical } from '../cbor.ts';
import { RECOVERY_CHALLENGE_BYTES, type RecoverFacts } from './recover-facts.ts';

/** A request with its attestation. */
export interface AttestedRequest {
  /** The published form: safe-serialized `backup::InternalRecoveryRequest`. */
  readonly request: Uint8Array;
  /** Everything committed to that the request itself does not say. */
  readonly facts: Omit<RecoverFacts, 'ciphertextsDigest'>;
  /** Attestation document, made for this custodian's challenge. */
  readonly document: Uint8Array;
}

const FORMAT = 'arca recovery request';
const VERSION = 1;
const MAX_BYTES = 64 * 1024;
const LINE = 76;
/** Length of each fact. */
const FACT_BYTES = {
  charterDigest: 48,
  mpcContextId: 32,
  custodianContextId: 32,
  address: 20,
  challenge: RECOVERY_CHALLENGE_BYTES,
} as const;

/** Encodes a request as lines of base64. */
export function encodeAttestedRequest({ request, facts, document }: AttestedRequest): string {
  const { charterDigest, mpcContextId, custodianContextId, address, challenge } = facts;
  const fields: ReadonlyMap<CborKey, CborValue> = new Map<CborKey, CborValue>([
    ['format', FORMAT],
    ['version', VERSION],
    ['request', request],
    ['charterDigest', charterDigest],
    ['mpcContextId', mpcContextId],
    ['custodianContextId', custodianContextId],
    ['address', address],
    ['challenge', challenge],
    ['document', document],
  ]);
  const text = Buffer.from(encodeCanonical(fields)).toString('base64');
  return `${(text.match(new RegExp(`.{1,${LINE}}`, 'g')) ?? []).join('\n')}\n`;
}

/**
 * Decodes the bytes behind the base64 text.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` for anything that {@link encodeAttestedRequest} would not write.
 */
export function decodeAttestedRequest(bytes: Uint8Array): AttestedRequest {
  const value = decodeStrict(bytes, { maxBytes: MAX_BYTES, maxDepth: 1, canonical: true });
  if (!(value instanceof Map)) throw invalid('is no map of fields');
  const fields: ReadonlyMap<CborKey, CborValue> = value;
  if (fields.get('format') !== FORMAT || fields.get('version') !== VERSION) throw invalid('has another format');
  const bytesOf = (name: string): Uint8Array => {
    const field = fields.get(name);
    if (!(field instanceof Uint8Array)) throw invalid(`has no ${name}`);
    return field;
  };
  const fact = (name: keyof typeof FACT_BYTES): Uint8Array => {
    const field = bytesOf(name);
    if (field.byteLength !== FACT_BYTES[name]) throw invalid(`must have ${FACT_BYTES[name]} bytes of ${name}`);
    return field;
  };
  const decoded: AttestedRequest = {
    request: bytesOf('request'),
    facts: {
      charterDigest: fact('charterDigest'),
      mpcContextId: fact('mpcContextId'),
      custodianContextId: fact('custodianContextId'),
      address: fact('address'),
      challenge: fact('challenge'),
    },
    document: bytesOf('document'),
  };
  if (fields.size !== 4 + Object.keys(FACT_BYTES).length) throw invalid('has fields that nobody knows');
  return decoded;
}

function invalid(why: string): KmsError {
  return new KmsError('REQUEST_INVALID', `the attested recovery request ${why}`);
}
