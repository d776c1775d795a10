/**
 * Structural checks that requests share. Pure: whether a key, context or epoch exists is asked elsewhere.
 *
 * The Core runs them for early, clear errors; the engine runs them again and trusts its own run only.
 */
import { KmsError } from '../../common/errors.ts';
import {
  type Eip712DomainMsg,
  FheParameter,
  type RequestId as RequestIdMsg,
  SigningSchemeType,
} from '../../proto/gen/kms_pb.js';
import { type Keccak256, keccak256 } from '../addresses.ts';
import { type Domain, parseDomain } from '../eip712.ts';
import { DEFAULT_CONTEXT_ID, DEFAULT_EPOCH_ID, parseRequestId, type RequestId } from '../ids.ts';

/** FHE parameter set of a request. */
export type FheParams = 'default' | 'test';

/** What all requests that end in a signed answer have. */
export interface SignedRequest {
  readonly requestId: RequestId;
  readonly contextId: RequestId;
  readonly epochId: RequestId;
  readonly domain: Domain;
  /** Signed verbatim. */
  readonly extraData: Uint8Array;
  /** In the order of the request, each once. */
  readonly signingSchemes: readonly SigningSchemeType[];
}

/** The fields of {@link SignedRequest} as messages have them. */
export interface SignedRequestMsg {
  readonly requestId?: RequestIdMsg | undefined;
  readonly contextId?: RequestIdMsg | undefined;
  readonly epochId?: RequestIdMsg | undefined;
  readonly domain?: Eip712DomainMsg | undefined;
  readonly extraData: Uint8Array;
  readonly signingSchemes: readonly SigningSchemeType[];
}

/** Returns a `REQUEST_INVALID` error that names the field at fault. */
export function invalidField(field: string, rule: string, facts: Record<string, string | number> = {}): KmsError {
  return new KmsError('REQUEST_INVALID', `${field} ${rule}`, { field, ...facts });
}

/**
 * Parses an id that must be there.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` if it is missing or malformed.
 */
export function requiredId(message: RequestIdMsg | undefined, field: string): RequestId {
  if (message === undefined) throw invalidField(field, 'is missing');
  return parseRequestId(message.requestId, field);
}

/** Parses a context id; unset is the default context, malformed is an error. */
export function contextIdOrDefault(message: RequestIdMsg | undefined): RequestId {
  return message === undefined ? DEFAULT_CONTEXT_ID : parseRequestId(message.requestId, 'context_id');
}

/** Parses an epoch id; unset is the default epoch, malformed is an error. */
export function epochIdOrDefault(message: RequestIdMsg | undefined): RequestId {
  return message === undefined ? DEFAULT_EPOCH_ID : parseRequestId(message.requestId, 'epoch_id');
}

/** Parses a parameter set. */
export function parseParams(params: FheParameter, field = 'params'): FheParams {
  if (params === FheParameter.default) return 'default';
  if (params === FheParameter.test) return 'test';
  throw invalidField(field, 'must be 0 (default) or 1 (test)', { number: params });
}

/** Returns the schemes without repetitions, first occurrence kept. Unknown numbers are refused. */
export function parseSigningSchemes(schemes: readonly SigningSchemeType[]): readonly SigningSchemeType[] {
  const unknown = schemes.find((scheme) => SigningSchemeType[scheme] === undefined);
  if (unknown !== undefined) throw invalidField('signing_schemes', 'holds an unknown scheme', { number: unknown });
  return schemes.length > 1 ? [...new Set(schemes)] : schemes;
}

/** Parses the fields that all signed requests share. */
export function parseSigned(message: SignedRequestMsg, keccak: Keccak256 = keccak256): SignedRequest {
  return {
    requestId: requiredId(message.requestId, 'request_id'),
    contextId: contextIdOrDefault(message.contextId),
    epochId: epochIdOrDefault(message.epochId),
    domain: parseDomain(message.domain, keccak),
    extraData: message.extraData,
    signingSchemes: parseSigningSchemes(message.signingSchemes),
  };
}
