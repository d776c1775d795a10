/**
 * What `arca status` does.
 */
import { NodeType } from '../../../proto/gen/kms_pb.js';
import { MetaStoreType } from '../../../proto/gen/metastore-status_pb.js';
import { listItems } from '../client/keys.ts';
import { selectsQuorum } from '../client/quorum-session.ts';
import { type NodeSelection, withNode } from '../client/session.ts';
import { fetchNodeAddress } from '../client/signer.ts';
import { EXIT } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import type { NodeFile } from '../supervise/node-file.ts';
import { runQuorumStatus } from './status-quorum.ts';

const SERVING = 1;

/** `arca status`. */
export async function runStatus(selection: NodeSelection, output: Output): Promise<void> {
  if (await selectsQuorum(selection)) {
    await runQuorumStatus(selection, output);
    return;
  }
  await withNode(selection, async (session) => {
    const { local, client } = session;
    const health = await session.call('GetHealthStatus', {});
    const [serving, stores, keys, crs, address] = await Promise.all([
      client.health(),
      client.metaStore('GetMetaStoreInfo', {}),
      listItems(session, 'key'),
      listItems(session, 'crs'),
      fetchNodeAddress(session.publicUrl),
    ]);
    const requests = stores.metaStores.map(({ type, currentCount, capacity }) => ({
      kind: MetaStoreType[type] ?? String(type),
      count: currentCount,
      capacity,
    }));
    // A node serves while core and engine accept each other: nothing else is attested at this moment.
    const isServing = Number(serving) === SERVING;
    const value = {
      healthy: isServing,
      address,
      nodeType: NodeType[health.nodeType],
      storageInfo: health.myStorageInfo,
      clientUrl: session.clientUrl,
      publicUrl: session.publicUrl,
      ...(local === undefined ? {} : { ...local, attested: isServing, dir: session.dir }),
      keys,
      crs,
      requests,
    };
    const lines = [
      ...(local?.party === undefined ? [] : [`party          ${local.party} of a quorum`]),
      `node           ${address}${local === undefined ? '' : ` (arca ${local.version})`}`,
      `health         ${value.healthy ? 'serving' : 'NOT serving'}`,
      `mode           ${modeOf(local?.developerMode)}`,
      `attested       ${attestedOf(local, isServing)}`,
      `policy         ${local?.authorizationPolicy ?? 'unknown (ask on the node itself)'}`,
      `clients        ${session.clientUrl}`,
      `public         ${session.publicUrl}`,
      ...(local === undefined ? [] : [`state          ${session.dir} (process ${local.pid})`]),
      ...keys.map(({ id, params }) => `key            ${id} ${params}${params === 'test' ? ' (NOT secure)' : ''}`),
      ...crs.map(({ id, params }) => `CRS            ${id} ${params}`),
      ...requests.map(
        ({ kind, count, capacity }) => `requests       ${kind}: ${count}${capacity < 0 ? '' : ` of ${capacity}`}`,
      ),
    ];
    output.result(value, lines.join('\n'));
    // Scripts ask by exit code, as they do of other daemons.
    if (!value.healthy) process.exitCode = EXIT.failed;
  });
}

function attestedOf(local: NodeFile | undefined, isServing: boolean): string {
  if (local === undefined) return "unknown (ask 'arca attest verify')";
  const what = `network ${local.network}, release ${local.release}`;
  return isServing ? `yes: ${what}` : `not now (see 'arca peers'): ${what}`;
}

function modeOf(developerMode: boolean | undefined): string {
  if (developerMode === undefined) return 'unknown (ask on the node itself)';
  return developerMode ? 'developer: a root of this machine, no real data' : 'production';
}
