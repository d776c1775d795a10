/** Two ends of one stream, with frame links or channels on them. */
import { duplexPair } from 'node:stream';
import type { Test } from 'tap';
import { FrameChannel, type FrameChannelOptions } from '../../../../attestation/mesh/frame-channel.ts';
import type { InFlow } from '../../../../attestation/mesh/frame-flows.ts';
import { FrameLink, type FrameLinkOptions } from '../../../../attestation/mesh/frame-link.ts';
import { systemClock } from '../../../../common/clock.ts';

/** Two links with one connection between them. */
export function linkPair(t: Test, options: Partial<FrameLinkOptions> = {}): { a: FrameLink; b: FrameLink } {
  const a = new FrameLink({ peer: 'party 2', clock: systemClock, ...options });
  const b = new FrameLink({ peer: 'party 1', clock: systemClock, ...options });
  connectLinks(a, b);
  t.teardown(() => {
    a.close('test over');
    b.close('test over');
  });
  return { a, b };
}

/** Puts another connection between two links. */
export function connectLinks(a: FrameLink, b: FrameLink): { a: FrameChannel; b: FrameChannel } {
  const [left, right] = duplexPair();
  return { a: a.attach(left), b: b.attach(right) };
}

/** A channel whose peer is the test itself, byte by byte. */
export function rawPeer(t: Test, options: Partial<FrameChannelOptions> = {}) {
  const [left, raw] = duplexPair();
  const flows: InFlow[] = [];
  const channel = new FrameChannel(left, { peer: 'party 2', onFlow: (flow) => flows.push(flow), ...options });
  raw.on('error', () => undefined);
  raw.resume();
  t.teardown(() => channel.close('test over'));
  return { channel, raw, flows };
}

/** The session id whose bytes are all `fill`. */
export function sessionId(fill: number): Uint8Array {
  return new Uint8Array(32).fill(fill);
}

/** Lets everything run that waits for no one but the event loop. */
export async function settle(turns = 20): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
}
