/** The measured party once more, its two processes joined by a bare Unix socket instead of the mesh. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadConfig } from '../../common/config.ts';
import { NodeConfig } from '../../common/node-config.ts';
import { supervise } from '../../parent/cli/supervise/supervisor.ts';

/** Running processes, and where they are reached. */
export interface PlainNode {
  readonly clientUrl: string;
  readonly engineSocket: string;
  readonly enginePid: number;
  readonly corePid: number;
  stop(): Promise<void>;
}

/** Starts both on a state folder that nobody uses, with the configuration and ports of its last start. */
export async function startPlainNode(dir: string): Promise<PlainNode> {
  const file = join(dir, 'node.toml');
  const config = loadConfig(NodeConfig, { file, env: {} });
  const program = (name: string, module: URL) => ({
    name,
    file: fileURLToPath(module),
    args: ['--config', file],
    // As the programs that they are compared with.
    v8Flags: ['--max-semi-space-size=4'],
    readyEvent: `${name}.ready`,
  });
  const supervisor = supervise([
    program('engine', new URL('./plain-engine.ts', import.meta.url)),
    program('core', new URL('./plain-core.ts', import.meta.url)),
  ]);
  await supervisor.ready;
  const { engine: enginePid, core: corePid } = supervisor.pids();
  if (enginePid === undefined || corePid === undefined) throw new Error('engine and core must both be running');
  const { listen_address: host, listen_port: port } = config.service;
  const clientUrl = `http://${host}:${port}`;
  return { clientUrl, engineSocket: config.engine.socket_path, enginePid, corePid, stop: supervisor.stop };
}
