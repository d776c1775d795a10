/**
 * Who may call which RPC: by group, by the subject of a verified client certificate, by the local admin socket.
 *
 * Decided before a byte of the request is read. Outside developer mode administration needs the admin socket or a
 * certificate whose subject is on the list; there is no setting that opens it to everybody.
 */
import { KmsError } from '../../../common/errors.ts';
import type { Logger } from '../../../common/log.ts';
import type { RpcGroup } from '../../../common/node-config-tls.ts';
import { AdminService } from '../../../proto/gen/arca-admin_pb.js';
import { CoreServiceEndpoint } from '../../../proto/gen/kms-service_pb.js';
import { type Caller, describeCaller } from '../../grpc/caller.ts';
import { isListed } from '../../grpc/client-subject.ts';
import type { GrpcError } from '../../grpc/status.ts';
import { statusOf } from '../rpc/failures.ts';
import type { CoreRpcName } from '../rpc/service.ts';

/** Subjects that may act, by group; a group without a list is open, but for administration. */
export type AllowLists = Readonly<Partial<Record<RpcGroup, readonly string[] | undefined>>>;

/** Who may call what on a node. */
export interface AccessPolicy {
  /** The published administration is open to everybody who reaches the port, unless there is a list. */
  readonly developerMode: boolean;
  readonly allow: AllowLists;
}

/** Group of each published RPC; `open` ones show how the node is. */
export const RPC_GROUP: Readonly<Record<CoreRpcName, RpcGroup | 'open'>> = {
  PublicDecrypt: 'decrypt',
  PublicDecryptSync: 'decrypt',
  GetPublicDecryptionResult: 'decrypt',
  UserDecrypt: 'decrypt',
  UserDecryptSync: 'decrypt',
  GetUserDecryptionResult: 'decrypt',
  KeyGenPreproc: 'generate',
  PartialKeyGenPreproc: 'generate',
  GetKeyGenPreprocResult: 'generate',
  KeyGen: 'generate',
  GetKeyGenResult: 'generate',
  AbortKeyGen: 'generate',
  CrsGen: 'generate',
  GetCrsGenResult: 'generate',
  AbortCrsGen: 'generate',
  InsecureKeyGenPreproc: 'generate',
  GetInsecureKeyGenPreprocResult: 'generate',
  InsecureKeyGen: 'generate',
  GetInsecureKeyGenResult: 'generate',
  InsecureCrsGen: 'generate',
  GetInsecureCrsGenResult: 'generate',
  NewMpcContext: 'admin',
  DestroyMpcContext: 'admin',
  NewMpcEpoch: 'admin',
  GetEpochResult: 'admin',
  DestroyMpcEpoch: 'admin',
  NewCustodianContext: 'admin',
  DestroyCustodianContext: 'admin',
  GetOperatorPublicKey: 'admin',
  CustodianRecoveryInit: 'admin',
  CustodianBackupRecovery: 'admin',
  RestoreFromBackup: 'admin',
  BandwidthBenchmark: 'admin',
  GetKeyMaterialAvailability: 'open',
  GetHealthStatus: 'open',
};

/** Judges a call by its path and its caller; the error that ends it, or undefined to let it pass. */
export type Authorize = (path: string, caller: Caller) => GrpcError | undefined;

/** Makes the judge of a node. */
export function createAuthorizer({ developerMode, allow }: AccessPolicy, log: Logger): Authorize {
  const groups = new Map<string, RpcGroup | 'open'>([
    ...Object.entries(RPC_GROUP).map(([rpc, group]) => [`/${CoreServiceEndpoint.typeName}/${rpc}`, group] as const),
    ...AdminService.methods.map(({ name }) => [`/${AdminService.typeName}/${name}`, 'admin'] as const),
  ]);
  const isOurs = (path: string): boolean => path.startsWith(`/${AdminService.typeName}/`);

  const mayCall = (path: string, group: RpcGroup | 'open', caller: Caller): boolean => {
    if (group === 'open' || caller.kind === 'admin-socket') return true;
    // The connector turns events of the chain into requests; who administers is no event of the chain.
    if (caller.kind === 'mesh') return group !== 'admin' && caller.role === 'connector';
    const list = allow[group];
    if (list === undefined) return group !== 'admin' || (developerMode && !isOurs(path));
    return caller.kind === 'tls' && caller.subject !== undefined && isListed(caller.subject, list);
  };

  return (path, caller) => {
    const group = groups.get(path) ?? 'open';
    const rpc = path.slice(path.lastIndexOf('/') + 1);
    if (mayCall(path, group, caller)) {
      // Who changed what is for the operator to read later; who only looked is not.
      if (group === 'admin' && !/^(?:Get|List)/.test(rpc)) {
        log.info({ event: 'rpc.admin', rpc, caller: describeCaller(caller) });
      }
      return undefined;
    }
    const line = { event: 'rpc.denied', rpc, group, caller: describeCaller(caller) };
    // Somebody with a certificate of ours is worth the operator's eye; anybody can make a stranger's call.
    if (caller.kind === 'tls' && caller.subject !== undefined) log.warn(line);
    else log.debug(line);
    const who = `a client certificate that service.tls.allow.${group} names`;
    const needs = group === 'admin' ? `the node's admin socket, or ${who}` : who;
    const error = new KmsError('PERMISSION_DENIED', `${rpc} needs ${needs}`, { rpc, group });
    return statusOf(error, undefined, 'authorization');
  };
}
