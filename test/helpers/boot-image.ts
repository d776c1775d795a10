/** Boots an image under QEMU as a parent that may be a liar: it answers on the port of the boot document what it likes. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { PARENT_PORT } from '../../common/enclave-boot.ts';
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

/** What a kernel finds that is emulated on a busy machine: its timer does not come in time, and it ends before init. */
const EMULATED_TIMER = 'Rebooting in 30 seconds';
const STARTS = 3;

/** Boots, waits until the enclave has ended, and returns init's last words. @throws Error if there were none. */
export async function bootToEnd(t: Teardown, options: BootOptions): Promise<Readonly<Record<string, unknown>>> {
  for (let start = 1; ; start++) {
    const { said, reason } = await bootOnce(t, options);
    const words = said.findLast(({ name, event }) => name === 'init' && event === 'init.exit');
    if (words !== undefined) return words;
    const isTimer = said.length === 0 && reason.includes(EMULATED_TIMER);
    if (!isTimer || start === STARTS) throw new Error(`the enclave ended without a word: ${reason}`);
  }
}

async function bootOnce(t: Teardown, { image, memoryMb = 1024, answer }: BootOptions) {
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
  const { reason } = await enclave.ended;
  for (const listener of listeners) await listener.close();
  return { said, reason };
}

function factsOf(line: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(line);
    return value !== null && typeof value === 'object' ? { ...value } : { text: line };
  } catch {
    return { text: line };
  }
}
