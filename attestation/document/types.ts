/** What verifying a document takes and tells: trust anchors, platforms, the checks of an explanation. */

/** A document: the COSE_Sign1 bytes, or those as hex or base64 text. */
export type DocumentInput = Uint8Array | string;

/** A root that documents may chain to: its name for people and its DER. */
export interface TrustAnchor {
  readonly name: string;
  readonly certificate: Uint8Array;
}

/** Which device signed: an enclave's (`pcrs`) or an EC2 instance's TPM (`nitrotpm_pcrs`). */
export type Platform = 'enclave' | 'nitro-tpm';
