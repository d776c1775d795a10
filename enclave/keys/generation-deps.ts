/**
 * What the generations of a threshold node need, and the rule that they share.
 *
 * Keys and CRSs of a quorum are dealt from a common coin, which every party knows: developer mode only. Distributed
 * generation, where nobody knows the whole, is not part of this release.
 */
import type { Clock } from '../../common/clock.ts';
import { KmsError } from '../../common/errors.ts';
import type * as Native from '../../native/engine/index.ts';
import type { FheParams } from '../../wire/validate/common.ts';
import type { AuthorizationPolicy } from '../authorization.ts';
import type { Contexts } from '../contexts/contexts.ts';
import { requireAllowed } from '../fhe/generation-deps.ts';
import type { GenerationQueue } from '../fhe/generation-queue.ts';
import type { Durations } from '../fhe/progress.ts';
import type { AnswerSigner } from '../sign/answer-signer.ts';
import type { ShareCatalogue } from './share-catalogue.ts';

/** See the file comment. */
export interface ThresholdGenerationDeps {
  readonly native: Pick<typeof Native, 'dealKeySet' | 'generateCrs'>;
  readonly catalogue: ShareCatalogue;
  readonly contexts: Pick<Contexts, 'epoch' | 'joint'>;
  readonly signer: AnswerSigner;
  readonly policy: AuthorizationPolicy;
  readonly queue: GenerationQueue;
  readonly durations: Durations;
  readonly clock: Clock;
  /** Whether calls marked insecure are served. */
  readonly insecureOperations: boolean;
  /** Whether keys and CRSs with test parameters may be made. */
  readonly testParameters: boolean;
}

/**
 * Checks that a generation is one that this process does.
 *
 * @throws KmsError `UNIMPLEMENTED` for the secure form, and for the insecure one outside of developer mode;
 *   `PRECONDITION_FAILED` for test parameters there.
 */
export function requireDealt(
  deps: Pick<ThresholdGenerationDeps, 'insecureOperations' | 'testParameters'>,
  asked: { readonly insecure: boolean; readonly params: FheParams },
): void {
  if (!asked.insecure) throw notDistributed();
  requireAllowed(deps, asked);
}

/** The answer to what needs distributed generation. */
export function notDistributed(): KmsError {
  return new KmsError(
    'UNIMPLEMENTED',
    'distributed generation is not part of this release; in developer mode use the insecure form',
  );
}
