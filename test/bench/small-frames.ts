/** What a frame of a quorum costs on its way between two engines: one at a time over TLS, as at low load. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { FrameLink } from '../../attestation/mesh/frame-link.ts';
import { systemClock } from '../../common/clock.ts';
import type { Bench } from './decryption.ts';
import { tlsTo } from './frame-channel.ts';
import { BENCH_SESSION } from './frame-peer.ts';
import { cpuSeconds } from './process-usage.ts';

const PEER = fileURLToPath(new URL('./frame-peer.ts', import.meta.url));
/** Channel tag, announcement and shares of an euint64, in a frame. */
const FRAME_BYTES = 8 + 1 + 66 + 277;
const FRAMES = 20_000;

/** Measures the sending and the receiving process. */
export async function measureSmallFrames({ figures, say }: Pick<Bench, 'figures' | 'say'>): Promise<void> {
  const args = [PEER, String(FRAME_BYTES * FRAMES)];
  const peer = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const pid = peer.pid;
  if (pid === undefined) throw new Error('the receiver did not start');
  try {
    const [line] = await once(createInterface(peer.stdout), 'line');
    const link = new FrameLink({ peer: 'the receiver', clock: systemClock });
    await link.attach(await tlsTo(Number(String(line).split(' ')[1]))).ready;
    const session = link.open(BENCH_SESSION);
    const round = async (): Promise<void> => {
      const done = session.receive();
      for (let sent = 0; sent < FRAMES; sent++) {
        await session.send(0, new Uint8Array(FRAME_BYTES));
        await nextTurn();
      }
      await done;
    };
    await round(); // warm-up
    const [before, theirs] = [process.cpuUsage(), cpuSeconds(pid)];
    await round();
    const used = process.cpuUsage(before);
    const values = {
      send: (used.user + used.system) / FRAMES,
      receive: ((cpuSeconds(pid) - theirs) * 1e6) / FRAMES,
    };
    for (const [way, value] of Object.entries(values)) {
      figures.add({ name: `step.peerFrame.${way}`, value, unit: 'µs', note: `${FRAME_BYTES} bytes, one at a time` });
    }
    say(`a frame between engines: ${values.send.toFixed(1)} µs to send, ${values.receive.toFixed(1)} µs to receive`);
    link.close('measured');
  } finally {
    peer.stdin.end();
    await once(peer, 'exit');
  }
}
