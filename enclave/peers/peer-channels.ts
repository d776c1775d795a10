/**
 * Many named channels over one session to each peer: each frame begins with the first 8 bytes of SHA-256 of its
 * channel's name. Frames may be shares: nothing here reads what follows. Format: docs/formats/peer-frames.md.
 */
import { createHash } from 'node:crypto';
import { concatBytes } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import type { QuorumLinks, QuorumListener } from '../threshold/quorum-links.ts';
import type { PeerChannel } from './peer-network.ts';

/** Bytes before each frame. */
export const CHANNEL_TAG_BYTES = 8;

/** The one set of sessions that all channels share. */
export interface SharedLinks extends QuorumLinks {
  /** Parties that frames can be sent to now. */
  reachable(): readonly number[];
}

interface Channel {
  readonly name: string;
  listener: QuorumListener | undefined;
}

/** See the file comment. */
export class PeerChannels {
  readonly #links: SharedLinks;
  readonly #channels = new Map<bigint, Channel>();
  readonly #stop: () => void;
  #unknown = 0;

  constructor(links: SharedLinks) {
    this.#links = links;
    this.#stop = links.listen({
      onFrame: (from, frame) => this.#deliver(from, frame),
      onConnected: (party) => {
        for (const { listener } of [...this.#channels.values()]) listener?.onConnected(party);
      },
    });
  }

  /** Frames for channels that nobody has here, or that were no frames. */
  get unknown(): number {
    return this.#unknown;
  }

  /** See `PeerNetwork.channel`. */
  open(name: string): PeerChannel {
    const tag = tagOf(name);
    const key = keyOf(tag);
    if (this.#channels.has(key)) throw new KmsError('ALREADY_EXISTS', 'a channel of this name is open', { name });
    const channel: Channel = { name, listener: undefined };
    this.#channels.set(key, channel);
    return {
      send: (to, frame) => this.#links.send(to, concatBytes(tag, frame)),
      drop: (party, reason) => this.#links.drop(party, reason),
      listen: (listener) => {
        channel.listener = listener;
        for (const party of this.#links.reachable()) listener.onConnected(party);
        return () => {
          if (channel.listener === listener) channel.listener = undefined;
        };
      },
      close: () => {
        channel.listener = undefined;
        if (this.#channels.get(key) === channel) this.#channels.delete(key);
      },
    };
  }

  /** Delivers nothing more. */
  close(): void {
    this.#stop();
    this.#channels.clear();
  }

  #deliver(from: number, frame: Uint8Array): void {
    const listener = frame.byteLength < CHANNEL_TAG_BYTES ? undefined : this.#channels.get(keyOf(frame))?.listener;
    if (listener) listener.onFrame(from, frame.subarray(CHANNEL_TAG_BYTES));
    else this.#unknown += 1;
  }
}

function tagOf(name: string): Uint8Array {
  return createHash('sha256').update(name, 'utf8').digest().subarray(0, CHANNEL_TAG_BYTES);
}

function keyOf(frame: Uint8Array): bigint {
  return new DataView(frame.buffer, frame.byteOffset, CHANNEL_TAG_BYTES).getBigUint64(0, true);
}
