/**
 * Frames between engines on loopback against bare node:tls, sender and receiver as two processes, in one run.
 *
 * Both push the same bytes through the same kind of connection; rounds alternate, so that what else the machine does
 * falls on both.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { connect, type TLSSocket } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { FrameLink } from '../../attestation/mesh/frame-link.ts';
import type { FrameSession } from '../../attestation/mesh/frame-session.ts';
import { systemClock } from '../../common/clock.ts';
import { type Figure, Figures, textTable } from './figures.ts';
import { BENCH_SESSION, benchContext } from './frame-peer.ts';

/** What the step needs of a benchmark run. */
export interface FrameBench {
  readonly figures: { add(figure: Figure): void };
  readonly say: (line: string) => void;
}

const PEER = fileURLToPath(new URL('./frame-peer.ts', import.meta.url));
const ROUND_BYTES = 512 * 1024 * 1024;
const PAYLOAD_BYTES = 1024 * 1024;
const ROUNDS = 5;
/** Payloads on their way at a time. */
const IN_FLIGHT = 4;
const GOAL_MB = 600;
const GOAL_PERCENT = 80;

/** Measures both and adds figures: MB/s of each, and frames as a share of bare TLS. Reaching one goal suffices. */
export async function measureFrameChannel({ figures, say }: FrameBench): Promise<void> {
  const peer = spawn(process.execPath, [PEER, String(ROUND_BYTES)], { stdio: ['pipe', 'pipe', 'inherit'] });
  try {
    const [line] = await once(createInterface(peer.stdout), 'line');
    const [barePort = 0, framesPort = 0] = String(line).split(' ').map(Number);
    const bare = await tlsTo(barePort);
    const link = new FrameLink({ peer: 'the receiver', clock: systemClock });
    await link.attach(await tlsTo(framesPort)).ready;
    const session = link.open(BENCH_SESSION);
    const bareRates: number[] = [];
    const frameRates: number[] = [];
    for (let round = 0; round <= ROUNDS; round++) {
      const bareRate = await rateOf(() => pushBytes(bare));
      const frameRate = await rateOf(() => pushFrames(session));
      if (round === 0) continue; // warm-up
      bareRates.push(bareRate);
      frameRates.push(frameRate);
      say(`frames: ${frameRate.toFixed(0)} MB/s; node:tls alone: ${bareRate.toFixed(0)} MB/s`);
    }
    bare.destroy();
    link.close('measured');
    const [bareMedian, frameMedian] = [median(bareRates), median(frameRates)];
    const share = median(frameRates.map((rate, round) => (100 * rate) / (bareRates[round] ?? rate)));
    const reached = frameMedian >= GOAL_MB || share >= GOAL_PERCENT;
    const note = `goal: ${GOAL_MB} MB/s or ${GOAL_PERCENT} % of node:tls: ${reached ? 'reached' : 'missed'}`;
    figures.add({ name: 'mesh.nodeTls.mbPerSecond', value: bareMedian, unit: 'MB', note: 'per second' });
    figures.add({ name: 'mesh.frames.mbPerSecond', value: frameMedian, unit: 'MB', note: `per second; ${note}` });
    figures.add({ name: 'mesh.frames.shareOfNodeTls', value: share, unit: '%' });
  } finally {
    peer.stdin.end();
    await once(peer, 'exit');
  }
}

/** Connects as the mesh does, without the proof. */
export async function tlsTo(port: number): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port, secureContext: benchContext(), rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  socket.setNoDelay(true);
  return socket;
}

async function rateOf(push: () => Promise<void>): Promise<number> {
  const startedMs = systemClock.monotonicMs();
  await push();
  return ROUND_BYTES / 1000 / (systemClock.monotonicMs() - startedMs);
}

async function pushBytes(socket: TLSSocket): Promise<void> {
  const payload = Buffer.alloc(PAYLOAD_BYTES, 1);
  const done = once(socket, 'data');
  let inFlight = 0;
  let room = Promise.withResolvers<void>();
  for (let sent = 0; sent < ROUND_BYTES; sent += PAYLOAD_BYTES) {
    inFlight += 1;
    socket.write(payload, () => {
      inFlight -= 1;
      room.resolve();
    });
    if (inFlight < IN_FLIGHT) continue;
    room = Promise.withResolvers();
    await room.promise;
  }
  await done;
}

async function pushFrames(session: FrameSession): Promise<void> {
  const payload = Buffer.alloc(PAYLOAD_BYTES, 1);
  const done = session.receive();
  const sending: Promise<void>[] = [];
  for (let round = 0; round * PAYLOAD_BYTES < ROUND_BYTES; round++) {
    sending.push(session.send(round, payload));
    if (sending.length >= IN_FLIGHT) await sending.shift();
  }
  await Promise.all(sending);
  await done;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const figures = new Figures();
  await measureFrameChannel({ figures, say: (line) => process.stderr.write(`${line}\n`) });
  process.stdout.write(`${textTable(figures.all())}\n`);
}
