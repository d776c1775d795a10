/**
 * Signs answers with the node's key: internal signature, EIP-712 signature, and the list of further schemes.
 *
 * What is signed is public. Every preimage is listed in docs/security/signatures.md; spec: kms-service.md section 4.
 */
import { availableParallelism } from 'node:os';
import { AnswerBatches, type AnswerToSign, type NodeKey, type SignedAnswer } from '../../native/engine/index.ts';
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
  readonly #sign: (answer: AnswerToSign) => SignedAnswer | Promise<SignedAnswer>;

  /** @param batches - Signs together the answers that are ready at the same time; without them each by itself, at once. */
  constructor(key: NodeKey, keccak: Keccak256, batches?: AnswerBatches) {
    this.#key = key;
    this.#sign = batches ? (answer) => batches.sign(answer) : (answer) => key.signAnswer(answer);
    this.keccak = keccak;
    this.verificationKey = verificationKeyField(key.publicKey);
  }

  /**
   * The same signer, but that answers which are ready at the same time are signed together, off the event loop. With one
   * processor that would only cost, and it is this signer.
   */
  inBatches(): AnswerSigner {
    if (availableParallelism() === 1) return this;
    return new AnswerSigner(this.#key, this.keccak, new AnswerBatches(this.#key));
  }

  /** Signs the answer of a decryption: its payload under `tag`, and the EIP-712 digest. */
  async signPayload(
    tag: SignedTag,
    payload: Uint8Array,
    digest: Uint8Array,
    schemes: readonly SigningSchemeType[],
  ): Promise<AnswerSignatures> {
    const tagged = signedPreimage(tag, payload);
    const { internal, external } = await this.#sign({ digest, tagged });
    return { internal, external, typed: this.#typed(external, tagged, schemes) };
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
