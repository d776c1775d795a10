/**
 * What operators should know of the vaults of a node that serves: a backup that is behind, a root key that does not answer.
 * Asked of the engine when somebody looks; an engine that is away says nothing.
 */
import { fromBinary } from '@bufbuild/protobuf';
import { type BackupStatus, EngineStatusSchema, VaultStatusSchema } from '../../proto/gen/engine_pb.js';
import { ENGINE_METHOD } from '../../wire/frames.ts';
import { type AskedEngine, askStatus } from './metrics/engine-gauges.ts';

/** Returns what reads the notes. */
export function vaultNotes(engine: AskedEngine): () => Promise<readonly string[]> {
  return async () => {
    const [status, vault] = await Promise.all([
      askStatus(engine, ENGINE_METHOD.status),
      askStatus(engine, ENGINE_METHOD.vaultStatus),
    ]);
    const backup = status && fromBinary(EngineStatusSchema, status).backup;
    const trouble = vault && fromBinary(VaultStatusSchema, vault).keyTrouble;
    return [...(trouble ? [`root key: ${trouble}`] : []), ...(backup ? backupNotes(backup) : [])];
  };
}

function backupNotes({ behind, behindMs, failureCode, failure, uncompared }: BackupStatus): readonly string[] {
  const unsure = uncompared === '' ? [] : [`private vault: not known to be the newest: ${uncompared}`];
  if (behind === 0n && failureCode === '') return unsure;
  const lag = `backup: ${behind} objects behind, for ${Math.round(Number(behindMs) / 1000)} s`;
  return [...unsure, failureCode === '' ? lag : `${lag}; the last attempt failed: ${failure} (${failureCode})`];
}
