/**
 * What a node asks its custodians after a disaster, and what each of them answers. Public on the way: the shares are
 * signcrypted for a custodian in the request and for the node's ephemeral key in the answer.
 *
 * The published request is not signed: whoever carries it can put his own key into it. Arca's travels with an
 * attestation document (attestation/recovery/). Spec: kms-service 7.4.
 */
import { createHash } from 'node:crypto';
import { KmsError } from '../../common/errors.ts';
import { BincodeWriter } from '../bincode.ts';
import { decodeSafe, encodeSafe } from '../safe-serialize.ts';
import {
  readByRole,
  readEncryptionKey,
  readRole,
  readSigncryption,
  readVerificationKey,
  readVersion,
  writeByRole,
  writeEncryptionKey,
  writeRole,
  writeSigncryption,
  writeVerificationKey,
  writeVersion,
} from './fields.ts';

/** A request for help. */
export interface RecoveryRequest {
  /** ML-KEM-512 key that the answers are for, 800 bytes. */
  readonly ephemeralKey: Uint8Array;
  /** The node's compressed secp256k1 key: whose shares these are. */
  readonly operatorKey: Uint8Array;
  /** Signcrypted share of each custodian, by number. */
  readonly ciphertexts: ReadonlyMap<number, Uint8Array>;
}

/** One custodian's answer. */
export interface RecoveryOutput {
  readonly custodianRole: number;
  /** The custodian's share, signcrypted for the ephemeral key. */
  readonly signcryption: Uint8Array;
}

const REQUEST_TYPE = 'backup::InternalRecoveryRequest';
const OUTPUT_TYPE = 'backup::CustodianRecoveryOutput';
const MIN_SIGNCRYPTION_BYTES = 28;

/** Encodes a request. */
export function encodeRecoveryRequest({ ephemeralKey, operatorKey, ciphertexts }: RecoveryRequest): Uint8Array {
  return encodeSafe(REQUEST_TYPE, 1024, (writer) => {
    writeVersion(writer, 'stored');
    writeEncryptionKey(writer, ephemeralKey, 'stored');
    writeVerificationKey(writer, operatorKey, 'stored');
    writeCiphertexts(writer, ciphertexts);
  });
}

/** Decodes what {@link encodeRecoveryRequest} wrote. Throws `REQUEST_INVALID` for anything else. */
export function decodeRecoveryRequest(bytes: Uint8Array): RecoveryRequest {
  return decodeSafe(bytes, REQUEST_TYPE, (reader) => {
    readVersion(reader, 'InternalRecoveryRequest');
    const ephemeralKey = Uint8Array.from(readEncryptionKey(reader));
    const operatorKey = readVerificationKey(reader);
    const ciphertexts = readByRole(reader, MIN_SIGNCRYPTION_BYTES, () => {
      readVersion(reader, 'InnerOperatorBackupOutput');
      return readSigncryption(reader);
    });
    if (ciphertexts.size === 0) throw new KmsError('REQUEST_INVALID', 'a recovery request has a share for somebody');
    return { ephemeralKey, operatorKey, ciphertexts };
  });
}

/** Returns SHA-256 of all shares of a request, as they are encoded in it: what its attestation commits to. */
export function ciphertextsDigest(ciphertexts: ReadonlyMap<number, Uint8Array>): Uint8Array {
  const writer = new BincodeWriter(1024);
  writeCiphertexts(writer, ciphertexts);
  return Uint8Array.from(createHash('sha256').update(writer.finish()).digest());
}

/** Encodes an answer, as the tool prints it (in base64). */
export function encodeRecoveryOutput({ custodianRole, signcryption }: RecoveryOutput): Uint8Array {
  return encodeSafe(OUTPUT_TYPE, 64 + signcryption.byteLength, (writer) => {
    writeVersion(writer, 'stored');
    writeSigncryption(writer, signcryption, 'stored');
    writeRole(writer, custodianRole, 'stored');
  });
}

/** Decodes what {@link encodeRecoveryOutput} wrote. Throws `REQUEST_INVALID` for anything else. */
export function decodeRecoveryOutput(bytes: Uint8Array): RecoveryOutput {
  return decodeSafe(bytes, OUTPUT_TYPE, (reader) => {
    readVersion(reader, 'CustodianRecoveryOutput');
    const signcryption = readSigncryption(reader);
    return { signcryption, custodianRole: readRole(reader) };
  });
}

function writeCiphertexts(writer: BincodeWriter, ciphertexts: ReadonlyMap<number, Uint8Array>): void {
  writeByRole(writer, ciphertexts, 'stored', (bytes) => {
    writeVersion(writer, 'stored');
    writeSigncryption(writer, bytes, 'stored');
  });
}
