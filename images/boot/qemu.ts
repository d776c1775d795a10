/**
 * Enclaves under QEMU, where there is no Nitro hardware: its machine `nitro-enclave` boots the same image file, measures it
 * alike and has the device of the security module; its documents bear no signature, so no peer in production accepts one.
 *
 * Each enclave has a vsock daemon of its own, and stands at CID 16 behind it; the parent is at CID 2 there, which is what
 * the boot parameters say. Made by `scripts/qemu-setup`. How it fits together: docs/developers/images.md.
 */
import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { availableParallelism, freemem } from 'node:os';
import { join } from 'node:path';
import { toHex } from '../../common/bytes.ts';
import { systemClock } from '../../common/clock.ts';
import { PARENT_PORT } from '../../common/enclave-boot.ts';
import { KmsError } from '../../common/errors.ts';
import { systemRandom } from '../../common/random.ts';
import { type ParentVsock, parentVsock } from '../../vsock-proxy/parent-vsock.ts';
import type { EnclaveBackend, EnclaveNeed, EnclaveStart, Finding, RunningEnclave } from './backend.ts';
import { bootFaults } from './boot-faults.ts';
import { type GuestProgram, startProgram } from './guest-program.ts';
import { findQemuTools } from './qemu-tools.ts';

/** What the hypervisor measures of the instance around an enclave, and where QEMU is. */
export interface QemuOptions {
  /** Role of the parent instance, an ARN: PCR3. Zero if absent. */
  readonly parentRole?: string | undefined;
  /** Id of the parent instance: PCR4. */
  readonly parentId?: string | undefined;
  /** Folder that `scripts/qemu-setup` made; looked for if absent. */
  readonly tools?: string | undefined;
}

/** Larger than any image that fits into an enclave here. */
const MAX_IMAGE_BYTES = 1024 * 1024 * 1024;
const GUEST_CID = 16;
const HEARTBEAT = 0xb7;
const DEFAULT_PARENT_ID = 'i-00000000000000000';
/** Behind what is measured: this machine ends on a reset, and its parent has another address than Nitro's. */
const BOOT_PARAMETERS = 'reboot=t quiet arca.parent_cid=2';
/** Linux cuts the names of Unix sockets off at 108 bytes, and the longest here is `vm.vsock_` and a port. */
const MAX_FOLDER_BYTES = 80;
const SOCKET_WITHIN_MS = 60_000;

/** Returns the back end. Nothing is looked for before its first call. */
export function qemuBackend(options: QemuOptions = {}): EnclaveBackend {
  return {
    name: 'qemu',
    check: async (need) => [
      await toolsFinding(options),
      await imageFinding(need),
      memoryFinding(need),
      cpusFinding(need),
    ],
    start: (start) => startEnclave(start, options),
  };
}

async function toolsFinding({ tools }: QemuOptions): Promise<Finding> {
  const name = 'qemu';
  try {
    return { name, ok: true, found: tools ?? (await findQemuTools()) };
  } catch (error) {
    if (!(error instanceof KmsError)) throw error;
    return { name, ok: false, found: error.message, cure: 'scripts/qemu-setup' };
  }
}

async function imageFinding({ image }: EnclaveNeed): Promise<Finding> {
  const name = 'image';
  const { size } = await stat(image);
  const faults =
    size > MAX_IMAGE_BYTES ? ['it is too large'] : bootFaults(await readFile(image), process.arch, systemClock.nowMs());
  const [first] = faults;
  if (first === undefined) return { name, ok: true, found: `${image}, ${size} bytes` };
  return { name, ok: false, found: faults.join('; '), cure: 'take the image as it was published, or build it anew' };
}

function memoryFinding({ memoryMb }: EnclaveNeed): Finding {
  const freeMb = Math.floor(freemem() / (1024 * 1024));
  const found = `${freeMb} MiB free, ${memoryMb} MiB needed`;
  const ok = freeMb > memoryMb;
  return { name: 'memory', ok, found, ...(!ok && { cure: 'end other programs, or give the enclave less memory' }) };
}

function cpusFinding({ cpus }: EnclaveNeed): Finding {
  const found = `${availableParallelism()} processors, ${cpus} wanted`;
  return { name: 'cpus', ok: cpus > 0 && cpus <= 64, found, ...(cpus > 64 && { cure: 'at most 64' }) };
}

async function startEnclave(start: EnclaveStart, options: QemuOptions): Promise<RunningEnclave> {
  const { folder } = start;
  if (start.debug) throw new KmsError('UNIMPLEMENTED', 'QEMU has no debug mode; it shows the console in any case');
  if (Buffer.byteLength(folder) > MAX_FOLDER_BYTES) {
    throw new KmsError(
      'REQUEST_INVALID',
      `the folder's name is too long for sockets: at most ${MAX_FOLDER_BYTES} bytes`,
    );
  }
  const tools = options.tools ?? (await findQemuTools());
  const vsock = parentVsock({ path: join(folder, 'vm.vsock') });
  await start.beforeBoot?.(vsock);
  const heartbeat = await vsock.listen(PARENT_PORT.heartbeat, answerHeartbeat);
  const daemon = startProgram(vsockDaemon(tools, folder));
  try {
    await untilExists(join(folder, 'vh.sock'), daemon);
    const id = `${options.parentId ?? DEFAULT_PARENT_ID}-enc${toHex(systemRandom(8))}`;
    const machine = startProgram(qemuProgram(tools, start, id, options));
    void machine.ended.then(() => heartbeat.close());
    return running(id, vsock, machine, daemon);
  } catch (error) {
    daemon.kill();
    await heartbeat.close();
    throw error;
  }
}

/** As nitro-cli does it: an enclave that says nothing here within its time is no enclave. */
const answerHeartbeat: Parameters<ParentVsock['listen']>[1] = (socket) => {
  socket.on('error', () => socket.destroy());
  socket.once('data', (bytes) => {
    if (bytes.length === 1 && bytes[0] === HEARTBEAT) socket.write(bytes);
    else socket.destroy();
  });
};

function vsockDaemon(tools: string, folder: string): Parameters<typeof startProgram>[0] {
  const sockets = `socket=${join(folder, 'vh.sock')},uds-path=${join(folder, 'vm.vsock')}`;
  return {
    command: join(tools, 'vhost-device-vsock'),
    // The size matters: with the default, recent kernels stall for ever on the first write of more than 32 KiB.
    args: ['--vm', `guest-cid=${GUEST_CID},tx-buffer-size=32768,${sockets}`],
    output: join(folder, 'vsock.log'),
  };
}

function qemuProgram(
  tools: string,
  { image, memoryMb, cpus, folder }: EnclaveStart,
  id: string,
  { parentRole, parentId = DEFAULT_PARENT_ID }: QemuOptions,
): Parameters<typeof startProgram>[0] {
  // A comma ends a value there, two are one.
  const value = (text: string): string => text.replaceAll(',', ',,');
  const role = parentRole === undefined ? '' : `,parent-role=${value(parentRole)}`;
  return {
    command: join(tools, 'qemu-system-x86_64'),
    args: [
      ...['-L', join(tools, 'firmware')],
      ...['-M', `nitro-enclave,vsock=c,id=${value(id)},parent-id=${value(parentId)}${role}`],
      ...['-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', String(cpus), '-m', `${memoryMb}M`],
      ...['-nodefaults', '-no-user-config', '-display', 'none', '-serial', 'stdio', '-no-reboot'],
      ...['-kernel', image, '-append', BOOT_PARAMETERS],
      ...['-chardev', `socket,id=c,path=${value(join(folder, 'vh.sock'))}`],
    ],
    output: join(folder, 'console.log'),
  };
}

function running(id: string, vsock: ParentVsock, machine: GuestProgram, daemon: GuestProgram): RunningEnclave {
  const ended = machine.ended.then(async ({ status, lastLines }) => {
    daemon.kill();
    await daemon.ended;
    const said = lastLines.length > 0 ? `; the console's last lines: ${lastLines.join(' | ')}` : '';
    return { reason: `QEMU ended with ${status}${said}` };
  });
  return {
    id,
    cid: GUEST_CID,
    vsock,
    ended,
    stop: async () => {
      machine.kill();
      await ended;
    },
  };
}

/** Waits for the daemon's socket; it makes it within milliseconds, or ends. */
async function untilExists(path: string, daemon: GuestProgram): Promise<void> {
  const deadline = AbortSignal.timeout(SOCKET_WITHIN_MS);
  const dead = daemon.ended.then(({ lastLines }) => {
    throw new KmsError('UNAVAILABLE', 'the vsock daemon does not start', { said: lastLines.join(' | ') });
  });
  dead.catch(() => undefined);
  while (!existsSync(path)) {
    if (deadline.aborted) throw new KmsError('UNAVAILABLE', 'the vsock daemon makes no socket');
    await Promise.race([new Promise((resolve) => setTimeout(resolve, 10)), dead]);
  }
}
