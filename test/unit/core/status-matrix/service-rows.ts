/** Rows of the status matrix: the other services, and RPCs that do not exist. */

import { create, toBinary } from '@bufbuild/protobuf';
import { HealthCheckRequestSchema } from '../../../../proto/gen/health_pb.js';
import {
  GetRequestStatusesRequestSchema,
  ListRequestsRequestSchema,
} from '../../../../proto/gen/metastore-status_pb.js';
import { publicDecryption } from '../requests.ts';
import { A, EMPTY, GARBAGE, ok, type Row, row } from './situations.ts';

/** Path of the request status service. */
export const META = '/metastore_status.v1.MetaStoreStatusService';
const statuses = (requestIds: string[], metaStoreType?: number): Uint8Array =>
  toBinary(
    GetRequestStatusesRequestSchema,
    create(GetRequestStatusesRequestSchema, { requestIds, ...(metaStoreType === undefined ? {} : { metaStoreType }) }),
  );
const list = (metaStoreType: number, rest: { statusFilter?: number; pageToken?: string } = {}): Uint8Array =>
  toBinary(ListRequestsRequestSchema, create(ListRequestsRequestSchema, { metaStoreType, ...rest }));
const health = (service: string): Uint8Array =>
  toBinary(HealthCheckRequestSchema, create(HealthCheckRequestSchema, { service }));

export const OTHER_SERVICE_ROWS: Row[] = [
  row(`${META}/GetRequestStatuses`, 'one is known', 'OK', statuses([A, 'no id']), {
    before: ok('PublicDecryptSync', publicDecryption(A)),
  }),
  row(`${META}/GetRequestStatuses`, 'none is known', 'NOT_FOUND', statuses([A, 'no id'])),
  row(`${META}/GetRequestStatuses`, 'none is known in that store', 'NOT_FOUND', statuses([A], 1), {
    before: ok('PublicDecryptSync', publicDecryption(A)),
  }),
  row(`${META}/GetRequestStatuses`, 'none is asked for', 'OK', EMPTY),
  row(`${META}/ListRequests`, 'one store is named', 'OK', list(2)),
  row(`${META}/ListRequests`, 'all are named', 'INVALID_ARGUMENT', list(0)),
  row(`${META}/ListRequests`, 'the store is none', 'INVALID_ARGUMENT', list(17)),
  row(`${META}/ListRequests`, 'the node has no such store', 'UNAVAILABLE', list(5)),
  row(`${META}/ListRequests`, 'the token is none', 'INVALID_ARGUMENT', list(2, { pageToken: 'next' })),
  row(`${META}/ListRequests`, 'the filter is none', 'INVALID_ARGUMENT', list(2, { statusFilter: 9 })),
  row(`${META}/GetMetaStoreInfo`, 'all is well', 'OK', EMPTY),
  row('/grpc.health.v1.Health/Check', 'the whole server is meant', 'OK', health('')),
  row('/grpc.health.v1.Health/Check', 'the service is known', 'OK', health('kms_service.v1.CoreServiceEndpoint')),
  row('/grpc.health.v1.Health/Check', 'the service is unknown', 'NOT_FOUND', health('other')),
  row('/grpc.health.v1.Health/Check', 'the request is no request', 'INVALID_ARGUMENT', GARBAGE),
  row('/kms_service.v1.CoreServiceEndpoint/Init', 'the RPC is of an older release', 'UNIMPLEMENTED', EMPTY),
  row('/kms_service.v1.Other/KeyGen', 'the service does not exist', 'UNIMPLEMENTED', EMPTY),
];

const INSECURE = [
  'PartialKeyGenPreproc',
  'InsecureKeyGenPreproc',
  'GetInsecureKeyGenPreprocResult',
  'InsecureKeyGen',
  'GetInsecureKeyGenResult',
  'InsecureCrsGen',
  'GetInsecureCrsGenResult',
];
export const SECURE_NODE_ROWS = INSECURE.map(
  (rpc): Row => ({
    rpc,
    when: 'the node is not in developer mode',
    options: { insecure: false },
    body: EMPTY,
    status: 'UNIMPLEMENTED',
  }),
);
