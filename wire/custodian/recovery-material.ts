/**
 * What a node keeps of a custodian context: who the custodians are, their signcrypted shares, the commitments to
 * these, signed by the node. Public; its signer must be known from elsewhere. Spec: kms-service 7.4.
 */
import { createHash } from 'node:crypto';
import { equalBytes } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import { type BincodeReader, BincodeWriter } from '../bincode.ts';
import { DIGEST_BYTES, HASH_TAG } from '../hash.ts';
import type { RequestId } from '../ids.ts';
import { decodeSafe, encodeSafe } from '../safe-serialize.ts';
import {
  addressOfCompressedKey,
  INTERNAL_SIGNATURE_BYTES,
  recoverCompressedKey,
  verifyInternalSignature,
} from '../signatures.ts';
import { signedPreimage } from '../signed-payloads.ts';
import {
  type Encoding,
  readByRole,
  readEncryptionKey,
  readId,
  readSigncryption,
  readVersion,
  writeByRole,
  writeEncryptionKey,
  writeId,
  writeSigncryption,
  writeVersion,
} from './fields.ts';
import { type CustodianSetup, readSetup, writeSetup } from './setup-message.ts';
import { checkSharingShape } from './sharing.ts';
import type { Signer } from './signcryption.ts';

/** The custodians of a context, and the key that they share. */
export interface CustodianContext {
  readonly threshold: number;
  readonly contextId: RequestId;
  /** By number, from 1 to n. */
  readonly custodians: ReadonlyMap<number, CustodianSetup>;
  /** ML-KEM-512 encapsulation key of the backup, 800 bytes. */
  readonly backupKey: Uint8Array;
}

/** What the node signs. */
export interface RecoveryMaterial {
  /** Signcrypted share of each custodian. */
  readonly ciphertexts: ReadonlyMap<number, Uint8Array>;
  /** Digest of each custodian's share. */
  readonly commitments: ReadonlyMap<number, Uint8Array>;
  readonly context: CustodianContext;
  readonly mpcContextId: RequestId;
}

const TYPE = 'backup::RecoveryValidationMaterial';
const CONTEXT_TYPE = 'backup::InternalCustodianContext';
const EXPECTED_BYTES = 32 * 1024;
const MIN_SIGNCRYPTION_BYTES = 28;
const MIN_SETUP_BYTES = 900;

/** Encodes and signs recovery material. */
export function signRecoveryMaterial(material: RecoveryMaterial, signer: Signer): Uint8Array {
  checkMaterial(material);
  const signature = signer.signSha256(signedPreimage(HASH_TAG.backupRecovery, recoveryMaterialBody(material)));
  return encodeSafe(TYPE, EXPECTED_BYTES, (writer) => {
    writeVersion(writer, 'stored');
    writeMaterial(writer, material, 'stored');
    writer.vec(signature);
  });
}

/**
 * Decodes recovery material and checks that `verificationKey` signed it.
 *
 * @param verificationKey - Compressed key of the node, known from the MPC context and not from where the bytes are from.
 * @throws {@link KmsError} `REQUEST_INVALID` for another layout, or custodians that do not fit together;
 *   `PERMISSION_DENIED` for another signer.
 */
export function openRecoveryMaterial(bytes: Uint8Array, verificationKey: Uint8Array): RecoveryMaterial {
  const { material, signature } = readSigned(bytes);
  const body = recoveryMaterialBody(material);
  const signed = signature.byteLength === INTERNAL_SIGNATURE_BYTES;
  if (!signed || !verifyInternalSignature(HASH_TAG.backupRecovery, body, signature, verificationKey)) {
    throw notSigned();
  }
  checkMaterial(material);
  return material;
}

/**
 * Decodes recovery material and checks that the key of an address signed it, for those who know no more of the node.
 *
 * @returns The material, and the node's compressed key.
 * @throws {@link KmsError} as {@link openRecoveryMaterial}.
 */
export function openRecoveryMaterialOf(
  bytes: Uint8Array,
  address: Uint8Array,
): { readonly material: RecoveryMaterial; readonly verificationKey: Uint8Array } {
  const { material, signature } = readSigned(bytes);
  const preimage = signedPreimage(HASH_TAG.backupRecovery, recoveryMaterialBody(material));
  const digest = createHash('sha256').update(preimage).digest();
  for (const parity of [0, 1] as const) {
    const verificationKey = recoverCompressedKey(digest, signature, parity);
    if (verificationKey === undefined || !equalBytes(addressOfCompressedKey(verificationKey), address)) continue;
    return { material: openRecoveryMaterial(bytes, verificationKey), verificationKey };
  }
  throw notSigned();
}

/** Returns what is signed behind the tag BKUPRECO. */
export function recoveryMaterialBody(material: RecoveryMaterial): Uint8Array {
  const writer = new BincodeWriter(EXPECTED_BYTES);
  writeMaterial(writer, material, 'signed');
  return writer.finish();
}

/** Encodes a custodian context by itself. */
export function encodeCustodianContext(context: CustodianContext): Uint8Array {
  return encodeSafe(CONTEXT_TYPE, EXPECTED_BYTES, (writer) => writeContext(writer, context, 'stored'));
}

/** Decodes what {@link encodeCustodianContext} wrote. Throws `REQUEST_INVALID` for anything else. */
export function decodeCustodianContext(bytes: Uint8Array): CustodianContext {
  const context = decodeSafe(bytes, CONTEXT_TYPE, readContext);
  checkContext(context);
  return context;
}

function readSigned(bytes: Uint8Array): { material: RecoveryMaterial; signature: Uint8Array } {
  return decodeSafe(bytes, TYPE, (reader) => {
    readVersion(reader, 'RecoveryValidationMaterial');
    return { material: readMaterial(reader), signature: reader.vec() };
  });
}

function notSigned(): KmsError {
  return new KmsError('PERMISSION_DENIED', 'the recovery material is not signed by this node');
}

function writeMaterial(writer: BincodeWriter, material: RecoveryMaterial, encoding: Encoding): void {
  writeVersion(writer, encoding);
  writeByRole(writer, material.ciphertexts, encoding, (bytes) => {
    writeVersion(writer, encoding);
    writeSigncryption(writer, bytes, encoding);
  });
  writeByRole(writer, material.commitments, encoding, (digest) => writer.vec(digest));
  writeContext(writer, material.context, encoding);
  writeId(writer, material.mpcContextId);
}

function readMaterial(reader: BincodeReader): RecoveryMaterial {
  readVersion(reader, 'RecoveryValidationMaterialPayload');
  const ciphertexts = readByRole(reader, MIN_SIGNCRYPTION_BYTES, () => {
    readVersion(reader, 'InnerOperatorBackupOutput');
    return readSigncryption(reader);
  });
  const commitments = readByRole(reader, 8, () => Uint8Array.from(reader.vec()));
  return { ciphertexts, commitments, context: readContext(reader), mpcContextId: readId(reader, 'mpc_context') };
}

function writeContext(writer: BincodeWriter, context: CustodianContext, encoding: Encoding): void {
  writeVersion(writer, encoding).u32(context.threshold);
  writeId(writer, context.contextId);
  writeByRole(writer, context.custodians, encoding, (setup) => writeSetup(writer, setup, encoding));
  writeEncryptionKey(writer, context.backupKey, encoding);
}

function readContext(reader: BincodeReader): CustodianContext {
  readVersion(reader, 'InternalCustodianContext');
  const threshold = reader.u32();
  const contextId = readId(reader, 'context_id');
  const custodians = readByRole(reader, MIN_SETUP_BYTES, () => readSetup(reader));
  return { threshold, contextId, custodians, backupKey: Uint8Array.from(readEncryptionKey(reader)) };
}

/** Every custodian has one share and one commitment, and nobody else has. */
function checkMaterial({ ciphertexts, commitments, context }: RecoveryMaterial): void {
  checkContext(context);
  const roles = [...context.custodians.keys()].join();
  const same = [ciphertexts, commitments].every((map) => [...map.keys()].sort((a, b) => a - b).join() === roles);
  if (!same || [...commitments.values()].some(({ byteLength }) => byteLength !== DIGEST_BYTES)) {
    throw new KmsError('REQUEST_INVALID', 'recovery material has one share and one commitment for each custodian');
  }
}

/**
 * Checks a context as a whole: numbers 1 to n under their own name, a threshold that fits, and no two custodians with
 * a key in common, since one who holds two shares counts twice.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` naming what does not fit.
 */
export function checkContext({ custodians, threshold }: CustodianContext): void {
  checkSharingShape({ custodians: custodians.size, threshold });
  const setups = [...custodians];
  if (setups.some(([role, setup]) => role > custodians.size || setup.role !== role)) {
    throw new KmsError('REQUEST_INVALID', 'custodians have the numbers 1 to n, each once', {
      custodians: custodians.size,
    });
  }
  for (const field of ['ek', 'verificationKey'] as const) {
    const owners = new Map<string, number>();
    for (const [role, setup] of setups) {
      const key = Buffer.from(setup[field]).toString('latin1');
      const other = owners.get(key);
      if (other !== undefined) {
        throw new KmsError('REQUEST_INVALID', 'two custodians have the same key', { role, other });
      }
      owners.set(key, role);
    }
  }
}
