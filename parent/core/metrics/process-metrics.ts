/**
 * Gauges about this process and its machine, read at scrape time only.
 */
import { readdirSync } from 'node:fs';
import { availableParallelism, freemem, loadavg, totalmem } from 'node:os';
import { Gauge } from 'prom-client';
import { systemClock } from '../../../common/clock.ts';
import type { MetricsRegistry } from '../../../common/metrics.ts';

/** Registers the process gauges of spec 10; `version` becomes the label of `kms_version`. */
export function registerProcessMetrics(registry: MetricsRegistry, version: string): void {
  let cpu = process.cpuUsage();
  let cpuAt = systemClock.monotonicMs();
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read());
      },
    });
  };
  gauge('kms_file_descriptors', 'Open file descriptors of this process', countDescriptors);
  gauge('kms_total_cpus', 'Processors that this process may use', availableParallelism);
  gauge('kms_total_memory', 'Memory of the machine in bytes', totalmem);
  gauge('kms_memory_usage', 'Used memory of the machine in bytes', () => totalmem() - freemem());
  gauge('kms_process_memory_usage', 'Resident memory of this process in bytes', () => process.memoryUsage.rss());
  gauge('kms_cpu_load', 'Load of the machine over the last minute, per processor', () => {
    return (loadavg()[0] ?? 0) / availableParallelism();
  });
  gauge('kms_process_cpu_usage', 'Processors in use by this process since the last scrape', () => {
    const now = systemClock.monotonicMs();
    const used = process.cpuUsage(cpu);
    const share = (used.user + used.system) / 1000 / Math.max(now - cpuAt, 1);
    cpu = process.cpuUsage();
    cpuAt = now;
    return share;
  });
  new Gauge({ name: 'kms_version', help: 'Version of this program', labelNames: ['version'], registers: [registry] })
    .labels(version)
    .set(1);
}

function countDescriptors(): number {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return 0; // no such folder outside Linux
  }
}
