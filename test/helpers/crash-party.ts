/**
 * A party whose processes a test kills at will: each is started again at once, without the pauses that `arca dev`
 * makes between crashes.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { loadNodeConfig } from '../../parent/cli/config/check-config.ts';
import { modulePath } from '../../parent/cli/framework/package-files.ts';
import type { ChildProgram } from '../../parent/cli/supervise/child.ts';
import { prepareDevices } from '../../parent/cli/supervise/developer-devices.ts';
import { writeDeveloperConfig } from '../../parent/cli/supervise/node-toml.ts';
import { prepareSocketPath } from '../../parent/cli/supervise/socket-path.ts';
import { createStateFolder, writeFormat } from '../../parent/cli/supervise/state-folder.ts';
import { supervise } from '../../parent/cli/supervise/supervisor.ts';
import { type KmsClient, openKmsClient } from '../../parent/grpc/client.ts';
import { HealthCheckResponse_ServingStatus as Serving } from '../../proto/gen/health_pb.js';
import { freePorts } from './free-port.ts';
import { type Teardown, tempDir } from './temp-dir.ts';

/** See the file comment. */
export interface CrashParty {
  readonly dir: string;
  readonly client: KmsClient;
  readonly publicUrl: string;
  /** Kills a process and resolves when the party serves again. */
  crash(...names: ('engine' | 'core')[]): Promise<void>;
  /** The last lines that the processes logged. */
  lastLines(): string;
}

const KEPT_LINES = 200;
const RECOVERY_LIMIT_MS = 300_000;

/** Starts a party and stops it when the test ends. */
export async function startCrashParty(t: Teardown): Promise<CrashParty> {
  const dir = tempDir(t);
  await createStateFolder(dir);
  await writeFormat(dir);
  const socketPath = await prepareSocketPath(dir);
  const [clientPort = 0, publicPort = 0, opsPort = 0] = await freePorts(3);
  const ports = { clientPort, publicPort, opsPort };
  const settings = { dir, socketPath, ...ports, logLevel: 'info' as const, treatV0ExtraDataAsEmpty: false };
  const file = await writeDeveloperConfig(settings);
  const args = ['--config', file];
  const plain = [
    { name: 'engine', file: modulePath('enclave/main-dev'), args, readyEvent: 'engine.ready' },
    { name: 'core', file: modulePath('parent/core/main-dev'), args, readyEvent: 'core.ready' },
  ];
  const lines: string[] = [];
  const config = loadNodeConfig(file, {});
  const devices = await prepareDevices({ config, programs: plain, onEvent: (event) => lines.push(event.event) });
  const programs = plain.map((program): ChildProgram => {
    const device = devices.get(program.name);
    return device ? { ...program, device } : program;
  });
  const supervisor = supervise(programs, {
    backOff: { firstMs: 1, maxMs: 1, goodRunMs: 0 },
    onEvent: (event) => {
      if (event.kind === 'line') lines.push(event.line);
      if (lines.length > KEPT_LINES) lines.shift();
    },
  });
  t.teardown(() => supervisor.stop());
  await supervisor.ready;
  const client = openKmsClient(`127.0.0.1:${clientPort}`);
  t.teardown(() => client.close());

  const untilServing = async (): Promise<void> => {
    const until = performance.now() + RECOVERY_LIMIT_MS;
    for (;;) {
      const status = await client.health().catch(() => Serving.NOT_SERVING);
      if (status === Serving.SERVING) return;
      if (performance.now() > until) throw new Error(`the party did not recover:\n${lines.join('\n')}`);
      await delay(20);
    }
  };
  return {
    dir,
    client,
    publicUrl: `http://127.0.0.1:${publicPort}/kms/PUB`,
    lastLines: () => lines.join('\n'),
    crash: async (...names) => {
      const victims = names.flatMap((name) => supervisor.pids()[name] ?? []);
      for (const pid of victims) process.kill(pid, 'SIGKILL');
      while (Object.values(supervisor.pids()).some((pid) => victims.includes(pid))) await delay(1);
      await untilServing();
    },
  };
}
