/** Asks a node about its custodian contexts and its recovery, over one connection of its operator. */
import type { CustodianContexts, RecoveryDocument } from '../../../proto/gen/engine_pb.js';
import type { KmsRequest, KmsResponse, KmsRpcName } from '../../grpc/client.ts';
import { withAdmin } from '../client/admin-client.ts';
import { explain, type NodeSelection } from '../client/session.ts';

/** What may be asked. */
export interface CustodianAdmin {
  call<N extends KmsRpcName>(rpc: N, request: KmsRequest<N>): Promise<KmsResponse<N>>;
  contexts(): Promise<CustodianContexts>;
  document(challenge: Uint8Array): Promise<RecoveryDocument>;
}

const SHORT_MS = 30_000;
/** A new context copies the whole vault once more; a recovery brings it back. */
const LONG_MS = 30 * 60_000;

/** Runs `body` with a connection to the selected node. Failures name call and node. */
export async function withCustodians<T>(
  selection: NodeSelection,
  body: (admin: CustodianAdmin) => Promise<T>,
): Promise<T> {
  return await withAdmin(selection, async ({ client, address }) => {
    const named = async <A>(rpc: string, call: Promise<A>): Promise<A> => {
      try {
        return await call;
      } catch (error) {
        throw explain(error, rpc, { clientUrl: address });
      }
    };
    const short = { timeoutMs: SHORT_MS };
    return await body({
      call: (rpc, request) => named(rpc, client.call(rpc, request, { timeoutMs: LONG_MS })),
      contexts: () => named('ListCustodianContexts', client.admin('ListCustodianContexts', {}, short)),
      document: (challenge) => named('GetRecoveryDocument', client.admin('GetRecoveryDocument', { challenge }, short)),
    });
  });
}
