/**
 * What preprocessing and both generations need, and the rules that they share.
 */
import type { Clock } from '../../common/clock.ts';
import { KmsError } from '../../common/errors.ts';
import type * as Native from '../../native/engine/index.ts';
import type { FheParams } from '../../wire/validate/common.ts';
import type { AuthorizationPolicy } from '../authorization.ts';
import type { AnswerSigner } from '../sign/answer-signer.ts';
import type { Catalogue } from '../vault/catalogue.ts';
import type { GenerationQueue } from './generation-queue.ts';
import type { Durations } from './progress.ts';

/** See the file comment. */
export interface GenerationDeps {
  readonly native: Pick<typeof Native, 'generateKeySet' | 'generateDecompressionKey' | 'generateCrs'>;
  readonly catalogue: Catalogue;
  readonly signer: AnswerSigner;
  readonly policy: AuthorizationPolicy;
  readonly queue: GenerationQueue;
  readonly durations: Durations;
  readonly clock: Clock;
  /** What keys made here say about where they come from. */
  readonly provenance: Native.Provenance;
  /** Whether calls marked insecure are served. */
  readonly insecureOperations: boolean;
  /** Whether keys and CRSs with test parameters may be made. */
  readonly testParameters: boolean;
}

/**
 * Checks what only this process's mode allows.
 *
 * @throws KmsError `UNIMPLEMENTED` for insecure calls, `PRECONDITION_FAILED` for test parameters.
 */
export function requireAllowed(
  deps: Pick<GenerationDeps, 'insecureOperations' | 'testParameters'>,
  { insecure, params }: { readonly insecure: boolean; readonly params: FheParams },
): void {
  if (insecure && !deps.insecureOperations) {
    throw new KmsError('UNIMPLEMENTED', 'insecure operations exist in developer mode only');
  }
  if (params === 'test' && !deps.testParameters) {
    throw new KmsError('PRECONDITION_FAILED', 'test parameters are not secure: developer mode only');
  }
}
