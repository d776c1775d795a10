/**
 * What both decryptions need. Native functions come in as parameters, so that whoever composes an engine, or a
 * test, decides which they are.
 */
import type * as Native from '../../native/engine/index.ts';
import type { AuthorizationPolicy } from '../authorization.ts';
import type { AnswerSigner } from '../sign/answer-signer.ts';
import type { Catalogue } from '../vault/catalogue.ts';

/** See the file comment. */
export interface DecryptionDeps {
  readonly native: Pick<typeof Native, 'publicDecrypt' | 'publicDecryptSync' | 'userDecrypt' | 'userDecryptSync'>;
  readonly nodeKey: Native.NodeKey;
  readonly catalogue: Catalogue;
  readonly signer: AnswerSigner;
  readonly policy: AuthorizationPolicy;
  /** Signs empty extra data where a request carries the single byte 0, as 0.12 clients expect. */
  readonly treatV0ExtraDataAsEmpty: boolean;
}
