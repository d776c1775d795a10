/** An engine that is attested like the others and says what it wants: its frames come from the test. */
import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { meshDialer } from '../../../attestation/mesh/dialer.ts';
import { FrameLink } from '../../../attestation/mesh/frame-link.ts';
import { unixDial } from '../../../attestation/mesh/transport-unix.ts';
import { concatBytes } from '../../../common/bytes.ts';
import { systemClock } from '../../../common/clock.ts';
import { systemRandom } from '../../../common/random.ts';
import { MeshQuorumLinks } from '../../../enclave/threshold/mesh-links.ts';
import type { EngineNetwork } from '../../helpers/engine-network.ts';
import type { Teardown } from '../../helpers/temp-dir.ts';

/** See the file comment. */
export interface HostileEngine {
  readonly link: FrameLink;
  /** What its frames go over. */
  readonly stream: Duplex;
  /** Frames that the other side has sent, with their channels' tags. */
  readonly heard: Uint8Array[];
  /** Sends a frame on a channel. */
  say(channel: string, payload: Uint8Array): Promise<void>;
  /** Sends whatever it is. */
  raw(frame: Uint8Array): Promise<void>;
  /** Why its newest connection ended, once it has. */
  ended(): string | undefined;
}

/** Returns what stands before the frames of a channel. */
export function channelTag(name: string): Uint8Array {
  return createHash('sha256').update(name).digest().subarray(0, 8);
}

/** Connects party `me`, the lower one, to party 2. */
export async function hostileEngine(t: Teardown, network: EngineNetwork, me: number): Promise<HostileEngine> {
  const to = 2;
  const { mesh } = await network.start(me, { peers: { dial: () => () => Promise.reject(new Error('does not dial')) } });
  const expect = { service: 'engine-data', role: 'engine', party: to } as const;
  const connection = await meshDialer({ dial: unixDial(network.endpoint(to)), endpoint: mesh.endpoint, expect })(
    AbortSignal.timeout(60_000),
  );
  let reason: string | undefined;
  void connection.closed.then((why) => {
    reason = why;
  });
  const link = new FrameLink({ peer: 'victim', clock: systemClock, limits: { maxPayloadBytes: 2 * 1024 * 1024 } });
  const links = new MeshQuorumLinks({ me, links: new Map([[to, link]]), random: systemRandom });
  const heard: Uint8Array[] = [];
  links.listen({ onFrame: (_, frame) => heard.push(frame.slice()), onConnected: () => undefined });
  const channel = link.attach(connection.stream);
  await channel.ready;
  links.connected(to);
  t.teardown(() => link.close('test over'));
  const raw = (frame: Uint8Array): Promise<void> => links.send(to, frame);
  const { stream } = connection;
  return {
    link,
    stream,
    heard,
    raw,
    say: (name, payload) => raw(concatBytes(channelTag(name), payload)),
    ended: () => reason,
  };
}
