/**
 * Signs answers with the node's key: internal signature, EIP-712 signature, and the list of further schemes.
 *
 * What is signed is public. Every preimage is listed in docs/security/signatures.md; spec: kms-service.md section 4.
 */
import type { NodeKey } from '../../native/engine/index.ts';
import { SigningSchemeType } from '../../proto/gen/kms_pb.js';
import type { Keccak256 } from '../../wire/addresses.ts';
import type { SchemeSignature } from '../../wire/metadata.ts';
import { verificationKeyField } from '../../wire/payloads.ts';
import { type SignedTag, signedPreimage } from '../../wire/signed-payloads.ts';

/** All signatures over one answer. */
export interface AnswerSignatures {
  /** r ‖ s over SHA-256(tag ‖ body), 64 bytes. */
  readonly internal: Uint8Array;
  /** r ‖ s ‖ v over the EIP-712 digest, 65 bytes. */
  readonly external: Uint8Array;
  /** One entry for each scheme asked for, in that order. */
  readonly typed: SchemeSignature[];
}

/** Signs answers as one node. */
export class AnswerSigner {
  /** What stands in `verification_key` of payloads. */
  readonly verificationKey: Uint8Array;
  /** Native Keccak-256, for the digests to sign. */
  readonly keccak: Keccak256;
  readonly #key: NodeKey;

  constructor(key: NodeKey, keccak: Keccak256) {
    this.#key = key;
    this.keccak = keccak;
    this.verificationKey = verificationKeyField(key.publicKey);
  }

  /** Signs the answer of a decryption: its payload under `tag`, and the EIP-712 digest. */
  signPayload(
    tag: SignedTag,
    payload: Uint8Array,
    digest: Uint8Array,
    schemes: readonly SigningSchemeType[],
  ): AnswerSignatures {
    const tagged = signedPreimage(tag, payload);
    const external = this.#key.signDigest(digest);
    return { internal: this.#key.signSha256(tagged), external, typed: this.#typed(external, tagged, schemes) };
  }

  /** Signs the result of a generation: the EIP-712 digest, and the signed payload's body under `tag`. */
  signResult(
    tag: SignedTag,
    body: () => Uint8Array,
    digest: Uint8Array,
    schemes: readonly SigningSchemeType[],
  ): Omit<AnswerSignatures, 'internal'> {
    const external = this.#key.signDigest(digest);
    const tagged = schemes.length === 0 ? undefined : signedPreimage(tag, body());
    return { external, typed: tagged ? this.#typed(external, tagged, schemes) : [] };
  }

  #typed(external: Uint8Array, tagged: Uint8Array, schemes: readonly SigningSchemeType[]): SchemeSignature[] {
    return schemes.map((scheme) => ({
      scheme,
      // The entry of ECDSA is the EIP-712 signature itself.
      signature: scheme === SigningSchemeType.ECDSA256K1 ? external : this.#key.signScheme(scheme, tagged),
    }));
  }
}
