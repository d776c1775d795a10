/**
 * What a threshold node says of its quorum: `GetHealthStatus` with its peers, `BandwidthBenchmark`. Spec: kms-service 1.6.
 */
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { isKmsError, KmsError } from '../../../common/errors.ts';
import { type ContextEntry, ReachCallSchema, ReachResultSchema } from '../../../proto/gen/engine_pb.js';
import {
  BandwidthBenchmarkRequestSchema,
  BandwidthKind,
  EmptySchema,
  HealthStatus,
  HealthStatusResponseSchema,
  NodeType,
  type PeerHealthSchema,
  type PeersFromContextSchema,
} from '../../../proto/gen/kms_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { contextIdOrDefault, invalidField } from '../../../wire/validate/common.ts';
import { decodeControl } from './decode.ts';
import { engineAway } from './decryptions.ts';
import type { Rpc } from './method.ts';
import { type NodeStatusDeps, preprocessingIds } from './node-status.ts';
import type { Topology } from './topology.ts';

/** What these RPCs need beside the common things. */
export interface QuorumStatusDeps extends NodeStatusDeps {
  readonly topology: Topology;
}

type PeerHealthInit = MessageInitShape<typeof PeerHealthSchema>;
type PeersInit = MessageInitShape<typeof PeersFromContextSchema>;

/** Longest that the probes of one context take: each peer has two seconds. */
const PROBE_MS = 5_000;
/** Anybody may ask: however many do, parties are probed no more often than this. */
const FRESH_MS = 500;

/** `GetHealthStatus`: for each context of this node, who of its parties answers now. Answers without the engine, too. */
export function quorumHealthRpc(deps: QuorumStatusDeps): Rpc {
  const { engine, material, storageInfo } = deps;
  const probe = sharedProbe(deps);
  return {
    operation: 'health_status',
    async handle(body) {
      decodeControl(EmptySchema, body);
      const contexts = engine.info()?.threshold?.contexts.filter(({ party }) => party > 0) ?? [];
      const response = create(HealthStatusResponseSchema, {
        peersFromAllContexts: await Promise.all(contexts.map(probe)),
        myFheKeyIds: material.keyIds(),
        myCrsIds: material.crsIds(),
        myPreprocessingKeyIds: preprocessingIds(deps),
        myStorageInfo: storageInfo,
        nodeType: NodeType.THRESHOLD,
      });
      return toBinary(HealthStatusResponseSchema, response);
    },
  };
}

/**
 * The published word for a context of which so many parties answer, this one included.
 *
 * @param n - Parties of the context.
 */
export function healthOf(reachable: number, n: number): HealthStatus {
  if (reachable >= n) return HealthStatus.OPTIMAL;
  if (reachable >= Math.floor((2 * n) / 3) + 1) return HealthStatus.HEALTHY;
  return reachable > Math.floor(n / 3) + 1 ? HealthStatus.DEGRADED : HealthStatus.UNHEALTHY;
}

/** Probes a context, or hands out what a probe of just now found. */
function sharedProbe(deps: QuorumStatusDeps): (context: ContextEntry) => Promise<PeersInit> {
  const last = new Map<string, { readonly untilMs: number; readonly found: Promise<PeersInit> }>();
  return (context) => {
    const nowMs = deps.clock.monotonicMs();
    for (const [id, { untilMs }] of last) if (untilMs <= nowMs) last.delete(id);
    const known = last.get(context.contextId);
    if (known) return known.found;
    const found = probe(deps, context);
    last.set(context.contextId, { untilMs: nowMs + FRESH_MS, found });
    return found;
  };
}

async function probe(deps: QuorumStatusDeps, context: ContextEntry): Promise<PeersInit> {
  const { contextId, party, nodes } = context;
  const { self, peers } = await reach(deps, context);
  const reachable = peers.filter((peer) => peer.reachable).length + (self ? 1 : 0);
  return {
    contextId: { requestId: contextId },
    myPartyId: party,
    thresholdRequired: Math.floor(nodes.length / 3) + 1,
    nodesReachable: reachable,
    status: healthOf(reachable, nodes.length),
    peers,
  };
}

/** Asks the engine to reach all; without an engine neither it nor anybody behind it is reached. */
async function reach(
  { engine, log }: QuorumStatusDeps,
  { contextId, party, nodes }: ContextEntry,
): Promise<{ readonly self: boolean; readonly peers: PeerHealthInit[] }> {
  try {
    const body = toBinary(ReachCallSchema, create(ReachCallSchema, { contextId }));
    const answer = await engine.call(ENGINE_METHOD.reach, body, { timeoutMs: PROBE_MS });
    const peers = fromBinary(ReachResultSchema, answer).parties.map(({ party: peerId, ...rest }) => ({
      peerId,
      endpoint: rest.endpoint,
      reachable: rest.reachable,
      latencyMs: rest.latencyMs,
      error: rest.error,
    }));
    return { self: true, peers };
  } catch (err) {
    log.debug({ event: 'quorum.not-reached', contextId, err });
    const error = isKmsError(err) ? err.message : 'the engine could not ask';
    const others = nodes.filter((node) => node.party !== party);
    const peers = others.map(({ party: peerId, endpoint }) => ({ peerId, endpoint, reachable: false, error }));
    return { self: engine.state === 'connected', peers };
  }
}

/** Published bounds of a benchmark. */
const MAX_PAYLOAD_BYTES = 268_435_456;
const MAX_SESSIONS = 256;
const MAX_TOTAL_BYTES = 1_073_741_824;
const MAX_DURATION_S = 60n;
/** What a benchmark takes beyond its duration: the last payloads are sent to their end. */
const BENCHMARK_MS = 240_000;

/** `BandwidthBenchmark`: one at a time, within the published bounds. */
export function quorumBandwidthRpc({ engine, topology }: QuorumStatusDeps): Rpc {
  let running = false;
  return {
    operation: 'bandwidth_benchmark',
    async handle(body, call) {
      const message = decodeControl(BandwidthBenchmarkRequestSchema, body);
      const contextId = contextIdOrDefault(message.contextId);
      const { numberSessions: sessions, payloadSizePerSession: sizeBytes, duration, kind } = message;
      if (BandwidthKind[kind] === undefined) throw invalidField('kind', 'is unknown');
      if (sessions < 1 || sessions > MAX_SESSIONS)
        throw invalidField('number_sessions', `must be 1 to ${MAX_SESSIONS}`);
      if (sizeBytes > MAX_PAYLOAD_BYTES || sizeBytes * sessions > MAX_TOTAL_BYTES) {
        const most = `must be at most ${MAX_PAYLOAD_BYTES}, and ${MAX_TOTAL_BYTES} in all sessions`;
        throw invalidField('payload_size_per_session', most);
      }
      if (kind === BandwidthKind.Duration && duration > MAX_DURATION_S) {
        throw invalidField('duration', `must be at most ${MAX_DURATION_S} seconds`);
      }
      if (engine.state !== 'connected') throw engineAway(engine.reason);
      if (!topology.hasContext(contextId)) {
        throw new KmsError('NOT_FOUND', 'this node knows no such context', { contextId });
      }
      if (running) throw new KmsError('RESOURCE_EXHAUSTED', 'another benchmark is running');
      running = true;
      try {
        return await engine.call(ENGINE_METHOD.bandwidth, body, { signal: call.signal, timeoutMs: BENCHMARK_MS });
      } finally {
        running = false;
      }
    },
  };
}
