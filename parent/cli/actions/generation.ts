/**
 * What the generations of keys and CRSs have in common, at one node and at a quorum.
 */
import type { DomainOptions } from '../client/domain-options.ts';
import type { PlaceOptions } from '../client/place-options.ts';
import type { NodeSelection } from '../client/session.ts';
import type { Params } from '../supervise/run-node.ts';

/** Options of a generation. */
export interface GenerateOptions extends NodeSelection, DomainOptions, PlaceOptions {
  readonly params?: Params | undefined;
  readonly extraData: string;
}

/** How long a key takes on two cores, for the estimate shown while it is made. */
export const EXPECTED_KEYGEN_MS: Readonly<Record<Params, number>> = { test: 2000, default: 60_000 };

/** The same of a CRS. */
export const EXPECTED_CRS_MS: Readonly<Record<Params, number>> = { test: 1000, default: 10_000 };

/** A reference string takes seconds with either parameters: nothing is said about time. */
export const TEST_CRS_WARNING = "test parameters are NOT secure: for production parameters use '--params default'";
