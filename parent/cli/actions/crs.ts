/**
 * What `arca crs generate` does.
 */
import { toHex } from '../../../common/bytes.ts';
import { readDomain, readHex } from '../client/domain.ts';
import { generateCrs, verifyCrsSignature } from '../client/keys.ts';
import { withNode } from '../client/session.ts';
import { fetchNodeAddress } from '../client/signer.ts';
import type { Output } from '../framework/output.ts';
import { chooseParams, type GenerateOptions } from './key.ts';

/** A reference string takes seconds with either parameters: nothing is said about time. */
const TEST_CRS_WARNING = "test parameters are NOT secure: for production parameters use '--params default'";
const EXPECTED_MS = { test: 1000, default: 10_000 } as const;

/** `arca crs generate`. */
export async function runGenerateCrs(
  options: GenerateOptions & { readonly maxBits?: number | undefined },
  output: Output,
): Promise<void> {
  const context = { domain: readDomain(options), extraData: readHex(options.extraData, '--extra-data') };
  await withNode(options, async (session) => {
    const params = chooseParams(session, options.params);
    if (params === 'test') output.warn(TEST_CRS_WARNING);
    const progress = output.progress(`generate a CRS (${params} parameters)`);
    progress.estimate(EXPECTED_MS[params]);
    try {
      const crs = await generateCrs(session, { params, maxNumBits: options.maxBits }, context);
      verifyCrsSignature(crs, await fetchNodeAddress(session.publicUrl), context);
      const ms = Math.round(progress.done());
      const { crsId, maxNumBits } = crs;
      const externalSignature = toHex(crs.externalSignature);
      output.result({ params, ms, crsId, maxNumBits, digest: toHex(crs.object.digest), externalSignature }, crsId);
    } catch (error) {
      progress.failed();
      throw error;
    }
  });
}
