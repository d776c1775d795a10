/** What a connection of the mesh costs: both sides of a whole handshake in this process, their attesters included. */
import { connectPair, createTestMesh } from '../helpers/mesh-pair.ts';
import type { Bench } from './decryption.ts';

const REPEATS = 100;
const WARM_UP = 20;

/** Measures engine to engine, the dearest kind, one at a time: known chains, as every connection but the first has. */
export async function measureMeshHandshake({ figures, say }: Pick<Bench, 'figures' | 'say'>): Promise<void> {
  const cleanups: (() => unknown)[] = [];
  const teardown = { teardown: (clean: () => unknown) => cleanups.push(clean) };
  try {
    const mesh = await createTestMesh(teardown);
    const [near, far] = [await mesh.endpoint('engine'), await mesh.endpoint('engine', { party: 2 })];
    const times: number[] = [];
    let usage = process.cpuUsage();
    for (let i = -WARM_UP; i < REPEATS; i++) {
      if (i === 0) usage = process.cpuUsage();
      const before = performance.now();
      const [client, server] = await connectPair(teardown, near, far);
      if (i >= 0) times.push(performance.now() - before);
      client.close('measured');
      await server.closed;
    }
    const { user, system } = process.cpuUsage(usage);
    times.sort((a, b) => a - b);
    const p50 = times[Math.floor(REPEATS / 2)] ?? 0;
    const p99 = times[Math.floor(REPEATS * 0.99)] ?? 0;
    const cpuMs = (user + system) / 1_000 / REPEATS;
    figures.add({ name: 'mesh.handshake.p50Ms', value: p50, unit: 'ms' });
    figures.add({ name: 'mesh.handshake.p99Ms', value: p99, unit: 'ms' });
    figures.add({ name: 'mesh.handshake.cpuMs', value: cpuMs, unit: 'ms', note: 'both sides and both attesters' });
    say(
      `mesh handshake: p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms, ${cpuMs.toFixed(2)} ms CPU for both sides`,
    );
  } finally {
    for (const clean of cleanups.reverse()) await clean();
  }
}
