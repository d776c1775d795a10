/**
 * Keeps the Core's view in step with the engine's: asked at each connection, and every second after, so that both
 * judge their connections by the same record and release set.
 */
import { fromBinary } from '@bufbuild/protobuf';
import type { Logger } from '../../../common/log.ts';
import { type GovernanceState, GovernanceStateSchema } from '../../../proto/gen/engine_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import type { EngineClient } from '../engine-client/engine-client.ts';

const EVERY_MS = 1_000;
const TIMEOUT_MS = 10_000;
const NOTHING = new Uint8Array();

/** What is followed, and who hears of it. */
export interface FollowOptions {
  readonly engine: EngineClient;
  /** Takes what the engine holds. */
  take(state: GovernanceState): void;
  /** Asks the engine how its attester is. */
  askAttester(engine: EngineClient): Promise<void>;
  /** Looks at the node's files instead, while there is no engine to ask. */
  reread(): Promise<void>;
  readonly log: Logger;
}

/** Follows an engine; returns how to stop. */
export function followGovernance({ engine, take, askAttester, reread, log }: FollowOptions): () => void {
  let asking = false;
  const ask = async (): Promise<void> => {
    if (asking) return;
    asking = true;
    try {
      if (engine.state !== 'connected') {
        await reread();
        return;
      }
      const body = await engine.call(ENGINE_METHOD.governanceState, NOTHING, { timeoutMs: TIMEOUT_MS });
      take(fromBinary(GovernanceStateSchema, body));
      await askAttester(engine);
    } catch (err) {
      // The engine may go away between two questions; what it knows is asked again when it is back.
      log.debug({ event: 'governance.not-asked', err });
    } finally {
      asking = false;
    }
  };
  const forget = engine.onState((state) => void (state === 'connected' && ask()));
  const timer = setInterval(() => void ask(), EVERY_MS);
  timer.unref();
  return () => {
    forget();
    clearInterval(timer);
  };
}
