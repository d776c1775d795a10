/**
 * The engine's service: accepts links, serves each, and ends them in good order.
 */
import { once } from 'node:events';
import type { EngineLink, EngineListener } from './engine-listener.ts';
import { type LinkDeps, LinkServer } from './link-server.ts';

/** Links at once: a Core has two, and two more while it reconnects. */
const MAX_LINKS = 16;

/** What serves until it is closed. */
export interface EngineService {
  /** Calls in flight on all links. */
  readonly callsInFlight: number;
  /**
   * Takes no new links, waits until the calls in flight are answered or `graceMs` have passed, and ends the links.
   */
  close(graceMs: number): Promise<void>;
}

/**
 * Starts to serve.
 *
 * @throws KmsError if the listener cannot listen.
 */
export async function serveEngine(listener: EngineListener, deps: LinkDeps): Promise<EngineService> {
  const links = new Set<LinkServer>();
  let closing = false;
  const accept = (link: EngineLink) => {
    if (closing) {
      link.stream.destroy();
      return;
    }
    if (links.size >= MAX_LINKS) {
      deps.log.warn({ event: 'engine.link.too-many', links: links.size });
      link.stream.destroy();
      return;
    }
    const server = new LinkServer(link, deps);
    links.add(server);
    void server.ended.then(() => links.delete(server));
  };
  await listener.listen(accept);
  return {
    get callsInFlight() {
      return deps.budget.calls;
    },
    close: async (graceMs) => {
      closing = true;
      await settled(deps, graceMs);
      for (const link of links) link.end();
      await listener.close();
      await Promise.all([...links].map((link) => link.ended));
    },
  };
}

async function settled({ budget }: LinkDeps, graceMs: number): Promise<void> {
  const giveUp = AbortSignal.timeout(graceMs);
  const gaveUp = once(giveUp, 'abort');
  await Promise.race([budget.whenIdle(), gaveUp]);
}
