/** Asks a node about its backup, over the operator's service; a check of everything may take as long as its storage. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type {
  BackupDrill,
  BackupReport,
  BackupState,
  DrillCallSchema,
  RestoreCallSchema,
  RestoreReport,
} from '../../../proto/gen/engine_pb.js';
import { withAdmin } from '../client/admin-client.ts';
import { explain, type NodeSelection } from '../client/session.ts';

/** What may be asked. */
export interface BackupAdmin {
  state(): Promise<BackupState>;
  verify(): Promise<BackupReport>;
  drill(call: MessageInitShape<typeof DrillCallSchema>): Promise<BackupDrill>;
  restore(call: MessageInitShape<typeof RestoreCallSchema>): Promise<RestoreReport>;
}

const SHORT_MS = 30_000;
const LONG_MS = 30 * 60_000;

/** Runs `body` with a connection to the selected node. Failures name call and node. */
export async function withBackup<T>(selection: NodeSelection, body: (admin: BackupAdmin) => Promise<T>): Promise<T> {
  return await withAdmin(selection, async ({ client, address }) => {
    const named = async <A>(rpc: string, call: Promise<A>): Promise<A> => {
      try {
        return await call;
      } catch (error) {
        throw explain(error, rpc, { clientUrl: address });
      }
    };
    const [short, long] = [{ timeoutMs: SHORT_MS }, { timeoutMs: LONG_MS }];
    return await body({
      state: () => named('GetBackup', client.admin('GetBackup', {}, short)),
      verify: () => named('VerifyBackup', client.admin('VerifyBackup', {}, long)),
      drill: (call) => named('DrillBackup', client.admin('DrillBackup', call, long)),
      restore: (call) => named('RestoreBackup', client.admin('RestoreBackup', call, long)),
    });
  });
}
