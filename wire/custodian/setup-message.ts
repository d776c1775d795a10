/**
 * What a custodian gives to the operators when a custodian context is made: who it is, and its two public keys.
 *
 * Nothing here is signed: an operator must get it from the custodian itself and compare the fingerprint.
 * Spec: kms-service 2.9 and 7.4.
 */
import { KmsError } from '../../common/errors.ts';
import type { BincodeReader, BincodeWriter } from '../bincode.ts';
import { decodeSafe, encodeSafe } from '../safe-serialize.ts';
import {
  type Encoding,
  readEncryptionKey,
  readRole,
  readVerificationKey,
  readVersion,
  writeEncryptionKey,
  writeRole,
  writeVerificationKey,
  writeVersion,
} from './fields.ts';

/** A custodian's keys and what it says of itself. */
export interface CustodianSetup {
  /** 1-based number among the custodians. */
  readonly role: number;
  /** For people; nobody vouches for it. */
  readonly name: string;
  /** 32 bytes. */
  readonly randomValue: Uint8Array;
  /** Since the Unix epoch, to the nanosecond, as it is signed again with the recovery material. */
  readonly timestamp: { readonly seconds: number; readonly nanos: number };
  /** ML-KEM-512, 800 bytes. */
  readonly ek: Uint8Array;
  /** Compressed secp256k1 point. */
  readonly verificationKey: Uint8Array;
}

/** A setup without what the protobuf message carries beside it. */
export type SetupPayload = Omit<CustodianSetup, 'role' | 'name'>;

const HEADER = 'ZAMA TKMS SETUP TEST OPERATORS-CUSTODIAN';
const RANDOM_BYTES = 32;
const MAX_NAME_BYTES = 256;
/** The last second of a `Date`. */
const MAX_SECONDS = 8_640_000_000_000;
const NANOS_PER_SECOND = 1_000_000_000;
const MESSAGE_TYPE = 'backup::InternalCustodianSetupMessage';
const PAYLOAD_TYPE = 'backup::CustodianSetupMessagePayload';
const EXPECTED_BYTES = 1200;

/** Encodes the whole message, as the tool prints it (in base64). */
export function encodeSetupMessage(setup: CustodianSetup): Uint8Array {
  return encodeSafe(MESSAGE_TYPE, EXPECTED_BYTES, (writer) => writeSetup(writer, setup, 'stored'));
}

/** Decodes what {@link encodeSetupMessage} wrote. Throws `REQUEST_INVALID` for anything else. */
export function decodeSetupMessage(bytes: Uint8Array): CustodianSetup {
  return decodeSafe(bytes, MESSAGE_TYPE, readSetup);
}

/** Encodes what stands in `payload` of the protobuf message. */
export function encodeSetupPayload(setup: SetupPayload): Uint8Array {
  return encodeSafe(PAYLOAD_TYPE, EXPECTED_BYTES, (writer) => {
    writeVersion(writer, 'stored').string(HEADER);
    writeFreshness(writer, setup, 'stored');
    writeEncryptionKey(writer, setup.ek, 'stored');
    writeVerificationKey(writer, setup.verificationKey, 'stored');
  });
}

/** Decodes what {@link encodeSetupPayload} wrote. Throws `REQUEST_INVALID` for anything else. */
export function decodeSetupPayload(bytes: Uint8Array): SetupPayload {
  return decodeSafe(bytes, PAYLOAD_TYPE, (reader) => {
    readVersion(reader, 'CustodianSetupMessagePayload');
    readHeader(reader);
    return { ...readFreshness(reader), ek: readEncryptionKey(reader), verificationKey: readVerificationKey(reader) };
  });
}

/** Writes a setup inside of another struct. */
export function writeSetup(writer: BincodeWriter, setup: CustodianSetup, encoding: Encoding): void {
  writeVersion(writer, encoding).string(HEADER);
  writeRole(writer, setup.role, encoding);
  writer.string(setup.name);
  writeFreshness(writer, setup, encoding);
  writeEncryptionKey(writer, setup.ek, encoding);
  writeVerificationKey(writer, setup.verificationKey, encoding);
}

/** Reads a stored setup inside of another struct. */
export function readSetup(reader: BincodeReader): CustodianSetup {
  readVersion(reader, 'InternalCustodianSetupMessage');
  readHeader(reader);
  const role = readRole(reader);
  const name = checkCustodianName(reader.string());
  const freshness = readFreshness(reader);
  return { role, name, ...freshness, ek: readEncryptionKey(reader), verificationKey: readVerificationKey(reader) };
}

/** Returns a custodian's name if it can be shown to people. Throws `REQUEST_INVALID` otherwise. */
export function checkCustodianName(name: string): string {
  // Control and direction characters would let a name paint over what stands beside it.
  if (/[\p{C}\p{Zl}\p{Zp}]/u.test(name) || Buffer.byteLength(name) > MAX_NAME_BYTES) {
    throw new KmsError('REQUEST_INVALID', `a custodian's name is at most ${MAX_NAME_BYTES} bytes of visible text`);
  }
  return name;
}

function readHeader(reader: BincodeReader): void {
  if (reader.string() !== HEADER) {
    throw new KmsError('REQUEST_INVALID', `a setup message begins with '${HEADER}'`);
  }
}

function writeFreshness(writer: BincodeWriter, { randomValue, timestamp }: SetupPayload, encoding: Encoding): void {
  if (encoding === 'stored') writer.vec(randomValue);
  else writer.raw(randomValue);
  writer.u64(timestamp.seconds).u32(timestamp.nanos);
}

function readFreshness(reader: BincodeReader): Pick<CustodianSetup, 'randomValue' | 'timestamp'> {
  const randomValue = Uint8Array.from(reader.vec());
  if (randomValue.byteLength !== RANDOM_BYTES) {
    throw new KmsError('REQUEST_INVALID', `a setup message has ${RANDOM_BYTES} random bytes`);
  }
  const seconds = reader.u64();
  const nanos = reader.u32();
  if (nanos >= NANOS_PER_SECOND || seconds > MAX_SECONDS) {
    throw new KmsError('REQUEST_INVALID', 'a setup message has a time that is none');
  }
  return { randomValue, timestamp: { seconds, nanos } };
}
