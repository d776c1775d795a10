/**
 * Waits until the engine of a threshold node says that every party has the first epoch: no client is served before.
 *
 * Until then the engine is asked to describe itself again and again, since nothing else tells of it.
 */
import { KmsError } from '../../../common/errors.ts';
import type { Logger } from '../../../common/log.ts';
import type { EngineClient } from '../engine-client/engine-client.ts';
import { pause } from '../pause.ts';

/** A quorum that is, or was, on its way to serve. */
export interface QuorumWatch {
  /** Resolves once the engine is connected and settled. Rejects with CANCELLED when closed before. */
  readonly settled: Promise<void>;
  /** Resolves once the engine waits for governance, which operators may take days for. Never, if it settles before. */
  readonly blocked: Promise<void>;
  /** Why it does not serve, for people; empty once settled. */
  reasons(): readonly string[];
  close(): void;
}

const EVERY_MS = 200;

/** Follows an engine from now on, through its restarts too. */
export function followQuorum(engine: EngineClient, log: Logger, everyMs = EVERY_MS): QuorumWatch {
  const closing = new AbortController();
  const { promise: settled, resolve, reject } = Promise.withResolvers<void>();
  settled.catch(() => undefined); // whoever waits for it hears of it
  const { promise: blocked, resolve: block } = Promise.withResolvers<void>();
  let watching = false;
  const watch = async (): Promise<void> => {
    if (watching) return;
    watching = true;
    while (!closing.signal.aborted && engine.state === 'connected' && !isSettled(engine)) {
      if (engine.info()?.threshold?.awaitsGovernance) block();
      await pause(everyMs, closing.signal);
      if (closing.signal.aborted || engine.state !== 'connected') break;
      try {
        await engine.refreshInfo(closing.signal);
      } catch (err) {
        log.debug({ event: 'quorum.not-asked', err }); // the engine is away: its return begins another watch
      }
    }
    watching = false;
    if (engine.state === 'connected' && isSettled(engine)) resolve();
  };
  const forget = engine.onState((state) => void (state === 'connected' && watch()));
  if (engine.state === 'connected') void watch();

  return {
    settled,
    blocked,
    reasons() {
      const info = engine.info();
      if (info && !info.threshold) return ['the engine holds whole keys: its configuration has no [threshold]'];
      if (isSettled(engine)) return [];
      return [info?.threshold?.startReason || 'the parties have not all made the first epoch yet'];
    },
    close() {
      forget();
      closing.abort();
      reject(new KmsError('CANCELLED', 'no longer waiting for the quorum'));
    },
  };
}

function isSettled(engine: EngineClient): boolean {
  return engine.info()?.threshold?.settled ?? false;
}
