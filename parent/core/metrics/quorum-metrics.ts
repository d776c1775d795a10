/**
 * What the engine of a threshold node says of its quorum, asked at scrape time: counters of the engine, faults of parties.
 *
 * While the engine is away there are no values, rather than old ones. No label holds an id that a user sent: epochs are
 * made by operators.
 */
import { fromBinary } from '@bufbuild/protobuf';
import { Counter, Gauge } from 'prom-client';
import type { Clock } from '../../../common/clock.ts';
import type { MetricsRegistry } from '../../../common/metrics.ts';
import {
  EngineStatusSchema,
  type PeerState,
  PeerTableSchema,
  type QuorumStatus,
  type ThresholdInfo,
} from '../../../proto/gen/engine_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import type { EngineClient } from '../engine-client/engine-client.ts';

/** What the metrics are read from. */
export interface QuorumMetricsDeps {
  readonly engine: EngineClient;
  readonly clock: Clock;
}

/** One look at the engine. */
interface Snapshot {
  readonly threshold: ThresholdInfo;
  readonly quorum: QuorumStatus;
  /** Engines of the other parties. */
  readonly peers: readonly PeerState[];
}

type Value = readonly [labels: Readonly<Record<string, string>>, value: number];

/** One scrape reads all metrics of one look; the next scrape looks again. */
const FRESH_MS = 500;
const TIMEOUT_MS = 2_000;
const NOTHING = new Uint8Array(0);

/** Registers `kms_quorum_*`. */
export function registerQuorumMetrics(registry: MetricsRegistry, deps: QuorumMetricsDeps): void {
  const look = sharedLook(deps);
  for (const { name, help, labels = [], counts = false, read } of METRICS) {
    const options = { name, help, labelNames: [...labels], registers: [registry] };
    const values = async (): Promise<readonly Value[]> => {
      const snapshot = await look();
      return snapshot ? read(snapshot) : [];
    };
    if (counts) {
      new Counter({
        ...options,
        async collect() {
          const all = await values();
          this.reset();
          if (all.length === 0 && labels.length === 0) this.remove();
          for (const [of, value] of all) this.inc({ ...of }, value);
        },
      });
    } else {
      new Gauge({
        ...options,
        async collect() {
          const all = await values();
          this.reset();
          if (all.length === 0 && labels.length === 0) this.remove();
          for (const [of, value] of all) this.set({ ...of }, value);
        },
      });
    }
  }
}

interface Metric {
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly string[];
  /** A counter; a gauge if absent. */
  readonly counts?: boolean;
  read(snapshot: Snapshot): readonly Value[];
}

const one = (value: number | bigint | boolean): readonly Value[] => [[{}, Number(value)]];

const METRICS: readonly Metric[] = [
  {
    name: 'kms_quorum_settled',
    help: 'Whether all parties have the first epoch, so that clients are served',
    read: ({ threshold }) => one(threshold.settled),
  },
  {
    name: 'kms_quorum_contexts',
    help: 'Contexts that this node knows',
    read: ({ threshold }) => one(threshold.contexts.length),
  },
  {
    name: 'kms_quorum_epochs',
    help: 'Epochs that this node has',
    read: ({ threshold }) => one(threshold.epochs.length),
  },
  {
    name: 'kms_quorum_peer_attested',
    help: 'Whether the engine of a party is connected and attested',
    labels: ['party'],
    read: ({ peers }) => peers.map(({ party, attested }) => [{ party: String(party) }, Number(attested)]),
  },
  {
    name: 'kms_quorum_faults_total',
    help: 'What this engine has seen the other parties do wrong',
    labels: ['party', 'kind'],
    counts: true,
    read: ({ peers }) =>
      peers.flatMap(({ party, faults }) =>
        faults.map(({ kind, count }): Value => [{ party: String(party), kind }, Number(count)]),
      ),
  },
  {
    name: 'kms_quorum_failed_checks',
    help: 'Key sets that the parties hold no common key of: an encryption of zero did not open to zero',
    read: ({ quorum }) => one(quorum.failedChecks.length),
  },
  {
    name: 'kms_quorum_pending_requests',
    help: 'Requests that wait for the approval or the shares of other parties',
    read: ({ quorum }) => one(quorum.pending),
  },
  {
    name: 'kms_quorum_remembered_requests',
    help: 'Requests whose shares other parties may ask for again',
    read: ({ quorum }) => one(quorum.remembered),
  },
  {
    name: 'kms_quorum_kept_shares_bytes',
    help: 'Bytes of own shares kept for parties that ask again',
    read: ({ quorum }) => one(quorum.keptSharesBytes),
  },
  {
    name: 'kms_quorum_decryptions_total',
    help: 'Decryptions that this engine has answered',
    labels: ['kind'],
    counts: true,
    read: ({ quorum }) => [
      [{ kind: 'public' }, Number(quorum.publicDecryptions)],
      [{ kind: 'user' }, Number(quorum.userDecryptions)],
    ],
  },
  {
    name: 'kms_quorum_frames_sent_total',
    help: 'Frames sent to other parties',
    counts: true,
    read: ({ quorum }) => one(quorum.framesSent),
  },
  {
    name: 'kms_quorum_sent_bytes_total',
    help: 'Bytes of frames sent to other parties',
    counts: true,
    read: ({ quorum }) => one(quorum.bytesSent),
  },
  {
    name: 'kms_quorum_unknown_entries_total',
    help: 'Entries of other parties that were for no request of this engine',
    counts: true,
    read: ({ quorum }) => one(quorum.unknown),
  },
  {
    name: 'kms_quorum_dropped_entries_total',
    help: 'Entries of other parties that were dropped',
    counts: true,
    read: ({ quorum }) => one(quorum.dropped),
  },
  {
    name: 'kms_quorum_masked_blocks_total',
    help: 'Distinct blocks masked under an epoch since the engine started: at least so many',
    labels: ['epoch_id'],
    counts: true,
    read: ({ quorum }) => quorum.masks.map(({ epochId, blocks }) => [{ epoch_id: epochId }, Number(blocks)]),
  },
];

/** Looks at the engine once for all metrics of a scrape. */
function sharedLook({ engine, clock }: QuorumMetricsDeps): () => Promise<Snapshot | undefined> {
  let last: { readonly atMs: number; readonly snapshot: Promise<Snapshot | undefined> } | undefined;
  return () => {
    const nowMs = clock.monotonicMs();
    if (!last || nowMs - last.atMs > FRESH_MS) last = { atMs: nowMs, snapshot: lookAt(engine) };
    return last.snapshot;
  };
}

async function lookAt(engine: EngineClient): Promise<Snapshot | undefined> {
  const { threshold } = engine.info() ?? {};
  if (!threshold || engine.state !== 'connected') return undefined;
  try {
    const [status, table] = await Promise.all([
      engine.call(ENGINE_METHOD.status, NOTHING, { timeoutMs: TIMEOUT_MS }),
      engine.call(ENGINE_METHOD.peers, NOTHING, { timeoutMs: TIMEOUT_MS }),
    ]);
    const { quorum } = fromBinary(EngineStatusSchema, status);
    const peers = fromBinary(PeerTableSchema, table).peers.filter(({ role }) => role === 'engine');
    return quorum && { threshold, quorum, peers };
  } catch {
    return undefined; // an engine that is away has no numbers, and its absence has metrics of its own
  }
}
