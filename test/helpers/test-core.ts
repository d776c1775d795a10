/**
 * A whole Core in the test's own process, on free ports, in front of a scripted engine.
 */
import { createLogger } from '../../common/log.ts';
import type { NodeConfig } from '../../common/node-config.ts';
import { type CoreOptions, type RunningCore, runCore } from '../../parent/core/core.ts';
import { type KmsClient, openKmsClient } from '../../parent/grpc/client.ts';
import { plainMesh } from './plain-link.ts';
import { type Teardown, tempDir } from './temp-dir.ts';
import { nodeConfigIn } from './test-trust.ts';

/** A Core that listens. */
export interface TestCore {
  readonly core: RunningCore;
  readonly client: KmsClient;
  readonly dir: string;
  /** Log lines so far, parsed. */
  readonly lines: Record<string, unknown>[];
}

/** Returns the configuration of a node in a folder. Ports are 0, which the schema does not allow: any free one. */
export function testConfig(dir: string, socketPath: string): NodeConfig {
  const config = nodeConfigIn(dir, socketPath);
  return {
    ...config,
    service: { ...config.service, listen_port: 0 },
    public_http: { ...config.public_http, listen_port: 0 },
    telemetry: { ...config.telemetry, metrics_bind_address: '127.0.0.1:0' },
  };
}

/** Starts a Core and closes it when the test ends. */
export async function testCore(
  t: Teardown,
  {
    socketPath,
    dir = tempDir(t),
    ...overrides
  }: { socketPath: string; dir?: string } & Partial<Pick<CoreOptions, 'config' | 'developerMode' | 'clock' | 'mesh'>>,
): Promise<TestCore> {
  const lines: Record<string, unknown>[] = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line)) };
  const log = createLogger({ name: 'core', level: 'debug', destination });
  const mesh = plainMesh(socketPath);
  const core = await runCore({ config: testConfig(dir, socketPath), developerMode: true, log, mesh, ...overrides });
  core.ready.catch(() => undefined); // closed before it was ready: the test's choice
  const client = openKmsClient(core.clientUrl);
  t.teardown(async () => {
    client.close();
    await core.close(0);
  });
  return { core, client, dir, lines };
}
