/**
 * The mesh on a metrics registry: peers, own certificate, strangers at the door, frames. Everything is read when it is
 * scraped; nothing is counted twice. Labels are roles and party numbers, which the context bounds.
 */
import { Counter, Gauge } from 'prom-client';
import type { Clock } from '../../common/clock.ts';
import type { MetricsRegistry } from '../../common/metrics.ts';
import type { FrameLinkStats } from './frame-link.ts';
import type { MeshListenerStats } from './listener.ts';
import type { MeshEndpoint } from './mesh-context.ts';
import type { PeerTable } from './peer-table.ts';

/** What the metrics are read from. */
export interface MeshMetricsSources {
  readonly clock: Clock;
  readonly endpoint: Pick<MeshEndpoint, 'health'>;
  readonly peers: PeerTable;
  /** When the running release may no longer connect, in milliseconds since the epoch; undefined if nothing says so. */
  readonly releaseExpiresMs?: () => number | undefined;
  readonly listeners?: () => readonly MeshListenerStats[];
  /** Frame links by party. */
  readonly frames?: () => ReadonlyMap<number, FrameLinkStats>;
}

/** Registers the `kms_mesh_*` metrics. Once for each registry. */
export function registerMeshMetrics(registry: MetricsRegistry, sources: MeshMetricsSources): void {
  registerOwn(registry, sources);
  registerPeers(registry, sources);
  if (sources.listeners) registerListeners(registry, sources.listeners);
  if (sources.frames) registerFrames(registry, sources.frames);
}

function registerOwn(registry: MetricsRegistry, { clock, endpoint, releaseExpiresMs }: MeshMetricsSources): void {
  const gauge = (name: string, help: string, read: () => number | undefined): void => {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        const value = read();
        // A gauge that is reset would say 0, which is an alarm.
        if (value === undefined) this.remove();
        else this.set(value);
      },
    });
  };
  const secondsUntil = (ms: number): number => (ms - clock.nowMs()) / 1000;
  gauge('kms_mesh_ok', '1 while this process can open and accept mesh connections', () => Number(endpoint.health().ok));
  gauge('kms_mesh_certificate_expires_seconds', 'Seconds until the own mesh certificate ends', () =>
    secondsUntil(endpoint.health().leafExpiresMs),
  );
  gauge('kms_mesh_renewal_failures', 'Renewals of the own certificate that failed since the last good one', () => {
    return endpoint.health().failedRenewals;
  });
  if (!releaseExpiresMs) return;
  gauge('kms_mesh_release_expires_seconds', 'Seconds until the running release may no longer connect', () => {
    const ms = releaseExpiresMs();
    return ms === undefined ? undefined : secondsUntil(ms);
  });
}

function registerPeers(registry: MetricsRegistry, { clock, peers }: MeshMetricsSources): void {
  type Row = ReturnType<PeerTable['rows']>[number];
  const gauge = (name: string, help: string, read: (row: Row) => number | undefined): void => {
    new Gauge({
      name,
      help,
      labelNames: ['role', 'party'],
      registers: [registry],
      collect() {
        this.reset();
        for (const row of peers.rows()) {
          const value = read(row);
          if (value !== undefined) this.set({ role: row.role, party: String(row.party) }, value);
        }
      },
    });
  };
  const seconds = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : ms / 1000);
  gauge('kms_mesh_peer_reachable', '1 if the peer answered when it was last tried', ({ reachable }) =>
    reachable === undefined ? undefined : Number(reachable),
  );
  gauge('kms_mesh_peer_attested', '1 while a verified connection to the peer is open', ({ attested }) =>
    Number(attested),
  );
  gauge('kms_mesh_peer_connections', 'Verified connections to the peer', ({ connections }) => connections);
  gauge('kms_mesh_peer_expires_seconds', 'Seconds until the newest connection to the peer must end', (row) =>
    row.attested && row.expiresMs !== undefined ? (row.expiresMs - clock.nowMs()) / 1000 : undefined,
  );
  gauge('kms_mesh_peer_skew_seconds', "The peer's clock minus ours, by the signed time of its proof", ({ skewMs }) =>
    seconds(skewMs),
  );
  gauge('kms_mesh_peer_last_seen_seconds', 'When the peer was last seen, in seconds since 1970', ({ lastSeenMs }) =>
    seconds(lastSeenMs),
  );
}

function registerListeners(registry: MetricsRegistry, listeners: () => readonly MeshListenerStats[]): void {
  const sum = (read: (stats: MeshListenerStats) => number): number =>
    listeners().reduce((total, stats) => total + read(stats), 0);
  new Counter({
    name: 'kms_mesh_accepted_total',
    help: 'Connections that came to the mesh, by what became of them',
    labelNames: ['outcome'],
    registers: [registry],
    collect() {
      this.reset();
      for (const outcome of ['verified', 'refused', 'unspoken', 'evicted', 'overParty'] as const) {
        this.inc(
          { outcome: WORDS[outcome] },
          sum((stats) => stats[outcome]),
        );
      }
    },
  });
  new Gauge({
    name: 'kms_mesh_strangers',
    help: 'Connections whose peer has not proven who it is, by how far they are',
    labelNames: ['state'],
    registers: [registry],
    collect() {
      for (const state of ['silent', 'handshakes'] as const)
        this.set(
          { state },
          sum((stats) => stats[state]),
        );
    },
  });
}

const WORDS = {
  verified: 'verified',
  refused: 'refused',
  unspoken: 'unspoken',
  evicted: 'evicted',
  overParty: 'over_party',
} as const;

function registerFrames(registry: MetricsRegistry, links: () => ReadonlyMap<number, FrameLinkStats>): void {
  const counter = (name: string, help: string, read: (stats: FrameLinkStats) => Record<string, number>): void => {
    new Counter({
      name,
      help,
      labelNames: ['party', 'direction'],
      registers: [registry],
      collect() {
        this.reset();
        for (const [party, stats] of links()) {
          for (const [direction, value] of Object.entries(read(stats)))
            this.inc({ party: String(party), direction }, value);
        }
      },
    });
  };
  counter('kms_mesh_frames_total', 'Data frames', (stats) => ({ in: stats.framesIn, out: stats.framesOut }));
  counter('kms_mesh_frame_payload_bytes_total', 'Bytes of payloads', (stats) => ({
    in: stats.payloadBytesIn,
    out: stats.payloadBytesOut,
  }));
  counter('kms_mesh_frames_dropped_total', 'Data frames of sessions that nobody wanted', ({ dropped }) => ({
    in: dropped,
  }));
  new Gauge({
    name: 'kms_mesh_frame_buffered_bytes',
    help: 'Received from the peer and not read yet',
    labelNames: ['party'],
    registers: [registry],
    collect() {
      this.reset();
      for (const [party, { bufferedBytes }] of links()) this.set({ party: String(party) }, bufferedBytes);
    },
  });
}
