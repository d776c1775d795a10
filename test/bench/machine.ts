/** Names the machine and the versions that figures belong to. */
import { arch, cpus, release, totalmem, type } from 'node:os';

/** One line: processor, cores, memory, system, Node. */
export function describeMachine(): string {
  const cores = cpus();
  const model = cores[0]?.model.trim() || 'unknown processor';
  const gigabytes = Math.round(totalmem() / 2 ** 30);
  return `${cores.length} × ${model}, ${gigabytes} GiB, ${type()} ${release()} ${arch()}, Node ${process.versions.node}`;
}
