/**
 * A command's connection to a node: where it is, its gRPC client, and failures that name their cure.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type ErrorCode, isErrorCode, isKmsError } from '../../../common/errors.ts';
import {
  type KmsClient,
  type KmsRequest,
  type KmsResponse,
  type KmsRpcName,
  openKmsClient,
} from '../../grpc/client.ts';
import { GrpcError, STATUS } from '../../grpc/status.ts';
import { absoluteDir } from '../framework/command.ts';
import { failure, usageFailure } from '../framework/failure.ts';
import { quorumAround, readQuorumFile } from '../quorum/quorum-file.ts';
import { type NodeFile, readNodeFile } from '../supervise/node-file.ts';
import { ensureStateFolder, partyFolder } from '../supervise/state-folder.ts';
import { readClientTls } from './client-tls.ts';

/** How a command line names a node. */
export interface NodeSelection {
  readonly dir: string;
  readonly url?: string | undefined;
  readonly publicUrl?: string | undefined;
  /** PEM files: the caller's certificate and key, and the authorities of the node's. */
  readonly clientCert?: string | undefined;
  readonly clientKey?: string | undefined;
  readonly ca?: string | undefined;
}

/** Where a node is reached. */
export interface NodeAddresses {
  /** State folder: caches and user keys stand there even when the node runs elsewhere. */
  readonly dir: string;
  readonly clientUrl: string;
  readonly publicUrl: string;
  /** Absent when the node was named by `--url`. */
  readonly local?: NodeFile;
}

/** An open connection to a node. */
export interface Session extends NodeAddresses {
  readonly client: KmsClient;
  call<N extends KmsRpcName>(rpc: N, request: KmsRequest<N>, signal?: AbortSignal): Promise<KmsResponse<N>>;
  /** Calls a result RPC again and again until the result is there. */
  poll<N extends KmsRpcName>(rpc: N, request: KmsRequest<N>, signal?: AbortSignal): Promise<KmsResponse<N>>;
}

/** Longest wait for one answer: a node gives 360 s and 300 more. */
const CALL_TIMEOUT_MS = 660_000;
const POLL_EVERY_MS = 200;
/** A node that restarts is waited for; one that is gone is not. */
const LOST_POLLS_LIMIT = 50;

/**
 * Returns where the selected node is: `--url` as given, else what `node.json` of the state folder says.
 *
 * @throws {@link KmsError} `UNAVAILABLE` if no node runs there.
 */
export async function locateNode(selection: NodeSelection): Promise<NodeAddresses> {
  const dir = absoluteDir(selection.dir);
  if (selection.url !== undefined) {
    const clientUrl = normalizeUrl(selection.url);
    const publicUrl = selection.publicUrl ?? `http://${new URL(clientUrl).hostname}:9000/kms/PUB`;
    return { dir, clientUrl, publicUrl };
  }
  await refuseQuorum(dir);
  const local = await readNodeFile(dir);
  return { dir, clientUrl: local.clientUrl, publicUrl: selection.publicUrl ?? local.publicUrl, local };
}

/** A command for one node on the folder of a quorum: nobody knows which party is meant. */
async function refuseQuorum(dir: string): Promise<void> {
  const quorum = await readQuorumFile(dir);
  if (quorum === undefined) return;
  const cure = `name a party: --dir ${partyFolder(dir, 1)} to ${partyFolder(dir, quorum.parties)}`;
  throw failure('REQUEST_INVALID', `${dir} holds a quorum of ${quorum.parties} parties, and this asks one node`, cure, {
    usage: true,
  });
}

/**
 * Requires that a command line selects no single party of a quorum by its folder: what it asks for is done by all of them.
 *
 * @param what - What a quorum does together, such as `a decryption`.
 * @throws {@link KmsError} with exit code 2, naming the folder of the quorum.
 */
export async function refuseParty(selection: NodeSelection, what: string): Promise<void> {
  if (selection.url !== undefined) return;
  const dir = absoluteDir(selection.dir);
  const quorum = await quorumAround(dir);
  if (quorum === undefined) return;
  const { party, parties } = quorum;
  const text = `${dir} is party ${party} of a quorum of ${parties}, and ${what} is asked of the parties together`;
  throw usageFailure(text, `name the quorum: --dir ${quorum.dir}`);
}

/** Runs `body` with a connection to the selected node, and closes it. */
export async function withNode<T>(selection: NodeSelection, body: (session: Session) => Promise<T>): Promise<T> {
  const addresses = await locateNode(selection);
  if (addresses.local === undefined) await ensureStateFolder(addresses.dir);
  const client = openKmsClient(dialled(addresses, selection), await readClientTls(selection));
  try {
    return await body(openSession(addresses, client));
  } finally {
    client.close();
  }
}

/**
 * What is dialled: a node of one's own that has TLS is reached over its admin socket, unless certificates are given, so
 * that nobody needs an authority for his own machine.
 */
function dialled({ clientUrl, local }: NodeAddresses, { ca, clientCert }: NodeSelection): string {
  const secured = clientUrl.startsWith('https:') && ca === undefined && clientCert === undefined;
  return secured && local?.adminSocket !== undefined ? `unix:${local.adminSocket}` : clientUrl;
}

/** Returns the calls of a connection, with failures that name their cure. */
export function openSession(addresses: NodeAddresses, client: KmsClient): Session {
  const call = async <N extends KmsRpcName>(
    rpc: N,
    request: KmsRequest<N>,
    signal?: AbortSignal,
  ): Promise<KmsResponse<N>> => {
    try {
      return await client.call(rpc, request, { timeoutMs: CALL_TIMEOUT_MS, signal });
    } catch (error) {
      throw explain(error, rpc, addresses);
    }
  };
  const poll = async <N extends KmsRpcName>(
    rpc: N,
    request: KmsRequest<N>,
    signal?: AbortSignal,
  ): Promise<KmsResponse<N>> => {
    for (let lost = 0; ; ) {
      try {
        return await client.call(rpc, request, { timeoutMs: CALL_TIMEOUT_MS, signal });
      } catch (error) {
        if (!(error instanceof GrpcError) || error.status !== STATUS.UNAVAILABLE) throw explain(error, rpc, addresses);
        // A node that answers UNAVAILABLE is at work; a connection that fails brings no details.
        lost = error.details === undefined ? lost + 1 : 0;
        if (lost >= LOST_POLLS_LIMIT) throw explain(error, rpc, addresses);
      }
      await delay(POLL_EVERY_MS, undefined, { signal });
    }
  };
  return { ...addresses, client, call, poll };
}

/** What to do about a status that a node answers with. */
const CURES: Readonly<Record<number, [ErrorCode, string]>> = {
  [STATUS.CANCELLED]: ['CANCELLED', 'try again'],
  [STATUS.INVALID_ARGUMENT]: ['REQUEST_INVALID', 'correct the request'],
  [STATUS.DEADLINE_EXCEEDED]: ['DEADLINE_EXCEEDED', "try again; 'arca status' shows what the node is doing"],
  [STATUS.NOT_FOUND]: [
    'NOT_FOUND',
    "check the id: 'arca key list', 'arca crs list'; of a quorum also 'arca epoch list'",
  ],
  [STATUS.ALREADY_EXISTS]: ['ALREADY_EXISTS', 'use another request id'],
  [STATUS.PERMISSION_DENIED]: [
    'PERMISSION_DENIED',
    'use --dir of a node of yours, or --client-cert and --client-key of somebody whom the node lists',
  ],
  [STATUS.RESOURCE_EXHAUSTED]: ['RESOURCE_EXHAUSTED', 'the node is busy: try again in a moment'],
  [STATUS.FAILED_PRECONDITION]: ['PRECONDITION_FAILED', "see 'arca status'"],
  [STATUS.ABORTED]: ['ABORTED', 'the operation was aborted: start it again under a new id'],
  [STATUS.UNIMPLEMENTED]: ['UNIMPLEMENTED', 'this node does not have that part'],
  [STATUS.UNAVAILABLE]: ['UNAVAILABLE', "see whether the node runs: 'arca doctor'"],
};

/** Returns the failure of a call as a command reports it. */
export function explain(error: unknown, rpc: string, { clientUrl }: Pick<NodeAddresses, 'clientUrl'>): unknown {
  if (isKmsError(error) || !(error instanceof GrpcError)) return error;
  const [status, cure] = CURES[error.status] ?? ['INTERNAL', "the node's log says more (node.log of its state folder)"];
  const { reason = '', metadata = {} } = error.details ?? {};
  // Where something is to be signed or is not trusted, the node's own word says more than the number of the status.
  const code = isErrorCode(reason) && /^(?:APPROVAL|ATTESTATION)_/.test(reason) ? reason : status;
  const untrusted = error.status === STATUS.UNAVAILABLE && clientUrl.startsWith('https:');
  const message = `${rpc} on ${clientUrl}: ${error.explanation} (${error.statusName})`;
  const { proposalDigest } = metadata;
  const facts = { status: error.statusName, ...(proposalDigest === undefined ? {} : { proposalDigest }) };
  return failure(
    code,
    message,
    untrusted ? `${cure}, and name who signed its certificate with --ca` : cure,
    facts,
    error.cause,
  );
}

function normalizeUrl(text: string): string {
  const url = text.includes('://') ? text : `http://${text}`;
  if (URL.canParse(url)) return url.replace(/\/$/, '');
  throw failure('REQUEST_INVALID', `'${text}' is no address of a node`, 'give one like http://127.0.0.1:50051', {
    usage: true,
  });
}
