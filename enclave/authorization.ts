/**
 * Who may have a decryption: the policy in force, asked before any key is touched.
 *
 * Every call carries a field `evidence`, reserved for coprocessor signatures, the user's signature and chain proofs.
 * The one policy of this release trusts the operator, as the published system does; its name is shown by the banner
 * and by `arca status`, so that nobody takes it for more.
 */

/** What a caller asks for. */
export type Operation = 'public-decryption' | 'user-decryption' | 'preprocessing' | 'key-generation' | 'crs-generation';

/** Decides whether a request may run. */
export interface AuthorizationPolicy {
  /** Stable name, shown to operators. */
  readonly name: string;
  /**
   * Returns if the request may run.
   *
   * @param request - The request's own bytes, which the evidence must be about.
   * @param evidence - Untrusted bytes that came with the call.
   * @throws KmsError `PERMISSION_DENIED` if it may not.
   */
  authorize(operation: Operation, request: Uint8Array, evidence: Uint8Array): void;
}

/** Runs whatever the operator's Core asks for; evidence is accepted and decides nothing. */
export const operatorTrusted: AuthorizationPolicy = {
  name: 'operator-trusted',
  authorize: () => undefined,
};
