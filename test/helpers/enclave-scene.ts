/**
 * A node for `arca run` in a test: emulated AWS, an image, a configuration of developer mode, and a fake `nitro-cli` whose
 * enclave is the real engine in a process of its own (`enclave-engine.ts`).
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { toHex } from '../../common/bytes.ts';
import type { EnclaveBackend } from '../../images/boot/backend.ts';
import { nitroCliBackend } from '../../images/boot/nitro-cli.ts';
import { measureImage } from '../../images/eif/measure-image.ts';
import { readImage } from '../../images/eif/read-image.ts';
import { writeImage } from '../../images/eif/write-image.ts';
import { createOutput, type Output } from '../../parent/cli/framework/output.ts';
import { startEnclaveNode } from '../../parent/cli/run/run-enclave-node.ts';
import type { RunningNode } from '../../parent/cli/supervise/run-node.ts';
import { parentVsock } from '../../vsock-proxy/parent-vsock.ts';
import { type EnclaveNode, enclaveNode } from './enclave-node.ts';
import { fakeEnclaves, writeFakeNitroCli, writeNitroParent } from './fake-nitro-cli.ts';
import { type Teardown, tempDir } from './temp-dir.ts';

/** A node that can be started. */
export interface EnclaveScene {
  readonly dir: string;
  /** Configuration of the node. */
  readonly file: string;
  /** Folder of the fake `nitro-cli`. */
  readonly cli: string;
  /** What the command said, on {@link EnclaveScene.output}. */
  said(): string;
  readonly output: Output;
  start(): Promise<RunningNode>;
  /** What starts the enclave. */
  readonly backendOf: () => EnclaveBackend;
  readonly emulated: EnclaveNode['emulated'];
  /** Registers of the image. */
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
  /** Ends the enclave as a fault of the hypervisor would: without a word. */
  killEnclave(): void;
  /** What the next enclaves show of their image. */
  show(pcrs: ReadonlyMap<number, Uint8Array>): void;
  /** The next enclaves show the image's own registers, as from the beginning. */
  showImage(): void;
}

const QUICK = { firstMs: 50, maxMs: 500, goodRunMs: 60_000 };

/** Returns a small image that no machine boots, made of the words given. */
export function smallImage(words: string): Uint8Array {
  const data = (text: string): Uint8Array => new TextEncoder().encode(text);
  return writeImage({
    architecture: process.arch === 'arm64' ? 'aarch64' : 'x86_64',
    defaultMemoryBytes: 2 ** 30,
    defaultCpus: 2,
    sections: [
      { kind: 'kernel', data: data('kernel') },
      { kind: 'cmdline', data: data('console=ttyS0') },
      { kind: 'ramdisk', data: data('init') },
      { kind: 'ramdisk', data: data(words) },
    ],
  });
}

/** Sets the scene; everything is stopped when the test ends. */
export async function enclaveScene(t: Teardown): Promise<EnclaveScene> {
  const cli = tempDir(t);
  let text = '';
  const sink = {
    write: (words: string): boolean => {
      text += words;
      return true;
    },
  };
  const output = createOutput({ json: false, stdout: sink, stderr: sink });
  const image = join(cli, 'engine.eif');
  writeFileSync(image, smallImage('engine'));
  const measured = measureImage(readImage(readFileSync(image)));

  const need = { pcrs: measured, enclave: `image_path = "${image}"\nmemory_mb = 2048` };
  const { dir, file, socketPath, trust, emulated } = await enclaveNode(t, need, output);
  const place = (folder: string): string => join(folder, 'vm.vsock');
  const show = (pcrs: ReadonlyMap<number, Uint8Array>): void => {
    const shown = Object.fromEntries([...pcrs].map(([index, value]) => [index, toHex(value)]));
    const moduleId = `${trust.instanceId}-enc0123456789abcdef`;
    const path = place(join(socketPath, '../enclave'));
    writeFileSync(join(cli, 'scene.json'), JSON.stringify({ path, pcrs: shown, moduleId }));
  };
  show(measured);
  writeFileSync(join(cli, 'enclave'), fileURLToPath(new URL('./fake-enclave.ts', import.meta.url)));
  writeNitroParent(join(cli, 'root'), {
    'sys/devices/system/node/node0/hugepages/hugepages-1048576kB/free_hugepages': '2\n',
  });
  const backend = nitroCliBackend({
    program: writeFakeNitroCli(cli),
    root: join(cli, 'root'),
    pollMs: 100,
    vsockOf: (_cid, { folder }) => parentVsock({ path: place(folder) }),
  });
  const killEnclave = (): void => {
    for (const { ProcessID } of fakeEnclaves(cli)) process.kill(ProcessID, 'SIGKILL');
  };
  t.teardown(killEnclave);
  return {
    dir,
    file,
    cli,
    said: () => text,
    output,
    emulated,
    pcrs: measured,
    backendOf: () => backend,
    start: async () => {
      const options = { file, params: 'test', debug: false, backendOf: () => backend, backOff: QUICK } as const;
      const node = await startEnclaveNode(options, output);
      t.teardown(() => node.stop());
      return node;
    },
    killEnclave,
    show,
    showImage: () => show(measured),
  };
}
