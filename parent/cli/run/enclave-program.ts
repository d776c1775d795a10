/**
 * An enclave as something that the supervisor starts, watches and starts again: its doors and its vsock-proxy first, then the
 * enclave; ready when the engine inside says so; ended with init's last words.
 */
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'smol-toml';
import type { DeveloperRootKey } from '../../../attestation/developer/chain.ts';
import type { BootDocument } from '../../../common/enclave-boot.ts';
import { isKmsError } from '../../../common/errors.ts';
import type { EnclaveBackend, EnclaveStart } from '../../../images/boot/backend.ts';
import type { VsockPlace } from '../../../vsock-proxy/parent-vsock.ts';
import { modulePath } from '../framework/package-files.ts';
import type { ChildExit, RunningChild, Startable } from '../supervise/child.ts';
import { describeExit, type Supervisor, supervise } from '../supervise/supervisor.ts';
import { countDropped } from './dropped-streams.ts';
import { openDoors } from './enclave-doors.ts';
import { collectWords, type EnclaveWords } from './enclave-words.ts';
import type { ProxyTable } from './proxy-routes.ts';

/** What an enclave is run with. */
export interface EnclaveProgramOptions extends Omit<EnclaveStart, 'folder' | 'beforeBoot' | 'onForeign'> {
  readonly backend: EnclaveBackend;
  /** Folder of the running start, cleared before and after each: 80 bytes at most, for the sake of its sockets. */
  readonly folder: string;
  /** The boot document as it is now. */
  readonly document: () => Promise<BootDocument>;
  /** The proxy's routes as they are now. */
  readonly routes: (vsock: VsockPlace) => Promise<ProxyTable>;
  /** Signs documents of a test image. */
  readonly developerRoot?: DeveloperRootKey | undefined;
  /** Gets the lines of vsock-proxy. */
  readonly onProxyLine?: ((line: string) => void) | undefined;
  /** Between two looks at whether the routes are still the same. */
  readonly followMs?: number | undefined;
}

const PROXY_FILE = 'vsock-proxy.toml';
const FOLLOW_MS = 5_000;
/** What was said last may still be on its way when the machine is gone. */
const DRAIN_MS = 1_000;
const KEPT_LINES = 12;

/** Returns where the routes of the running start stand, in its folder. */
export const proxyFile = (folder: string): string => join(folder, PROXY_FILE);

/** Returns the enclave as a program called `enclave`. */
export function enclaveProgram(options: EnclaveProgramOptions): Startable {
  return { name: 'enclave', start: (onLine) => startEnclave(options, onLine) };
}

function startEnclave(options: EnclaveProgramOptions, onLine: (line: string) => void): RunningChild {
  const lines: string[] = [];
  const say = (line: string): void => {
    lines.push(line);
    if (lines.length > KEPT_LINES) lines.shift();
    onLine(line);
  };
  const words = collectWords(say);
  const stopping = new AbortController();
  return {
    pid: 0,
    ready: words.ready,
    exited: live({ options, words, say, stopping: stopping.signal }),
    lastLines: () => lines,
    // Nothing inside hears a signal: what an engine has promised is written, so it may end at any time.
    signal: () => stopping.abort(),
  };
}

interface Life {
  readonly options: EnclaveProgramOptions;
  readonly words: EnclaveWords;
  readonly say: (line: string) => void;
  readonly stopping: AbortSignal;
}

/** One start, from its folder to its last words; never rejects. */
async function live({ options, words, say, stopping }: Life): Promise<ChildExit> {
  const { backend, folder, image, memoryMb, cpus, cid, debug, document, developerRoot } = options;
  const note = (level: 'info' | 'warn' | 'error', event: string, msg: string): void =>
    say(JSON.stringify({ level, name: 'launcher', event, msg }));
  await using opened = new AsyncDisposableStack();
  const dropped = countDropped((port, why, count) =>
    say(JSON.stringify({ level: 'warn', name: 'launcher', event: 'launcher.dropped', port, why, count })),
  );
  opened.defer(() => dropped.close());
  try {
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true, mode: 0o700 });
    opened.defer(() => rm(folder, { recursive: true, force: true }));
    const beforeBoot: EnclaveStart['beforeBoot'] = async (vsock) => {
      const onFault = (why: string): void => note('error', 'launcher.boot-document', why);
      const doors = await openDoors(vsock, { words, document, developerRoot, onFault, onDropped: dropped.add });
      opened.defer(() => doors.close());
      const proxy = await startProxy(options, vsock.address, (msg) => note('warn', 'launcher.proxy', msg));
      opened.defer(() => proxy.stop());
    };
    const onForeign: EnclaveStart['onForeign'] = (_cid, port) => dropped.add(port, 'foreign');
    const enclave = await backend.start({ image, memoryMb, cpus, cid, debug, folder, beforeBoot, onForeign });
    note('info', 'launcher.started', `${enclave.id} at CID ${enclave.cid}`);
    const { promise: told, resolve } = Promise.withResolvers<void>();
    if (stopping.aborted) resolve();
    else stopping.addEventListener('abort', () => resolve(), { once: true });
    // A stop that fails is a fault; one that succeeds ends the enclave.
    const { reason } = await Promise.race([enclave.ended, told.then(() => enclave.stop()).then(() => enclave.ended)]);
    await words.drained(DRAIN_MS);
    const last = words.lastWords();
    if (last) return { code: last.status, signal: null, reason: last.reason };
    return { code: null, signal: null, reason: `no last words were heard: ${reason}` };
  } catch (error) {
    const reason = isKmsError(error) ? error.message : 'the enclave cannot be run';
    const cure = isKmsError(error) && typeof error.facts.cure === 'string' ? `; ${error.facts.cure}` : '';
    note('error', 'launcher.failed', `${reason}${cure}`);
    return { code: 1, signal: null, reason };
  }
}

/** Starts vsock-proxy and keeps its routes as they should be. */
async function startProxy(
  { folder, routes, onProxyLine = () => {}, followMs = FOLLOW_MS }: EnclaveProgramOptions,
  vsock: VsockPlace,
  warn: (msg: string) => void,
): Promise<Pick<Supervisor, 'stop'>> {
  const file = proxyFile(folder);
  let written = '';
  const write = async (): Promise<boolean> => {
    const text = stringify(await routes(vsock));
    if (text === written) return false;
    await writeFile(`${file}.new`, text, { mode: 0o600 });
    await rename(`${file}.new`, file);
    written = text;
    return true;
  };
  await write();
  const program = {
    name: 'proxy',
    file: modulePath('vsock-proxy/main'),
    args: ['--config', file],
    readyEvent: 'proxy.ready',
  };
  const proxy = supervise([program], {
    onEvent: (event) => {
      if (event.kind === 'line') onProxyLine(event.line);
      if (event.kind === 'crashed') warn(`vsock-proxy ended (${describeExit(event.exit)}) and is started again`);
    },
  });
  await proxy.ready;
  const reload = async (): Promise<void> => {
    const { proxy: pid } = proxy.pids();
    if ((await write()) && pid !== undefined) process.kill(pid, 'SIGHUP');
  };
  const following = setInterval(() => {
    reload().catch((error: unknown) =>
      warn(`the routes are as before: ${isKmsError(error) ? error.message : 'failed'}`),
    );
  }, followMs);
  following.unref();
  return {
    stop: () => {
      clearInterval(following);
      return proxy.stop();
    },
  };
}
