/**
 * The node's CA certificate (public object CACert): self-issued X.509v3 over the node's secp256k1 key.
 *
 * Node 24 crashes when such a certificate reaches `toLegacyObject` or the `ca` of a TLS connection: read it with
 * `new X509Certificate(pem)` and nothing else. Signing stays with the caller, who holds the key.
 */
import { createHash } from 'node:crypto';
import {
  type BaseBlock,
  BitString,
  Boolean as BooleanBlock,
  Constructed,
  GeneralizedTime,
  Integer,
  ObjectIdentifier,
  OctetString,
  Sequence,
  Set as SetBlock,
  UTCTime,
  Utf8String,
} from 'asn1js';
import { KmsError } from '../common/errors.ts';

/** What goes into the certificate, and who signs it. */
export interface CaCertificateArgs {
  /** Uncompressed SEC1 point of the node's key, 65 bytes. */
  readonly publicKey: Uint8Array;
  /** 1 to 64 characters; subject and issuer. */
  readonly commonName: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** Positive, at most 20 bytes, big-endian. */
  readonly serial: Uint8Array;
  /** Signs the SHA-256 of the bytes given; returns the signature in DER. */
  readonly sign: (toBeSigned: Uint8Array) => Uint8Array;
}

const ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2';
const EC_PUBLIC_KEY = '1.2.840.10045.2.1';
const SECP256K1 = '1.3.132.0.10';
const COMMON_NAME = '2.5.4.3';
const SUBJECT_KEY_ID = '2.5.29.14';
const KEY_USAGE = '2.5.29.15';
const BASIC_CONSTRAINTS = '2.5.29.19';
/** digitalSignature (0), keyCertSign (5), cRLSign (6); the last bit of the byte is unused. */
const CA_KEY_USAGE = Uint8Array.of(0b1000_0110);
const CONTEXT_SPECIFIC = 3;
/** From 2050 on X.509 writes dates in the longer form. */
const FIRST_GENERALIZED_YEAR = 2050;

/**
 * Returns the certificate in DER.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` if the key, name, serial or validity cannot be written.
 */
export function buildCaCertificate(args: CaCertificateArgs): Uint8Array {
  checkArgs(args);
  const algorithm = sequence(oid(ECDSA_WITH_SHA256));
  const name = sequence(
    new SetBlock({ value: [sequence(oid(COMMON_NAME), new Utf8String({ value: args.commonName }))] }),
  );
  const toBeSigned = sequence(
    tagged(0, new Integer({ value: 2 })),
    Integer.fromBigInt(BigInt(`0x${Buffer.from(args.serial).toString('hex')}`)),
    algorithm,
    name,
    sequence(time(args.notBefore), time(args.notAfter)),
    name,
    sequence(sequence(oid(EC_PUBLIC_KEY), oid(SECP256K1)), new BitString({ valueHex: owned(args.publicKey) })),
    tagged(3, sequence(...extensions(args.publicKey))),
  );
  const signature = args.sign(der(toBeSigned));
  return der(sequence(toBeSigned, algorithm, new BitString({ valueHex: owned(signature) })));
}

/** Returns DER as a PEM certificate. */
export function certificatePem(certificate: Uint8Array): string {
  const lines = Buffer.from(certificate)
    .toString('base64')
    .match(/.{1,64}/g);
  return `-----BEGIN CERTIFICATE-----\n${(lines ?? []).join('\n')}\n-----END CERTIFICATE-----\n`;
}

function extensions(publicKey: Uint8Array): Sequence[] {
  const keyId = createHash('sha256').update(publicKey).digest().subarray(0, 20);
  const caWithoutIntermediates = sequence(new BooleanBlock({ value: true }), new Integer({ value: 0 }));
  return [
    extension(BASIC_CONSTRAINTS, true, caWithoutIntermediates),
    extension(KEY_USAGE, true, new BitString({ valueHex: owned(CA_KEY_USAGE), unusedBits: 1 })),
    extension(SUBJECT_KEY_ID, false, new OctetString({ valueHex: owned(keyId) })),
  ];
}

function extension(id: string, critical: boolean, value: BaseBlock): Sequence {
  const content = new OctetString({ valueHex: value.toBER() });
  return critical ? sequence(oid(id), new BooleanBlock({ value: true }), content) : sequence(oid(id), content);
}

function checkArgs({ publicKey, commonName, notBefore, notAfter, serial }: CaCertificateArgs): void {
  const fail = (message: string): never => {
    throw new KmsError('REQUEST_INVALID', message);
  };
  if (publicKey.byteLength !== 65 || publicKey[0] !== 4) fail('a certificate needs an uncompressed key of 65 bytes');
  if (commonName.length < 1 || commonName.length > 64) fail('a common name has 1 to 64 characters');
  if (!(notBefore < notAfter)) fail('a certificate must begin before it ends');
  if (serial.byteLength < 1 || serial.byteLength > 20 || serial.every((byte) => byte === 0) || (serial[0] ?? 0) > 127) {
    fail('a serial number is positive and has at most 20 bytes');
  }
}

function sequence(...value: BaseBlock[]): Sequence {
  return new Sequence({ value });
}

function oid(value: string): ObjectIdentifier {
  return new ObjectIdentifier({ value });
}

function tagged(tagNumber: number, value: BaseBlock): Constructed {
  return new Constructed({ idBlock: { tagClass: CONTEXT_SPECIFIC, tagNumber }, value: [value] });
}

function time(date: Date): BaseBlock {
  const wholeSeconds = new Date(Math.floor(date.getTime() / 1000) * 1000);
  return date.getUTCFullYear() < FIRST_GENERALIZED_YEAR
    ? new UTCTime({ valueDate: wholeSeconds })
    : new GeneralizedTime({ valueDate: wholeSeconds });
}

function owned(bytes: Uint8Array): ArrayBuffer {
  return Uint8Array.from(bytes).buffer;
}

function der(block: BaseBlock): Uint8Array {
  return new Uint8Array(block.toBER());
}
