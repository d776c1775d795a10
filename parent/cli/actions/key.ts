/**
 * What `arca key` and the lists of `arca crs` do.
 */
import { toHex } from '../../../common/bytes.ts';
import type { JournalEntry } from '../client/journal.ts';
import { chooseKey, generateKey, getKey, keyFactsJson, listItems, verifyKeySignature } from '../client/keys.ts';
import { selectsQuorum } from '../client/quorum-session.ts';
import { readContext } from '../client/request-context.ts';
import { type NodeSelection, refuseParty, type Session, withNode } from '../client/session.ts';
import { fetchNodeAddress } from '../client/signer.ts';
import type { Output } from '../framework/output.ts';
import { TEST_PARAMS_WARNING } from '../supervise/banner.ts';
import type { Params } from '../supervise/run-node.ts';
import { EXPECTED_KEYGEN_MS, type GenerateOptions } from './generation.ts';
import { runQuorumGenerate, runQuorumList, runQuorumShow } from './key-quorum.ts';

/** Returns the parameters to generate with: those asked for, else those that the node was started for. */
export function chooseParams(session: Pick<Session, 'local'>, asked: Params | undefined): Params {
  return asked ?? session.local?.params ?? 'default';
}

/** `arca key generate`. */
export async function runGenerate(options: GenerateOptions, output: Output): Promise<void> {
  const context = readContext(options);
  if (await selectsQuorum(options)) {
    await runQuorumGenerate(options, context, output);
    return;
  }
  await refuseParty(options, 'a key');
  await withNode(options, async (session) => {
    const params = chooseParams(session, options.params);
    if (params === 'test') output.warn(TEST_PARAMS_WARNING);
    const progress = output.progress(`generate a key (${params} parameters)`);
    progress.estimate(EXPECTED_KEYGEN_MS[params]);
    try {
      const key = await generateKey(session, params, context);
      verifyKeySignature(key, await fetchNodeAddress(session.publicUrl), context);
      const ms = progress.done();
      output.result({ params, ms: Math.round(ms), ...keyFactsJson(key) }, key.keyId);
    } catch (error) {
      progress.failed();
      throw error;
    }
  });
}

/** `arca key list` and `arca crs list`. */
export async function runList(selection: NodeSelection, kind: JournalEntry['kind'], output: Output): Promise<void> {
  if (await selectsQuorum(selection)) {
    await runQuorumList(selection, kind, output);
    return;
  }
  await withNode(selection, async (session) => {
    const items = await listItems(session, kind);
    const lines = items.map(({ id, params, createdAt = '' }) => `${id}  ${params.padEnd(7)}  ${createdAt}`.trimEnd());
    const what = kind === 'key' ? 'keys' : 'crs';
    output.result(
      { [what]: items },
      lines.length > 0 ? lines.join('\n') : `none; make one with 'arca ${kind} generate'`,
    );
  });
}

/** `arca key show`. */
export async function runShow(id: string | undefined, selection: NodeSelection, output: Output): Promise<void> {
  if (await selectsQuorum(selection)) {
    await runQuorumShow(id, selection, output);
    return;
  }
  await withNode(selection, async (session) => {
    const key = await getKey(session, await chooseKey(session, id));
    const items = await listItems(session, 'key');
    const params = items.find((item) => item.id === key.keyId)?.params ?? 'unknown';
    const urls = key.objects.map(({ type }) => `${session.publicUrl}/${type}/${key.keyId}`);
    const text = [
      `key            ${key.keyId}`,
      `preprocessing  ${key.preprocessingId}`,
      `parameters     ${params}${params === 'test' ? ' (NOT secure)' : ''}`,
      ...key.objects.map(({ type, digest }) => `${type.padEnd(20)} ${toHex(digest)}`),
      `signature      ${toHex(key.externalSignature)}`,
      ...urls,
    ];
    output.result({ params, ...keyFactsJson(key), urls }, text.join('\n'));
  });
}
