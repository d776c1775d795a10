/**
 * What a sealed object says it is. Public: it stands in clear in the object's head, signed, and is what every chunk and
 * the wrapped data key are bound to.
 */
import { equalBytes } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import { DATA_KEY_PURPOSES, type DataKeyBinding } from '../keychain/data-keys.ts';
import type { SealFault } from './seal-faults.ts';

/** Which object this is. Ids are hexadecimal digits in lower case; undefined where the kind has none. */
export interface ObjectClaims {
  /** Private vault or backup: an object of one never stands for one of the other. */
  readonly purpose: DataKeyBinding['purpose'];
  /** SHA-384 of the charter: network, governance, party, anchor. */
  readonly charterDigest: Uint8Array;
  readonly party: number;
  /** Path of the object in its vault, its segments joined by `/`. */
  readonly name: string;
  /** Kind of what is inside, as its own format calls it. */
  readonly type: string;
  readonly keyId: string | undefined;
  readonly contextId: string | undefined;
  readonly epochId: string | undefined;
  /** Name of the FHE parameter set. */
  readonly parameters: string | undefined;
  /** Which writing of this name: from 1, never the same twice for other content. */
  readonly version: number;
}

/** What the reader asks for; nothing else opens. */
export interface ExpectedObject extends Omit<ObjectClaims, 'version'> {
  /** Ed25519 key of purpose `object` of the node that has to have sealed it. */
  readonly signer: Uint8Array;
  /** Highest version of this name that is known of; an older one was rolled back. */
  readonly notBefore: number;
  /** Digest of its tail, where a manifest names it: that one writing and no other. */
  readonly digest?: Uint8Array | undefined;
}

/** Size of a charter's digest. */
export const CHARTER_DIGEST_BYTES = 48;
/** Longest name or type. */
const MAX_NAME_BYTES = 1024;
/** Longest id or name of parameters. */
const MAX_ID_BYTES = 64;
const ID = /^(?:[0-9a-f]{2}){1,32}$/;
/** Segments as storage has them, and colons for types; none is empty or begins with a dot. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._:-]*(?:\/[A-Za-z0-9][A-Za-z0-9._:-]*)*$/;
/** Parties are numbered as in charters. */
const MAX_PARTY = 0xffff;

/** Returns whether a text is the name of an object. */
export const isObjectName = (name: unknown): name is string => typeof name === 'string' && isName(name, MAX_NAME_BYTES);

const isName = (name: string, most: number): boolean => name.length <= most && NAME.test(name);

/** Returns which claims are not well formed, by name. */
export function invalidClaims(claims: ObjectClaims): string[] {
  const bad: string[] = [];
  const check = (field: string, ok: boolean): void => {
    if (!ok) bad.push(field);
  };
  const isId = (id: string | undefined): boolean => id === undefined || ID.test(id);
  check('purpose', DATA_KEY_PURPOSES.includes(claims.purpose));
  check('charter', claims.charterDigest.length === CHARTER_DIGEST_BYTES);
  check('party', Number.isInteger(claims.party) && claims.party >= 1 && claims.party <= MAX_PARTY);
  check('name', isObjectName(claims.name));
  check('type', isName(claims.type, MAX_NAME_BYTES));
  check('key', isId(claims.keyId));
  check('context', isId(claims.contextId));
  check('epoch', isId(claims.epochId));
  check('parameters', claims.parameters === undefined || isName(claims.parameters, MAX_ID_BYTES));
  check('version', Number.isSafeInteger(claims.version) && claims.version >= 1);
  return bad;
}

/**
 * Checks what is about to be sealed.
 *
 * @throws KmsError `REQUEST_INVALID` naming every field that is not well formed.
 */
export function checkClaims(claims: ObjectClaims): void {
  const bad = invalidClaims(claims);
  if (bad.length === 0) return;
  throw new KmsError('REQUEST_INVALID', `cannot be sealed: ${bad.join(', ')} not well formed`, {
    fields: bad.join(','),
  });
}

/** Returns everything in which an object is another than the one asked for. */
export function differences(found: ObjectClaims & { readonly signer: Uint8Array }, asked: ExpectedObject): SealFault[] {
  const pairs: readonly (readonly [SealFault, boolean])[] = [
    ['other-charter', equalBytes(found.charterDigest, asked.charterDigest)],
    ['other-party', found.party === asked.party],
    ['other-purpose', found.purpose === asked.purpose],
    ['other-name', found.name === asked.name],
    ['other-type', found.type === asked.type],
    ['other-key', found.keyId === asked.keyId],
    ['other-context', found.contextId === asked.contextId],
    ['other-epoch', found.epochId === asked.epochId],
    ['other-parameters', found.parameters === asked.parameters],
    ['other-signer', equalBytes(found.signer, asked.signer)],
    ['rolled-back', found.version >= asked.notBefore],
  ];
  return pairs.filter(([, same]) => !same).map(([fault]) => fault);
}

/** Returns what the data key of an object is bound to. */
export function dataKeyBinding(claims: Omit<ObjectClaims, 'version'>): DataKeyBinding {
  const { purpose, charterDigest, party, contextId, epochId, name } = claims;
  return { purpose, charterDigest, party, contextId, epochId, object: name };
}
