/**
 * What `arca crs generate` does.
 */
import { toHex } from '../../../common/bytes.ts';
import { generateCrs, verifyCrsSignature } from '../client/keys.ts';
import { selectsQuorum } from '../client/quorum-session.ts';
import { readContext } from '../client/request-context.ts';
import { refuseParty, withNode } from '../client/session.ts';
import { fetchNodeAddress } from '../client/signer.ts';
import type { Output } from '../framework/output.ts';
import { EXPECTED_CRS_MS, type GenerateOptions, TEST_CRS_WARNING } from './generation.ts';
import { chooseParams } from './key.ts';
import { runQuorumGenerateCrs } from './key-quorum.ts';

/** `arca crs generate`. */
export async function runGenerateCrs(
  options: GenerateOptions & { readonly maxBits?: number | undefined },
  output: Output,
): Promise<void> {
  const context = readContext(options);
  if (await selectsQuorum(options)) {
    await runQuorumGenerateCrs(options, context, output);
    return;
  }
  await refuseParty(options, 'a CRS');
  await withNode(options, async (session) => {
    const params = chooseParams(session, options.params);
    if (params === 'test') output.warn(TEST_CRS_WARNING);
    const progress = output.progress(`generate a CRS (${params} parameters)`);
    progress.estimate(EXPECTED_CRS_MS[params]);
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
