/**
 * What a threshold node of this release generates: keys and CRSs of the insecure form alone. Spec: kms-service 1.6.
 */
import { KmsError } from '../../../common/errors.ts';
import type { RequestEntry } from '../store/request-store.ts';
import type { RpcDeps } from './deps.ts';

/**
 * Refuses what needs distributed generation.
 *
 * @throws KmsError `UNIMPLEMENTED` for the secure form on a threshold node.
 */
export function requireGeneration({ threshold }: Pick<RpcDeps, 'threshold'>, insecure: boolean): void {
  if (!threshold || insecure) return;
  const cure = 'in developer mode use the insecure form';
  throw new KmsError('UNIMPLEMENTED', `distributed generation is not part of this release; ${cure}`);
}

/**
 * Refuses a preprocessing of the other form, which a centralized node lets pass, as published.
 *
 * @throws KmsError `PRECONDITION_FAILED`.
 */
export function requireSameForm(
  { threshold }: Pick<RpcDeps, 'threshold'>,
  preproc: RequestEntry | undefined,
  insecure: boolean,
): void {
  if (!threshold || !preproc || preproc.insecure === insecure) return;
  const form = preproc.insecure ? 'insecure' : 'secure';
  throw new KmsError('PRECONDITION_FAILED', `this preprocessing is ${form}`, { preprocId: preproc.id });
}
