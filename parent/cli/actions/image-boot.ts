/** What `arca image boot` does: boots an image under QEMU and shows what init and engine say until it ends. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { concatBytes } from '../../../common/bytes.ts';
import { systemClock } from '../../../common/clock.ts';
import { BOOT_DOCUMENT_MAX_BYTES, PARENT_PORT } from '../../../common/enclave-boot.ts';
import type { EnclaveBackend } from '../../../images/boot/backend.ts';
import { qemuBackend } from '../../../images/boot/qemu.ts';
import type { ParentVsock } from '../../../vsock-proxy/parent-vsock.ts';
import { EXIT, failure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { readLimited } from '../framework/read-limited.ts';
import { printable } from '../quorum/quorum-table.ts';
import { parseLogLine } from '../supervise/child.ts';

/** What the command was given. */
export interface BootOptions {
  readonly memoryMb: number;
  readonly cpus: number;
  /** File of a boot document, without its length. */
  readonly document?: string | undefined;
}

/** See the file comment. An image that cannot boot is refused before anything starts. */
export async function runBoot(
  file: string,
  { memoryMb, cpus, document }: BootOptions,
  output: Output,
  backend: EnclaveBackend = qemuBackend(),
): Promise<void> {
  const startedAt = systemClock.monotonicMs();
  const image = resolve(file);
  await requireReady(backend, { image, memoryMb, cpus });
  const answer = document === undefined ? undefined : await readDocument(document);
  const folder = await mkdtemp(join(tmpdir(), 'arca-boot-'));
  const listening = new AsyncDisposableStack();
  let exit: Readonly<Record<string, unknown>> | undefined;
  const takeLine = (line: string): void => {
    const facts = parseLogLine(line);
    if (facts?.name === 'init' && facts.event === 'init.exit') exit = facts;
    output.note(`${((systemClock.monotonicMs() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${printable(line)}`);
  };
  const listen = async (vsock: Pick<ParentVsock, 'listen'>, ...args: Parameters<ParentVsock['listen']>) => {
    const listener = await vsock.listen(...args);
    listening.defer(() => listener.close());
  };
  try {
    const enclave = await backend.start({
      image,
      memoryMb,
      cpus,
      debug: false,
      folder,
      beforeBoot: async (vsock) => {
        await listen(vsock, PARENT_PORT.logs, (socket) => {
          socket.on('error', () => socket.destroy());
          createInterface({ input: socket }).on('line', takeLine);
        });
        if (answer === undefined) return;
        await listen(vsock, PARENT_PORT.boot, (socket) => {
          socket.on('error', () => socket.destroy());
          socket.end(answer);
        });
      },
    });
    const stop = (): void => void enclave.stop();
    process.once('SIGINT', stop).once('SIGTERM', stop);
    const { reason } = await enclave.ended;
    process.off('SIGINT', stop).off('SIGTERM', stop);
    const status = typeof exit?.status === 'number' ? exit.status : undefined;
    const why = printable(typeof exit?.reason === 'string' ? exit.reason : reason);
    output.result({ id: enclave.id, reason: why, ...(status !== undefined && { status }) }, `${enclave.id}: ${why}`);
    if (status !== 0) process.exitCode = EXIT.failed;
  } finally {
    await listening.disposeAsync();
    await rm(folder, { recursive: true, force: true });
  }
}

async function requireReady(backend: EnclaveBackend, need: Parameters<EnclaveBackend['check']>[0]): Promise<void> {
  const faults = (await backend.check(need)).filter(({ ok }) => !ok);
  if (faults.length === 0) return;
  const what = faults.map(({ name, found }) => `${name}: ${found}`).join('; ');
  throw failure('PRECONDITION_FAILED', what, faults.map(({ cure }) => cure ?? '').join('; '));
}

async function readDocument(path: string): Promise<Uint8Array> {
  const bytes = await readLimited(path, BOOT_DOCUMENT_MAX_BYTES);
  if (bytes === undefined) throw failure('REQUEST_INVALID', `${path} is too large`, 'give a boot document');
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, bytes.length);
  return concatBytes(length, bytes);
}
