/**
 * `metastore_status.v1.MetaStoreStatusService`: what the request store holds, for operators. Spec: kms-service 1.6, end.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { KmsError } from '../../../common/errors.ts';
import { EmptySchema } from '../../../proto/gen/kms_pb.js';
import {
  GetMetaStoreInfoResponseSchema,
  GetRequestStatusesRequestSchema,
  GetRequestStatusesResponseSchema,
  ListRequestsRequestSchema,
  ListRequestsResponseSchema,
  MetaStoreType,
  RequestProcessingStatus,
  type RequestStatusInfo,
  RequestStatusInfoSchema,
} from '../../../proto/gen/metastore-status_pb.js';
import { parseRequestId } from '../../../wire/ids.ts';
import type { RequestEntry, RequestKind, RequestState, RequestStore } from '../store/request-store.ts';
import { decodeControl } from './decode.ts';
import type { RpcDeps } from './deps.ts';
import type { Rpc } from './method.ts';

/** Stores of a centralized node, in the published order. Custodian contexts are not shown. */
const STORES: readonly (readonly [MetaStoreType, RequestKind])[] = [
  [MetaStoreType.KEY_GENERATION, 'keygen'],
  [MetaStoreType.PUBLIC_DECRYPTION, 'public_decrypt'],
  [MetaStoreType.USER_DECRYPTION, 'user_decrypt'],
  [MetaStoreType.CRS_GENERATION, 'crsgen'],
];
/** A threshold node shows its preprocessings, too. */
const QUORUM_STORES: typeof STORES = [...STORES, [MetaStoreType.PREPROCESSING, 'preproc']];

/** What is shown, and where from. */
type ShownDeps = Pick<RpcDeps, 'store' | 'threshold'>;

const storesOf = ({ threshold }: ShownDeps): typeof STORES => (threshold ? QUORUM_STORES : STORES);

const STATUS_OF: Readonly<Record<RequestState, RequestProcessingStatus>> = {
  running: RequestProcessingStatus.PROCESSING,
  done: RequestProcessingStatus.COMPLETED,
  failed: RequestProcessingStatus.FAILED,
  deleted: RequestProcessingStatus.DELETED,
};

/** Ten thousand ids, and then some. */
const MAX_ID_BYTES = 1024 * 1024;
const DEFAULT_PAGE = 100;
const MAX_PAGE = 1000;

/** `GetRequestStatuses`: ids that are none are passed over. */
export function requestStatusesRpc(deps: ShownDeps): Rpc {
  const { store } = deps;
  return {
    operation: 'request_statuses',
    async handle(body) {
      const message = decodeControl(GetRequestStatusesRequestSchema, body, MAX_ID_BYTES);
      const { requestIds, metaStoreType = MetaStoreType.ALL } = message;
      const kinds = storesOf(deps).filter(([type]) => metaStoreType === MetaStoreType.ALL || metaStoreType === type);
      const statuses = requestIds.flatMap((text) => {
        const id = idOf(text);
        if (id === undefined) return [];
        return kinds.flatMap(([, kind]) => {
          const entry = store.find(kind, id);
          return entry ? [statusOf(store, entry)] : [];
        });
      });
      if (requestIds.length > 0 && statuses.length === 0) throw new KmsError('NOT_FOUND', 'none of these ids is known');
      return toBinary(GetRequestStatusesResponseSchema, create(GetRequestStatusesResponseSchema, { statuses }));
    },
  };
}

/** `ListRequests`: one store, page by page. */
export function listRequestsRpc(deps: ShownDeps): Rpc {
  const { store } = deps;
  return {
    operation: 'request_statuses',
    async handle(body) {
      const message = decodeControl(ListRequestsRequestSchema, body);
      const { metaStoreType, statusFilter = RequestProcessingStatus.ANY, maxResults = DEFAULT_PAGE } = message;
      const kind = requireKind(deps, metaStoreType);
      const offset = parseToken(message.pageToken ?? '0');
      if (RequestProcessingStatus[statusFilter] === undefined) {
        throw new KmsError('REQUEST_INVALID', 'status_filter is unknown', { field: 'status_filter' });
      }
      const size = maxResults < 1 ? DEFAULT_PAGE : Math.min(maxResults, MAX_PAGE);
      const wanted = [...store.entries(kind)].filter(
        ({ state }) => statusFilter === RequestProcessingStatus.ANY || STATUS_OF[state] === statusFilter,
      );
      const requests = wanted.slice(offset, offset + size).map((entry) => statusOf(store, entry));
      const next = offset + requests.length < wanted.length ? { nextPageToken: String(offset + requests.length) } : {};
      return toBinary(ListRequestsResponseSchema, create(ListRequestsResponseSchema, { requests, ...next }));
    },
  };
}

/** `GetMetaStoreInfo`: how full each store is. */
export function metaStoreInfoRpc(deps: ShownDeps): Rpc {
  const { store } = deps;
  return {
    operation: 'request_statuses',
    async handle(body) {
      decodeControl(EmptySchema, body);
      const metaStores = storesOf(deps).map(([type, kind]) => {
        const { total, capacity } = store.count(kind);
        return { type, capacity: Number.isFinite(capacity) ? capacity : -1, currentCount: total };
      });
      return toBinary(GetMetaStoreInfoResponseSchema, create(GetMetaStoreInfoResponseSchema, { metaStores }));
    },
  };
}

function requireKind(deps: ShownDeps, wanted: MetaStoreType): RequestKind {
  if (wanted === MetaStoreType.ALL || MetaStoreType[wanted] === undefined) {
    throw new KmsError('REQUEST_INVALID', 'meta_store_type must name one store', { field: 'meta_store_type' });
  }
  const found = storesOf(deps).find(([type]) => type === wanted);
  if (!found) throw new KmsError('UNAVAILABLE', 'a centralized node has no such store');
  return found[1];
}

function parseToken(token: string): number {
  if (!/^[0-9]{1,15}$/.test(token)) {
    throw new KmsError('REQUEST_INVALID', 'page_token must be one that this service gave out', { field: 'page_token' });
  }
  return Number(token);
}

function idOf(text: string): string | undefined {
  try {
    return parseRequestId(text);
  } catch {
    return undefined;
  }
}

function statusOf(store: RequestStore, entry: RequestEntry): RequestStatusInfo {
  const type = QUORUM_STORES.find(([, kind]) => kind === entry.kind)?.[0] ?? MetaStoreType.ALL;
  const outcome = entry.state === 'failed' ? store.outcome(entry) : undefined;
  return create(RequestStatusInfoSchema, {
    requestId: entry.id,
    metaStoreType: type,
    status: STATUS_OF[entry.state],
    ...(outcome?.state === 'failed' ? { errorMessage: outcome.reason } : {}),
  });
}
