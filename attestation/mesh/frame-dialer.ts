/**
 * Keeps a frame link to a peer connected: dials, renews and comes back, while the link moves its sessions along.
 *
 * Of two engines exactly one dials (by rule, the one with the lower party number): the newest connection replaces the one
 * before, so two that dial would replace each other's for ever. The other side attaches what its listener hands out.
 */
import type { MeshDialer } from './dialer.ts';
import type { FrameLink } from './frame-link.ts';
import { type Renewable, RenewingLink, type RenewingOptions } from './renewing.ts';

/** Settings of {@link dialFrames}. */
export interface FrameDialerOptions extends Omit<RenewingOptions<Renewable>, 'open'> {
  readonly dial: MeshDialer;
  readonly link: FrameLink;
  /** Told of each connection that the peer serves: sessions can be opened on it. */
  readonly onServed?: () => void;
}

/**
 * Connects `link` and keeps it so until the returned link is closed.
 *
 * A session lives on the connection that was newest when it began. Certificates last hours, the last third of which is
 * left to sessions of the old connection; one that takes longer goes on on the next connection if it can be resumed, and
 * fails with `UNAVAILABLE` if not.
 */
export function dialFrames({ dial, link, onServed, ...options }: FrameDialerOptions): RenewingLink<Renewable> {
  const open = async (signal: AbortSignal): Promise<Renewable> => {
    const connection = await dial(signal);
    const channel = link.attach(connection.stream);
    void channel.closed.then((reason) => connection.explain(reason));
    await channel.ready;
    onServed?.();
    const { renewAtMs, closeAtMs, closed } = connection;
    // The link retires a channel by itself once its successor is served, and closes it after its last session.
    return { renewAtMs, closeAtMs, closed, close: (reason) => channel.close(reason), retire: () => undefined };
  };
  return new RenewingLink({ ...options, open });
}
