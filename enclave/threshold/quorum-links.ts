/**
 * What the quorum needs of the network: frames to and from each other engine, and time.
 *
 * Links are private and authenticated: the party named is the party that sent. What it says may be a lie. Frames may be
 * lost with a connection, come twice or overtake each other; nothing here depends on it.
 */

/** What a quorum does with what comes. */
export interface QuorumListener {
  /** A frame came; its bytes are the listener's until it returns, to be copied if they are kept. */
  onFrame(from: number, frame: Uint8Array): void;
  /** A connection to a party stands, the first or a new one: what was under way before may be lost. */
  onConnected(party: number): void;
}

/** Frames to the other engines of a context. */
export interface QuorumLinks {
  /**
   * Hands over one frame, which the link owns from then on.
   *
   * @returns A promise that resolves when the link has room for the next one, whether or not this one arrives.
   */
  send(to: number, frame: Uint8Array): Promise<void>;
  /** Ends the connection to a party that broke the format; a new one may come later. */
  drop(party: number, reason: string): void;
  /** Begins to deliver; returns a function that ends it. */
  listen(listener: QuorumListener): () => void;
}

/** Waits on the monotonic clock. */
export interface QuorumTimers {
  monotonicMs(): number;
  /** Calls back at an instant; returns a function that takes it back. */
  at(instantMs: number, callback: () => void): () => void;
  /** Calls back at the end of this tick: after everything that has come by now was looked at. */
  soon(callback: () => void): void;
}

/** Timers of the machine. */
export function systemQuorumTimers(monotonicMs: () => number): QuorumTimers {
  return {
    monotonicMs,
    at: (instantMs, callback) => {
      // A timer counts from when its turn of the loop began, so it may end a little early: then the rest is waited for.
      const wait = (): NodeJS.Timeout =>
        setTimeout(
          () => {
            if (monotonicMs() >= instantMs) callback();
            else timer = wait();
          },
          Math.max(0, Math.ceil(instantMs - monotonicMs())),
        );
      let timer = wait();
      return () => clearTimeout(timer);
    },
    soon: (callback) => {
      setImmediate(callback);
    },
  };
}
