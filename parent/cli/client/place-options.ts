/**
 * The `--context` and `--epoch` options: where in a quorum a request is carried out.
 */
import { Option } from '@commander-js/extra-typings';
import type { RequestId } from '../../../wire/ids.ts';

/** What commander makes of the options below. */
export interface PlaceOptions {
  readonly context?: string | undefined;
  readonly epoch?: string | undefined;
}

/** The fields of a request that name its place; absent ones mean the default context and epoch. */
export interface RequestPlace {
  readonly contextId?: { readonly requestId: RequestId };
  readonly epochId?: { readonly requestId: RequestId };
}

/** `--context`. */
export const contextOption = () =>
  new Option('--context <id>', "MPC context that is asked, of 'arca context list'; the default one if absent");
/** `--epoch`. */
export const epochOption = () =>
  new Option('--epoch <id>', "epoch of that context, of 'arca epoch list'; the default one if absent");
