/**
 * `grpc.health.v1.Health`: SERVING while the engine is connected and the node has finished starting. Spec: 1.1.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { KmsError } from '../../../common/errors.ts';
import {
  HealthCheckRequestSchema,
  HealthCheckResponseSchema,
  HealthCheckResponse_ServingStatus as Serving,
} from '../../../proto/gen/health_pb.js';
import { CoreServiceEndpoint } from '../../../proto/gen/kms-service_pb.js';
import type { GrpcMethod } from '../../grpc/server.ts';
import type { Health } from '../health.ts';
import { pause } from '../pause.ts';
import { decodeControl } from './decode.ts';
import { statusOf } from './failures.ts';

/** How soon a watcher hears of a change. */
const WATCH_MS = 250;
const SERVICES: ReadonlySet<string> = new Set(['', CoreServiceEndpoint.typeName]);

/** `Check`. */
export function healthCheck(health: Health): GrpcMethod {
  return {
    kind: 'unary',
    async handle(body) {
      const { service } = decodeRequest(body);
      if (!SERVICES.has(service)) {
        throw statusOf(new KmsError('NOT_FOUND', 'no such service here'), undefined, 'health_check');
      }
      return encode(statusNow(health));
    },
  };
}

/** `Watch`: the status now and at each change, until the client leaves or the node stops. */
export function healthWatch(health: Health, stopping: AbortSignal): GrpcMethod {
  return {
    kind: 'server-stream',
    async *handle(body, call) {
      const { service } = decodeRequest(body);
      const read = (): Serving => (SERVICES.has(service) ? statusNow(health) : Serving.SERVICE_UNKNOWN);
      let told: Serving | undefined;
      while (!call.signal.aborted) {
        const status = stopping.aborted ? Serving.NOT_SERVING : read();
        if (status !== told) yield encode(status);
        told = status;
        if (stopping.aborted) return;
        await pause(WATCH_MS, AbortSignal.any([call.signal, stopping]));
      }
    },
  };
}

function statusNow(health: Health): Serving {
  return health.reasons().length === 0 ? Serving.SERVING : Serving.NOT_SERVING;
}

function encode(status: Serving): Uint8Array {
  return toBinary(HealthCheckResponseSchema, create(HealthCheckResponseSchema, { status }));
}

function decodeRequest(body: Uint8Array): { readonly service: string } {
  try {
    return decodeControl(HealthCheckRequestSchema, body);
  } catch (error) {
    throw statusOf(error, undefined, 'health_check');
  }
}
