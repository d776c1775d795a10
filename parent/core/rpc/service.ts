/**
 * The table of RPCs: which exist on this node, and what serves each. Spec: kms-service 1.3.
 */
import { CoreServiceEndpoint } from '../../../proto/gen/kms-service_pb.js';
import { MetaStoreStatusService } from '../../../proto/gen/metastore-status_pb.js';
import type { GrpcMethod, GrpcMethods } from '../../grpc/server.ts';
import { abortCrsGenRpc, abortKeyGenRpc } from './abort.ts';
import { type Background, openBackground } from './background.ts';
import { crsGenResultRpc, crsGenRpc } from './crs-generation.ts';
import {
  custodianBackupRecoveryRpc,
  custodianRecoveryInitRpc,
  destroyCustodianContextRpc,
  getOperatorPublicKeyRpc,
  newCustodianContextRpc,
  restoreFromBackupRpc,
} from './custodians.ts';
import { publicDecryptionRpcs, userDecryptionRpcs } from './decryptions.ts';
import type { RpcDeps } from './deps.ts';
import { keyGenResultRpc, keyGenRpc } from './key-generation.ts';
import { type KeyMaterial, openKeyMaterial } from './key-material.ts';
import { type Lifecycle, openLifecycle } from './lifecycle.ts';
import { type Rpc, rpcMethod } from './method.ts';
import { destroyMpcContextRpc, epochsUnimplementedRpc, newMpcContextRpc, newMpcEpochRpc } from './mpc.ts';
import { bandwidthBenchmarkRpc, healthStatusRpc, keyMaterialAvailabilityRpc } from './node-status.ts';
import { partialPreprocessingRpc, preprocessingResultRpc, preprocessingRpc } from './preprocessing.ts';
import { destroyQuorumContextRpc, quorumContextRpc } from './quorum-contexts.ts';
import { destroyQuorumEpochRpc, epochResultRpc, newQuorumEpochRpc } from './quorum-epochs.ts';
import { quorumBandwidthRpc, quorumHealthRpc } from './quorum-status.ts';
import { openQuorumTopology } from './quorum-topology.ts';
import { prepareRecovery } from './recover.ts';
import { listRequestsRpc, metaStoreInfoRpc, requestStatusesRpc } from './request-statuses.ts';
import { openRunningJobs, type RunningJobs } from './running-jobs.ts';
import { openTopology, type Topology } from './topology.ts';

/** Names of the RPCs of the client service. */
export type CoreRpcName = Capitalize<keyof typeof CoreServiceEndpoint.method & string>;

/** The services of a Core, without a transport. */
export interface CoreService {
  readonly methods: GrpcMethods;
  /** Takes up what the last run left; see {@link prepareRecovery}. */
  recover(): Promise<void>;
}

interface Parts extends RpcDeps {
  readonly background: Background;
  readonly material: KeyMaterial;
  readonly topology: Topology;
  readonly jobs: RunningJobs;
  readonly lifecycle: Lifecycle;
}

/** Makes the services. */
export function createCoreService(deps: RpcDeps): CoreService {
  const parts: Parts = {
    ...deps,
    background: openBackground(deps),
    material: openKeyMaterial(deps.engine),
    topology: deps.threshold ? openQuorumTopology(deps.engine) : openTopology(deps.store),
    jobs: openRunningJobs(),
    lifecycle: openLifecycle(),
  };
  const methods = new Map<string, GrpcMethod>();
  const serve = (service: { readonly typeName: string }, rpcs: Readonly<Record<string, Rpc>>): void => {
    for (const [name, rpc] of Object.entries(rpcs)) methods.set(`/${service.typeName}/${name}`, rpcMethod(deps, rpc));
  };
  serve(CoreServiceEndpoint, secureRpcs(parts));
  if (deps.insecure) serve(CoreServiceEndpoint, insecureRpcs(parts));
  serve(MetaStoreStatusService, {
    GetRequestStatuses: requestStatusesRpc(deps),
    ListRequests: listRequestsRpc(deps),
    GetMetaStoreInfo: metaStoreInfoRpc(deps),
  });
  registerGauges(parts);
  return { methods, recover: prepareRecovery(parts) };
}

type InsecureName =
  | 'PartialKeyGenPreproc'
  | 'InsecureKeyGenPreproc'
  | 'GetInsecureKeyGenPreprocResult'
  | 'InsecureKeyGen'
  | 'GetInsecureKeyGenResult'
  | 'InsecureCrsGen'
  | 'GetInsecureCrsGenResult';

function secureRpcs(parts: Parts): Readonly<Record<Exclude<CoreRpcName, InsecureName>, Rpc>> {
  const publicDecrypt = publicDecryptionRpcs(parts);
  const userDecrypt = userDecryptionRpcs(parts);
  return {
    KeyGenPreproc: preprocessingRpc(parts, false),
    GetKeyGenPreprocResult: preprocessingResultRpc(parts, false),
    KeyGen: keyGenRpc(parts, false),
    GetKeyGenResult: keyGenResultRpc(parts, false),
    AbortKeyGen: abortKeyGenRpc(parts),
    PublicDecrypt: publicDecrypt.start,
    GetPublicDecryptionResult: publicDecrypt.result,
    PublicDecryptSync: publicDecrypt.sync,
    UserDecrypt: userDecrypt.start,
    GetUserDecryptionResult: userDecrypt.result,
    UserDecryptSync: userDecrypt.sync,
    CrsGen: crsGenRpc(parts, false),
    GetCrsGenResult: crsGenResultRpc(parts, false),
    AbortCrsGen: abortCrsGenRpc(parts),
    ...(parts.threshold ? quorumRpcs(parts) : centralizedRpcs(parts)),
    NewCustodianContext: newCustodianContextRpc(parts),
    DestroyCustodianContext: destroyCustodianContextRpc(parts),
    GetOperatorPublicKey: getOperatorPublicKeyRpc(parts),
    RestoreFromBackup: restoreFromBackupRpc(parts),
    CustodianRecoveryInit: custodianRecoveryInitRpc(parts),
    CustodianBackupRecovery: custodianBackupRecoveryRpc(parts),
    GetKeyMaterialAvailability: keyMaterialAvailabilityRpc(parts),
  };
}

type QuorumName =
  | 'NewMpcContext'
  | 'DestroyMpcContext'
  | 'NewMpcEpoch'
  | 'GetEpochResult'
  | 'DestroyMpcEpoch'
  | 'GetHealthStatus'
  | 'BandwidthBenchmark';

/** What is about other parties, on a node that has none. */
function centralizedRpcs(parts: Parts): Readonly<Record<QuorumName, Rpc>> {
  return {
    NewMpcContext: newMpcContextRpc(parts),
    DestroyMpcContext: destroyMpcContextRpc(parts),
    NewMpcEpoch: newMpcEpochRpc(parts),
    GetEpochResult: epochsUnimplementedRpc('get_mpc_epoch_result'),
    DestroyMpcEpoch: epochsUnimplementedRpc('destroy_mpc_epoch'),
    GetHealthStatus: healthStatusRpc(parts),
    BandwidthBenchmark: bandwidthBenchmarkRpc,
  };
}

/** The same on a party of a quorum. */
function quorumRpcs(parts: Parts): Readonly<Record<QuorumName, Rpc>> {
  return {
    NewMpcContext: quorumContextRpc(parts),
    DestroyMpcContext: destroyQuorumContextRpc(parts),
    NewMpcEpoch: newQuorumEpochRpc(parts),
    GetEpochResult: epochResultRpc(parts),
    DestroyMpcEpoch: destroyQuorumEpochRpc(parts),
    GetHealthStatus: quorumHealthRpc(parts),
    BandwidthBenchmark: quorumBandwidthRpc(parts),
  };
}

/** Not there at all on a node that was not started in developer mode. */
function insecureRpcs(parts: Parts): Readonly<Record<InsecureName, Rpc>> {
  return {
    PartialKeyGenPreproc: partialPreprocessingRpc(parts),
    InsecureKeyGenPreproc: preprocessingRpc(parts, true),
    GetInsecureKeyGenPreprocResult: preprocessingResultRpc(parts, true),
    InsecureKeyGen: keyGenRpc(parts, true),
    GetInsecureKeyGenResult: keyGenResultRpc(parts, true),
    InsecureCrsGen: crsGenRpc(parts, true),
    GetInsecureCrsGenResult: crsGenResultRpc(parts, true),
  };
}

function registerGauges({ metrics, limiter, store, background, material, threshold }: Parts): void {
  if (threshold) metrics.gauge('kms_quorum_line_requests', () => background.inLine);
  metrics.gauge('kms_rate_limiter_usage', () => limiter.used);
  metrics.gauge('kms_tasks', () => background.running);
  metrics.gauge('kms_fhe_key_cache_size', () => material.keyIds().length);
  metrics.gauge('kms_meta_storage_user_decryptions', () => store.count('user_decrypt').running);
  metrics.gauge('kms_meta_storage_pub_decryptions', () => store.count('public_decrypt').running);
  metrics.gauge('kms_meta_storage_user_decryptions_in_store', () => store.count('user_decrypt').total);
  metrics.gauge('kms_meta_storage_pub_decryptions_in_store', () => store.count('public_decrypt').total);
}
