/**
 * The link's calls about contexts, epochs and the network of engines. The engine parses each request itself; nothing in
 * the answers is secret. Spec: kms-service.md section 1.6.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { ReachCallSchema, ReachResultSchema } from '../../proto/gen/engine_pb.js';
import {
  BandwidthBenchmarkRequestSchema,
  BandwidthBenchmarkResponseSchema,
  BandwidthKind,
  DestroyMpcContextResponseSchema,
} from '../../proto/gen/kms_pb.js';
import { ENGINE_METHOD, type EngineMethod } from '../../wire/frames.ts';
import { parseRequestId, type RequestId } from '../../wire/ids.ts';
import { contextIdOrDefault, invalidField } from '../../wire/validate/common.ts';
import type { CallHandler } from '../call.ts';
import { decodeRequest } from '../decode-request.ts';
import type { Latencies, PeerNetwork } from '../peers/peer-network.ts';
import type { Contexts } from './contexts.ts';

/** What the calls need. */
export interface ContextCallDeps {
  readonly contexts: Contexts;
  readonly network: Pick<PeerNetwork, 'reach' | 'bandwidth'>;
  /** This node's number. */
  readonly party: number;
}

const NOTHING = new Uint8Array();

/** Returns the handlers, by method number. */
export function contextCalls(deps: ContextCallDeps): Readonly<Partial<Record<EngineMethod, CallHandler>>> {
  const { contexts } = deps;
  return {
    [ENGINE_METHOD.newContext]: async ({ body, signal }) => {
      await contexts.newContext(body, signal);
      return NOTHING;
    },
    [ENGINE_METHOD.destroyContext]: async ({ body }) => {
      const epochIds = (await contexts.destroyContext(body)).map((requestId) => ({ requestId }));
      return toBinary(DestroyMpcContextResponseSchema, create(DestroyMpcContextResponseSchema, { epochIds }));
    },
    [ENGINE_METHOD.newEpoch]: async ({ body, signal }) => {
      await contexts.newEpoch(body, signal);
      return NOTHING;
    },
    [ENGINE_METHOD.destroyEpoch]: async ({ body }) => {
      await contexts.destroyEpoch(body);
      return NOTHING;
    },
    [ENGINE_METHOD.reach]: reach(deps),
    [ENGINE_METHOD.bandwidth]: bandwidth(deps),
  };
}

/** Answers `reach`: engine.v1.ReachCall in, engine.v1.ReachResult out. */
const reach =
  (deps: ContextCallDeps): CallHandler =>
  async ({ body, signal }) => {
    const { contextId: text } = decodeRequest(ReachCallSchema, body);
    const contextId = text === '' ? undefined : parseRequestId(text, 'context_id');
    const parties = await deps.network.reach(othersOf(deps, contextId), signal);
    const rows = parties.map((row) => ({ ...row, latencyMs: Math.ceil(row.latencyMs) }));
    return toBinary(ReachResultSchema, create(ReachResultSchema, { parties: rows }));
  };

/** Answers `BandwidthBenchmark`: kms.v1.BandwidthBenchmarkRequest in, kms.v1.BandwidthBenchmarkResponse out. */
const bandwidth =
  (deps: ContextCallDeps): CallHandler =>
  async ({ body, signal }) => {
    const request = decodeRequest(BandwidthBenchmarkRequestSchema, body);
    if (BandwidthKind[request.kind] === undefined) throw invalidField('kind', 'must be 0 (Duration) or 1 (Once)');
    const test = {
      parties: othersOf(deps, request.contextId && contextIdOrDefault(request.contextId)),
      kind: request.kind === BandwidthKind.Once ? ('once' as const) : ('duration' as const),
      durationMs: Number(request.duration) * 1_000,
      sessions: request.numberSessions,
      payloadBytes: request.payloadSizePerSession,
    };
    const peersInfo = (await deps.network.bandwidth(test, signal)).map((row) => ({
      peerId: row.party,
      endpoint: row.endpoint,
      bytesSent: BigInt(row.bytesSent),
      duration: whole(row.durationMs),
      latency: latencyOf(row.latency),
    }));
    return toBinary(BandwidthBenchmarkResponseSchema, create(BandwidthBenchmarkResponseSchema, { peersInfo }));
  };

/** All parties of a context but this one. */
function othersOf({ contexts, party }: ContextCallDeps, contextId: RequestId | undefined): readonly number[] {
  const context = contexts.context(contextId);
  return context.nodes.flatMap((node) => (node.party === party ? [] : [node.party]));
}

function latencyOf({ average, p50, p90, p99, slowest, fastest }: Latencies) {
  return {
    average: whole(average),
    p50: whole(p50),
    p90: whole(p90),
    p99: whole(p99),
    slowest: whole(slowest),
    fastest: whole(fastest),
  };
}

function whole(ms: number): bigint {
  return BigInt(Math.round(ms));
}
