/**
 * Engine clients connected to a scripted engine over a real Unix socket.
 */
import type { Test } from 'tap';
import { createLogger } from '../../common/log.ts';
import { type EngineClientOptions, openEngineClient } from '../../parent/core/engine-client/reconnecting-client.ts';
import { plainDial } from './plain-link.ts';
import { type Script, scriptedEngine } from './scripted-engine.ts';

/** A body that no script looks at. */
export const BODY = Uint8Array.of(1, 2, 3);

/** Logs nothing. */
export const silentLog = createLogger({ name: 'test', level: 'silent' });

/** Starts an engine and a client that may not be connected yet; both end with the test. */
export async function startEngineClient(t: Test, script: Script = {}, overrides: Partial<EngineClientOptions> = {}) {
  const engine = await scriptedEngine(t, script);
  const dial = plainDial(engine.socketPath);
  const retryMs = { first: 1, longest: 5 };
  const client = openEngineClient({ dial, developerMode: true, log: silentLog, retryMs, ...overrides });
  t.teardown(() => client.close());
  return { engine, client };
}

/** As {@link startEngineClient}, connected. */
export async function connectedClient(t: Test, script: Script = {}, overrides: Partial<EngineClientOptions> = {}) {
  const both = await startEngineClient(t, script, overrides);
  await both.client.whenConnected();
  return both;
}
