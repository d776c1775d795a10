/**
 * What `arca key` and `arca crs` do on the folder of a quorum.
 */
import { toHex } from '../../../common/bytes.ts';
import type { JournalEntry } from '../client/journal.ts';
import { keyFactsJson, type RequestContext } from '../client/keys.ts';
import { withQuorumAt } from '../client/place.ts';
import {
  chooseQuorumKey,
  generateQuorumCrs,
  generateQuorumKey,
  getQuorumKey,
  listQuorumItems,
} from '../client/quorum-keys.ts';
import { type QuorumSession, withQuorum } from '../client/quorum-session.ts';
import type { NodeSelection } from '../client/session.ts';
import type { Output } from '../framework/output.ts';
import { TEST_PARAMS_WARNING } from '../supervise/banner.ts';
import type { Params } from '../supervise/run-node.ts';
import { EXPECTED_CRS_MS, EXPECTED_KEYGEN_MS, type GenerateOptions, TEST_CRS_WARNING } from './generation.ts';

/** `arca key generate` at a quorum. */
export async function runQuorumGenerate(
  options: GenerateOptions,
  context: RequestContext,
  output: Output,
): Promise<void> {
  await withQuorumAt(options, context.place, async (quorum) => {
    const params = paramsOf(quorum, options.params);
    if (params === 'test') output.warn(TEST_PARAMS_WARNING);
    const progress = output.progress(`generate a key at ${quorum.parties} parties (${params} parameters)`);
    progress.estimate(quorum.parties * EXPECTED_KEYGEN_MS[params]);
    try {
      const { facts, parties } = await generateQuorumKey(quorum, params, context);
      const ms = Math.round(progress.done());
      output.result({ params, ms, ...keyFactsJson(facts), parties }, facts.keyId);
    } catch (error) {
      progress.failed();
      throw error;
    }
  });
}

/** `arca crs generate` at a quorum. */
export async function runQuorumGenerateCrs(
  options: GenerateOptions & { readonly maxBits?: number | undefined },
  context: RequestContext,
  output: Output,
): Promise<void> {
  await withQuorumAt(options, context.place, async (quorum) => {
    const params = paramsOf(quorum, options.params);
    if (params === 'test') output.warn(TEST_CRS_WARNING);
    const progress = output.progress(`generate a CRS at ${quorum.parties} parties (${params} parameters)`);
    progress.estimate(quorum.parties * EXPECTED_CRS_MS[params]);
    try {
      const { facts, parties } = await generateQuorumCrs(quorum, { params, maxNumBits: options.maxBits }, context);
      const ms = Math.round(progress.done());
      const { crsId, maxNumBits, object } = facts;
      const externalSignature = toHex(facts.externalSignature);
      output.result({ params, ms, crsId, maxNumBits, digest: toHex(object.digest), externalSignature, parties }, crsId);
    } catch (error) {
      progress.failed();
      throw error;
    }
  });
}

/** `arca key list` and `arca crs list` at a quorum. */
export async function runQuorumList(
  selection: NodeSelection,
  kind: JournalEntry['kind'],
  output: Output,
): Promise<void> {
  await withQuorum(selection, async (quorum) => {
    const items = await listQuorumItems(quorum, kind);
    const lines = items.map(({ id, params, createdAt = '', parties }) => {
      const who =
        parties.length === quorum.parties ? 'all parties' : `parties ${parties.join(', ')} of ${quorum.parties}`;
      return `${id}  ${params.padEnd(7)}  ${who}  ${createdAt}`.trimEnd();
    });
    const none = `none; make one with 'arca ${kind} generate'`;
    output.result({ [kind === 'key' ? 'keys' : 'crs']: items }, lines.length > 0 ? lines.join('\n') : none);
  });
}

/** `arca key show` at a quorum. */
export async function runQuorumShow(id: string | undefined, selection: NodeSelection, output: Output): Promise<void> {
  await withQuorum(selection, async (quorum) => {
    const keyId = await chooseQuorumKey(quorum, id);
    const { facts, session, parties } = await getQuorumKey(quorum, keyId, undefined);
    const items = await listQuorumItems(quorum, 'key');
    const params = items.find((item) => item.id === keyId)?.params ?? 'unknown';
    const urls = facts.objects.map(({ type }) => `${session.publicUrl}/${type}/${keyId}`);
    const text = [
      `key            ${keyId}`,
      `preprocessing  ${facts.preprocessingId}`,
      `parameters     ${params}${params === 'test' ? ' (NOT secure)' : ''}`,
      `said by        parties ${parties.join(', ')} of ${quorum.parties}`,
      ...facts.objects.map(({ type, digest }) => `${type.padEnd(20)} ${toHex(digest)}`),
      ...urls,
    ];
    output.result({ params, ...keyFactsJson(facts), parties, urls }, text.join('\n'));
  });
}

/** The parameters asked for, else those that the quorum was started for. */
function paramsOf({ running }: QuorumSession, asked: Params | undefined): Params {
  return asked ?? running[0]?.local.params ?? 'default';
}
