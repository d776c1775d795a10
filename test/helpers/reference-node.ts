/**
 * A centralized node's signing side in plain TypeScript over noble curves: the twin that the engine's native code is
 * compared with, and the signer of interop tests. For tests only: slow, and its keys are no secrets.
 */
import { createCipheriv, createHash, createPublicKey, encapsulate, randomBytes } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import {
  type PublicDecryptionResponse,
  PublicDecryptionResponseSchema,
  type UserDecryptionResponse,
  UserDecryptionResponseSchema,
} from '../../proto/gen/kms_pb.js';
import { abiEncodePlaintexts } from '../../wire/abi-plaintexts.ts';
import { addressOfPublicKey, formatAddress } from '../../wire/addresses.ts';
import { BincodeWriter } from '../../wire/bincode.ts';
import { publicDecryptDigest, userDecryptionLink, userDecryptResponseDigest } from '../../wire/eip712.ts';
import { parseEncKey } from '../../wire/enc-key.ts';
import { HASH_TAG } from '../../wire/hash.ts';
import {
  encodePublicDecryptionPayload,
  encodeUserDecryptionPayload,
  type TypedPlaintextData,
  type UserDecryptionPayload,
  verificationKeyField,
} from '../../wire/payloads.ts';
import { encodeSigncryptionMessage, signcryptionSignedBody, verificationKeyDigest } from '../../wire/signcryption.ts';
import { type SignedTag, signedPreimage } from '../../wire/signed-payloads.ts';
import type { PublicDecryption, UserDecryption } from '../../wire/validate/decryption.ts';

/** The key K0 of the golden vectors: bytes 1 to 32. */
export const K0: Uint8Array = Uint8Array.from({ length: 32 }, (_, i) => i + 1);

/** A node's identity and what it signs. */
export interface ReferenceNode {
  /** Compressed. */
  readonly publicKey: Uint8Array;
  readonly publicKeyUncompressed: Uint8Array;
  readonly address: Uint8Array;
  readonly addressText: string;
  /** r ‖ s ‖ v over an EIP-712 digest. */
  signDigest(digest: Uint8Array): Uint8Array;
  /** r ‖ s over SHA-256(tag ‖ body). */
  signInternal(tag: SignedTag, body: Uint8Array): Uint8Array;
  /** DER over SHA-256(data), for certificates. */
  signDer(data: Uint8Array): Uint8Array;
  signcrypt(
    plaintext: TypedPlaintextData,
    to: Pick<UserDecryption, 'encKey' | 'clientAddress'>,
    link: Uint8Array,
  ): Uint8Array;
  answerPublic(request: PublicDecryption, plaintexts: readonly TypedPlaintextData[]): PublicDecryptionResponse;
  /** The payload that {@link answerUser} signs; change it to make a lying node. */
  userPayload(request: UserDecryption, plaintexts: readonly TypedPlaintextData[]): UserDecryptionPayload;
  answerUser(request: UserDecryption, payload: UserDecryptionPayload): UserDecryptionResponse;
}

/** Makes a node of a 32-byte secret; K0 unless given. */
export function createReferenceNode(secret: Uint8Array = K0): ReferenceNode {
  const publicKey = secp256k1.getPublicKey(secret, true);
  const publicKeyUncompressed = secp256k1.getPublicKey(secret, false);
  const address = addressOfPublicKey(publicKeyUncompressed);
  const verificationKey = verificationKeyField(publicKey);

  const signDigest = (digest: Uint8Array): Uint8Array => {
    // noble puts the recovery bit first
    const signed = secp256k1.sign(digest, secret, { prehash: false, lowS: true, format: 'recovered' });
    return Uint8Array.of(...signed.subarray(1), 27 + (signed[0] ?? 0));
  };
  const sha256Signature = (data: Uint8Array, format: 'compact' | 'der'): Uint8Array => {
    const digest = createHash('sha256').update(data).digest();
    return secp256k1.sign(digest, secret, { prehash: false, lowS: true, format });
  };
  const signInternal = (tag: SignedTag, body: Uint8Array): Uint8Array =>
    sha256Signature(signedPreimage(tag, body), 'compact');

  const signcrypt: ReferenceNode['signcrypt'] = (plaintext, { encKey, clientAddress }, link) => {
    const ek = parseEncKey(encKey);
    const message = encodeSigncryptionMessage(plaintext, link);
    const signature = signInternal(HASH_TAG.userDecryption, signcryptionSignedBody(message, clientAddress, ek));
    return hybridEncrypt(ek, Buffer.concat([message, signature, verificationKeyDigest(publicKey)]));
  };

  return {
    publicKey,
    publicKeyUncompressed,
    address,
    addressText: formatAddress(address),
    signDigest,
    signInternal,
    signDer: (data) => sha256Signature(data, 'der'),
    signcrypt,
    answerPublic({ domain, items, extraData, requestId }, plaintexts) {
      const payload = encodePublicDecryptionPayload({ verificationKey, plaintexts, requestId });
      const digest = publicDecryptDigest({
        domain,
        ctHandles: items.map((item) => item.externalHandle),
        decryptedResult: abiEncodePlaintexts(plaintexts),
        extraData,
      });
      return create(PublicDecryptionResponseSchema, {
        signature: signInternal(HASH_TAG.publicDecryption, payload),
        externalSignature: signDigest(digest),
        payload: { verificationKey, plaintexts: [...plaintexts], requestId: { requestId } },
        extraData,
      });
    },
    userPayload(request, plaintexts) {
      const { domain, items, encKey, clientAddress } = request;
      const handles = items.map((item) => item.externalHandle);
      const link = userDecryptionLink({ domain, publicKey: encKey, handles, userAddress: clientAddress });
      const signcryptedCiphertexts = plaintexts.map((plaintext, i) => ({
        fheType: plaintext.fheType,
        signcryptedCiphertext: signcrypt(plaintext, request, link),
        externalHandle: handles[i] ?? new Uint8Array(0),
        packingFactor: 1,
      }));
      return { verificationKey, digest: link, signcryptedCiphertexts, partyId: 1, degree: 0 };
    },
    answerUser({ domain, items, encKey, extraData }, payload) {
      const encoded = encodeUserDecryptionPayload(payload);
      const digest = userDecryptResponseDigest({
        domain,
        publicKey: encKey,
        ctHandles: items.map((item) => item.externalHandle),
        userDecryptedShare: encoded,
        extraData,
      });
      return create(UserDecryptionResponseSchema, {
        signature: signInternal(HASH_TAG.userDecryption, encoded),
        externalSignature: signDigest(digest),
        payload: { ...payload, signcryptedCiphertexts: [...payload.signcryptedCiphertexts] },
        extraData,
      });
    },
  };
}

function hybridEncrypt(ek: Uint8Array, inner: Uint8Array): Uint8Array {
  const key = createPublicKey({ key: Buffer.from(ek), format: 'raw-public', asymmetricKeyType: 'ml-kem-512' });
  const { sharedKey, ciphertext } = encapsulate(key);
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', sharedKey, nonce);
  const sealed = Buffer.concat([cipher.update(inner), cipher.final(), cipher.getAuthTag()]);
  return new BincodeWriter().raw(nonce).vec(ciphertext).vec(sealed).finish();
}
