/**
 * What a node says of its custodians where everybody can read it: which context is in force, and which recovery material is its.
 *
 * It lies in the backup storage, for the day on which nothing else is left. It counts for the node's signature alone, whose
 * address governance has signed; so no storage can name other custodians, or an older material. Format:
 * docs/formats/custodian-keys.md.
 */
import { createHash } from 'node:crypto';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import { type CborValue, decodeStrict, encodeCanonical } from '../../attestation/cbor.ts';
import { equalBytes } from '../../common/bytes.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import type { NodeKey } from '../../native/engine/index.ts';
import type { ObjectPath } from '../../storage/storage.ts';
import { idBytes, idFromBytes, type RequestId } from '../../wire/ids.ts';
import { addressOfCompressedKey } from '../../wire/signatures.ts';

/** What is stated. */
export interface ActiveStatement {
  readonly charterDigest: Uint8Array;
  readonly party: number;
  /** The book's: a later statement has a greater one. */
  readonly sequence: number;
  readonly contextId: RequestId;
  /** SHA-256 of the signed recovery material. */
  readonly material: Uint8Array;
  /** Compressed verification key of the node: its address is what a reader knows. */
  readonly verificationKey: Uint8Array;
}

/** Whose statement a reader asks for. */
export interface ExpectedStatement {
  readonly charterDigest: Uint8Array;
  readonly party: number;
  /** Of the node, from the governed record. */
  readonly address: Uint8Array;
}

/** Where it lies in the backup storage. */
export const STATEMENT_PATH: ObjectPath = ['Custodians', 'active'];

const LABEL = 'arca-custodians-1';
const SIGNATURE_BYTES = 64;
const FIELDS = 6;
const MAX_BYTES = 1024;

/** Returns SHA-256 of recovery material, as a statement has it. */
export function materialDigest(material: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(material).digest());
}

/** Returns the bytes that are signed. */
export function statementPreimage(statement: ActiveStatement): Uint8Array {
  const fields = new Map<string, CborValue>([
    ['charter', statement.charterDigest],
    ['context', idBytes(statement.contextId)],
    ['key', statement.verificationKey],
    ['material', statement.material],
    ['party', statement.party],
    ['sequence', statement.sequence],
  ]);
  return encodeCanonical([LABEL, fields]);
}

/** Returns the stored form: the signature, and behind it what it is over. */
export function signStatement(
  statement: Omit<ActiveStatement, 'verificationKey'>,
  key: Pick<NodeKey, 'publicKey' | 'signSha256'>,
): Uint8Array {
  const preimage = statementPreimage({ ...statement, verificationKey: key.publicKey });
  return Buffer.concat([key.signSha256(preimage), preimage]);
}

/**
 * Reads a statement if the node that governance names made it.
 *
 * @throws KmsError `REQUEST_INVALID` naming everything that is wrong with it.
 */
export function readStatement(bytes: Uint8Array, asked: ExpectedStatement): ActiveStatement {
  const preimage = bytes.subarray(SIGNATURE_BYTES);
  const statement = decode(preimage);
  if (statement === undefined) throw refused(['it is not as the format says']);
  const signature = bytes.subarray(0, SIGNATURE_BYTES);
  const pairs: readonly (readonly [string, boolean])[] = [
    ['it was made under another charter', equalBytes(statement.charterDigest, asked.charterDigest)],
    ['it was made by another party', statement.party === asked.party],
    ['it names another node than the governed record', isOf(statement.verificationKey, asked.address)],
    ['its signature does not verify', isSigned(preimage, signature, statement.verificationKey)],
  ];
  const faults = pairs.filter(([, good]) => !good).map(([fault]) => fault);
  if (faults.length > 0) throw refused(faults);
  return statement;
}

function isOf(verificationKey: Uint8Array, address: Uint8Array): boolean {
  try {
    return equalBytes(addressOfCompressedKey(verificationKey), address);
  } catch (error) {
    if (isKmsError(error)) return false;
    throw error;
  }
}

function isSigned(preimage: Uint8Array, signature: Uint8Array, publicKey: Uint8Array): boolean {
  const digest = createHash('sha256').update(preimage).digest();
  try {
    return secp256k1.verify(signature, digest, publicKey, { prehash: false, lowS: true });
  } catch {
    return false; // noble throws for bytes that are no point or no scalar
  }
}

function decode(preimage: Uint8Array): ActiveStatement | undefined {
  try {
    return parse(decodeStrict(preimage, { maxBytes: MAX_BYTES, maxDepth: 3, canonical: true }));
  } catch (error) {
    if (isKmsError(error, 'REQUEST_INVALID')) return undefined;
    throw error;
  }
}

function parse(value: CborValue): ActiveStatement | undefined {
  const fields: unknown = Array.isArray(value) && value.length === 2 && value[0] === LABEL ? value[1] : undefined;
  if (!(fields instanceof Map) || fields.size !== FIELDS) return undefined;
  const bytes = ['charter', 'context', 'key', 'material'].map((name): unknown => fields.get(name));
  const [charterDigest, context, verificationKey, material] = bytes;
  const [party, sequence] = [fields.get('party'), fields.get('sequence')].map((n: unknown) => (isCount(n) ? n : 0));
  const isWhole = isBytes(charterDigest, 48) && isBytes(context, 32) && isBytes(verificationKey, 33);
  if (!isWhole || !isBytes(material, 32) || !party || !sequence) return undefined;
  const contextId = idFromBytes(context, 'context');
  return {
    charterDigest: charterDigest.slice(),
    party,
    sequence,
    contextId,
    material: material.slice(),
    verificationKey: verificationKey.slice(),
  };
}

const isCount = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 1;

const isBytes = (value: unknown, size: number): value is Uint8Array =>
  value instanceof Uint8Array && value.length === size;

function refused(faults: readonly string[]): KmsError {
  return new KmsError('REQUEST_INVALID', `the node's statement on its custodians is refused: ${faults.join('; ')}`);
}
