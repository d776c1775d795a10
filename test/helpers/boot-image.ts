/** Boots an image under QEMU as a parent that may be a liar: it answers on the port of the boot document what it likes. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { PARENT_PORT } from '../../common/enclave-boot.ts';
import type { RunningEnclave } from '../../images/boot/backend.ts';
import { qemuBackend } from '../../images/boot/qemu.ts';
import { PARENT_ROLE } from './enclave-image.ts';
import { type Teardown, tempDir } from './temp-dir.ts';

/** How an image is booted. */
export interface BootOptions {
  readonly image: Uint8Array;
  readonly memoryMb?: number;
  /** All bytes that the parent answers on the port of the boot document; nobody listens there if absent. */
  readonly answer?: Uint8Array;
}

/** An enclave that was started. */
export interface BootedImage {
  readonly enclave: RunningEnclave;
  /** What init and engine have said so far, one fact or text a line. */
  readonly said: readonly Readonly<Record<string, unknown>>[];
  /** Resolves with init's last words; rejects if the machine ended without any. */
  readonly exit: Promise<Readonly<Record<string, unknown>>>;
}

/** Boots, and stops what still runs when the test ends. */
export async function bootImage(t: Teardown, { image, memoryMb = 1024, answer }: BootOptions): Promise<BootedImage> {
  const folder = tempDir(t);
  const file = join(folder, 'engine.eif');
  writeFileSync(file, image);
  const said: Readonly<Record<string, unknown>>[] = [];
  const listeners: { close(): Promise<void> }[] = [];
  const enclave = await qemuBackend({ parentRole: PARENT_ROLE }).start({
    image: file,
    memoryMb,
    cpus: 2,
    debug: false,
    folder,
    beforeBoot: async (vsock) => {
      const logs = await vsock.listen(PARENT_PORT.logs, (socket) => {
        socket.on('error', () => socket.destroy());
        createInterface({ input: socket }).on('line', (line) => said.push(factsOf(line)));
      });
      listeners.push(logs);
      if (answer === undefined) return;
      const boot = await vsock.listen(PARENT_PORT.boot, (socket) => {
        socket.on('error', () => socket.destroy());
        socket.end(answer);
      });
      listeners.push(boot);
    },
  });
  t.teardown(() => enclave.stop());
  const exit = enclave.ended.then(async ({ reason }) => {
    for (const listener of listeners) await listener.close();
    const words = said.findLast(({ name, event }) => name === 'init' && event === 'init.exit');
    if (words === undefined) throw new Error(`the enclave ended without a word: ${reason}`);
    return words;
  });
  exit.catch(() => undefined); // who waits for it sees it
  return { enclave, said, exit };
}

function factsOf(line: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(line);
    return value !== null && typeof value === 'object' ? { ...value } : { text: line };
  } catch {
    return { text: line };
  }
}
