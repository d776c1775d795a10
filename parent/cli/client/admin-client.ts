/**
 * The operator's service of a node, for commands: over the local admin socket of the node on `--dir`, or over TLS with
 * a client certificate that the node lists. Nobody else may administer a node.
 */
import type { QuorumState } from '../../../proto/gen/arca-admin_pb.js';
import type { AttestResult, GovernanceState, PeerState, VaultStatus } from '../../../proto/gen/engine_pb.js';
import { type KmsClient, openKmsClient } from '../../grpc/client.ts';
import { failure } from '../framework/failure.ts';
import { readClientTls } from './client-tls.ts';
import { explain, locateNode, type NodeSelection } from './session.ts';

/** An open connection; close it. Calls fail as those of a session do. */
export interface AdminClient {
  /** The connection itself, over which every RPC of the node may be called. */
  readonly client: KmsClient;
  /** What a call's failure names. */
  readonly address: string;
  getAttestation(nonce: Uint8Array): Promise<AttestResult>;
  getGovernance(): Promise<GovernanceState>;
  putGovernance(object: { readonly kind: string; readonly content: Uint8Array }): Promise<GovernanceState>;
  listPeers(): Promise<readonly PeerState[]>;
  /** Contexts, epochs and counters of a threshold node. @throws {@link KmsError} `UNIMPLEMENTED` on any other. */
  getQuorum(): Promise<QuorumState>;
  /** Manifest, keychain and start of the private vault. */
  getVault(): Promise<VaultStatus>;
  /** Hands over governance's word that the quorum goes on. */
  restartQuorum(restart: Uint8Array): Promise<void>;
  close(): void;
}

const TIMEOUT_MS = 30_000;

/**
 * Connects to the operator's service of the selected node.
 *
 * @throws {@link KmsError} `UNAVAILABLE` if no node runs there or it has no admin socket.
 */
export async function openAdminClient(selection: NodeSelection): Promise<AdminClient> {
  const { clientUrl, local } = await locateNode(selection);
  const address = selection.url === undefined ? socketOf(local?.adminSocket, selection.dir) : clientUrl;
  const client = openKmsClient(address, await readClientTls(selection));
  const options = { timeoutMs: TIMEOUT_MS };
  const named = async <T>(rpc: string, call: Promise<T>): Promise<T> => {
    try {
      return await call;
    } catch (error) {
      throw explain(error, rpc, { clientUrl: address });
    }
  };
  return {
    client,
    address,
    getAttestation: (nonce) => named('GetAttestation', client.admin('GetAttestation', { nonce }, options)),
    getGovernance: () => named('GetGovernance', client.admin('GetGovernance', {}, options)),
    putGovernance: (object) => named('PutGovernance', client.admin('PutGovernance', object, options)),
    getQuorum: () => named('GetQuorum', client.admin('GetQuorum', {}, options)),
    listPeers: async () => (await named('ListPeers', client.admin('ListPeers', {}, options))).peers,
    getVault: () => named('GetVault', client.admin('GetVault', {}, options)),
    restartQuorum: async (restart) => {
      await named('RestartQuorum', client.admin('RestartQuorum', { restart }, options));
    },
    close: () => client.close(),
  };
}

function socketOf(path: string | undefined, dir: string): string {
  if (path !== undefined) return `unix:${path}`;
  throw failure(
    'UNAVAILABLE',
    `the node on ${dir} has no admin socket`,
    'set service.admin_socket_path in its configuration, or use --url with --client-cert and --client-key',
  );
}

/** Runs `body` with an admin connection to the selected node, and closes it. */
export async function withAdmin<T>(selection: NodeSelection, body: (admin: AdminClient) => Promise<T>): Promise<T> {
  const admin = await openAdminClient(selection);
  try {
    return await body(admin);
  } finally {
    admin.close();
  }
}
