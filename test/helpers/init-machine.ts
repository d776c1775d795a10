/**
 * A machine for init: a folder that plays `/`, a software security module as its /dev/nsm, Unix sockets as the parent's
 * vsock ports, and an engine that a test writes. Runs `init-fake`, which is init's own object and stand-ins for the system.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { serveNsm } from '../../attestation/developer/nsm-link.ts';
import { PARENT_CID, PARENT_PORT } from '../../common/enclave-boot.ts';
import { startTestAttester } from './software-nsm.ts';
import { type Teardown, tempDir } from './temp-dir.ts';

/** AWS's command line, which init expects. */
export const CMDLINE =
  'reboot=k panic=30 pci=off nomodules console=ttyS0 i8042.noaux i8042.nomux i8042.nopnp i8042.dumbkbd random.trust_cpu=on';

const INIT = join(import.meta.dirname, '../../native/init/build/init-fake');
const HEARTBEAT = 0xb7;

/** What of a machine varies. */
export interface InitMachineOptions {
  /** The engine: a module's text. */
  readonly engine?: string;
  readonly cmdline?: string;
  readonly rngCurrent?: string;
  /** What /dev/ptp0 says, in seconds; there is none if absent. */
  readonly ptpSecs?: number;
  readonly parentCid?: number;
  /** Takes the log's connection; the lines are kept if absent. */
  readonly onLogs?: (socket: Socket) => void;
}

/** How it ended. */
export interface InitRun {
  readonly status: number | null;
  /** What reached the parent. */
  readonly lines: readonly Readonly<Record<string, unknown>>[];
  readonly raw: string;
  readonly console: string;
  /** What would have changed the machine, in order. */
  readonly calls: readonly string[];
  readonly beats: number;
}

/** Boots it and waits until it has ended. */
export async function runInit(t: Teardown, options: InitMachineOptions = {}): Promise<InitRun> {
  const { engine = '', cmdline = CMDLINE, rngCurrent = 'nsm-hwrng', ptpSecs, parentCid = PARENT_CID } = options;
  const root = tempDir(t);
  for (const folder of ['dev', 'proc/self', 'run', 'usr/bin', 'app', 'vsock', 'sys/class/misc/hw_random']) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  const put = (path: string, text: string): void => writeFileSync(join(root, path), text);
  put('proc/cmdline', `${cmdline}\n`);
  put('proc/self/oom_score_adj', '');
  put('sys/class/misc/hw_random/rng_current', `${rngCurrent}\n`);
  put('dev/console', '');
  put('dev/random', '');
  if (ptpSecs !== undefined) put('dev/ptp0', String(ptpSecs));
  put('app/engine.mjs', engine);
  symlinkSync(process.execPath, join(root, 'usr/bin/node'));

  let raw = '';
  let beats = 0;
  const listen = async (path: string, onSocket: (socket: Socket) => void): Promise<void> => {
    const server: Server = createServer({ allowHalfOpen: false }, (socket) => {
      socket.on('error', () => socket.destroy());
      onSocket(socket);
    });
    await new Promise<void>((resolve) => server.listen(join(root, path), resolve));
    t.teardown(() => void server.close());
  };
  const { device } = await startTestAttester({ role: 'engine' });
  await listen('dev/nsm', (socket) => serveNsm(socket, device));
  await listen(`vsock/${parentCid}_${PARENT_PORT.heartbeat}`, (socket) => {
    socket.on('data', (bytes: Buffer) => {
      if (bytes.length === 1 && bytes[0] === HEARTBEAT) beats += 1;
      socket.end(bytes);
    });
  });
  const keep = (socket: Socket): void => {
    socket.on('data', (bytes: Buffer) => {
      raw += bytes.toString();
    });
  };
  await listen(`vsock/${parentCid}_${PARENT_PORT.logs}`, options.onLogs ?? keep);

  const child = spawn(INIT, [], { env: { INIT_ROOT: root }, stdio: 'ignore' });
  t.teardown(() => void child.kill('SIGKILL'));
  const status = await new Promise<number | null>((resolve) => child.on('close', resolve));
  const read = (path: string): string => (existsSync(join(root, path)) ? readFileSync(join(root, path), 'utf8') : '');
  return {
    status,
    raw,
    beats,
    console: read('dev/console'),
    lines: raw.split('\n').flatMap((line) => (line.startsWith('{') ? [JSON.parse(line)] : [])),
    calls: read('calls').split('\n').filter(Boolean),
  };
}
