/** Processor time and memory of a running process, read from /proc. */
import { readFileSync } from 'node:fs';

/** Clock ticks of /proc per second: 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

function cpuOf(statPath: string): number {
  // The name may hold spaces and parentheses: fields are counted after its last parenthesis.
  const stat = readFileSync(statPath, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** User and system time of a process so far, in seconds. */
export function cpuSeconds(pid: number): number {
  return cpuOf(`/proc/${pid}/stat`);
}

/** The same of its main thread alone, where JavaScript runs. */
export function mainThreadCpuSeconds(pid: number): number {
  return cpuOf(`/proc/${pid}/task/${pid}/stat`);
}

/** Memory now and at its highest, in megabytes. */
export function memory(pid: number): { readonly residentMb: number; readonly peakMb: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  const kilobytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? Number.NaN);
  return { residentMb: kilobytes('VmRSS') / 1000, peakMb: kilobytes('VmHWM') / 1000 };
}
