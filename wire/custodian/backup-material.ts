/**
 * A custodian's share of a backup key, with everything that says whose it is. SECRET: `share` and the encoding.
 * Spec: kms-service 7.4 (`BackupMaterial`, stored as `backup::BackupShares`).
 */
import { KmsError } from '../../common/errors.ts';
import { domainHash, HASH_TAG } from '../hash.ts';
import { ID_BYTES, type RequestId } from '../ids.ts';
import { COMPRESSED_KEY_BYTES } from '../payloads.ts';
import { decodeSafe, encodeSafe } from '../safe-serialize.ts';
import {
  readId,
  readRole,
  readVerificationKey,
  readVersion,
  writeId,
  writeRole,
  writeVerificationKey,
  writeVersion,
} from './fields.ts';

/** One custodian's share and whose backup it belongs to. */
export interface BackupMaterial {
  /** Custodian context. */
  readonly backupId: RequestId;
  readonly mpcContextId: RequestId;
  /** Compressed secp256k1 keys. */
  readonly custodianKey: Uint8Array;
  readonly custodianRole: number;
  readonly operatorKey: Uint8Array;
  /** SECRET: elements of 32 bytes. */
  readonly share: Uint8Array;
}

const TYPE = 'backup::BackupShares';
const ELEMENT_BYTES = 32;
const COEFFICIENTS = 4;
const ROLE_BYTES = 4 + 8;
const STORED_ELEMENT_BYTES = 4 + 4 + 8 + ELEMENT_BYTES + ROLE_BYTES;
const HEAD_BYTES = 4 + 2 * ID_BYTES + 2 * (4 + 8 + COMPRESSED_KEY_BYTES) + ROLE_BYTES + 8;

/** Encodes a share. SECRET, in an ArrayBuffer of its own, which the caller wipes. */
export function encodeBackupMaterial(material: BackupMaterial): Uint8Array {
  const elements = material.share.byteLength / ELEMENT_BYTES;
  return encodeSafe(TYPE, HEAD_BYTES + elements * STORED_ELEMENT_BYTES, (writer) => {
    writeVersion(writer, 'stored');
    writeId(writer, material.backupId);
    writeId(writer, material.mpcContextId);
    writeVerificationKey(writer, material.custodianKey, 'stored');
    writeRole(writer, material.custodianRole, 'stored');
    writeVerificationKey(writer, material.operatorKey, 'stored');
    writer.u64(elements);
    for (let at = 0; at < material.share.byteLength; at += ELEMENT_BYTES) {
      writeVersion(writer, 'stored');
      writeVersion(writer, 'stored').u64(COEFFICIENTS);
      writer.raw(material.share.subarray(at, at + ELEMENT_BYTES));
      writeRole(writer, material.custodianRole, 'stored');
    }
  });
}

/** Decodes what {@link encodeBackupMaterial} wrote. Throws `REQUEST_INVALID` for anything else. */
export function decodeBackupMaterial(bytes: Uint8Array): BackupMaterial {
  return decodeSafe(bytes, TYPE, (reader) => {
    readVersion(reader, 'BackupMaterial');
    const backupId = readId(reader, 'backup_id');
    const mpcContextId = readId(reader, 'mpc_context_id');
    const custodianKey = readVerificationKey(reader);
    const custodianRole = readRole(reader);
    const operatorKey = readVerificationKey(reader);
    const elements = reader.list(STORED_ELEMENT_BYTES, () => {
      readVersion(reader, 'Share');
      readVersion(reader, 'ResiduePoly');
      if (reader.u64() !== COEFFICIENTS) throw new KmsError('REQUEST_INVALID', 'an element has 4 coefficients');
      const element = reader.raw(ELEMENT_BYTES);
      if (readRole(reader) !== custodianRole) {
        throw new KmsError('REQUEST_INVALID', 'every share of a custodian bears its number', { custodianRole });
      }
      return element;
    });
    const share = new Uint8Array(elements.length * ELEMENT_BYTES);
    for (const [index, element] of elements.entries()) share.set(element, index * ELEMENT_BYTES);
    return { backupId, mpcContextId, custodianKey, custodianRole, operatorKey, share };
  });
}

/** Returns the commitment to an encoded share: it hides it because a share is random. */
export function backupCommitment(encoded: Uint8Array): Uint8Array {
  return domainHash(HASH_TAG.backupCommitment, encoded);
}
