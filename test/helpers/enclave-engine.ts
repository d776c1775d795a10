/**
 * The engine of a test image as a process of this machine: the same boot and the same engine as `enclave/main-test-image.ts`,
 * with Unix sockets in place of vsock and a security module in software in place of the enclave's.
 *
 * `node enclave-engine.ts FOLDER`: FOLDER holds `scene.json` and `run/`, which init makes in an enclave.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import type { NsmTransport } from '../../attestation/attester/attester.ts';
import { openDeveloperRoot } from '../../attestation/developer/developer-root.ts';
import { createSoftwareNsm } from '../../attestation/developer/software-nsm.ts';
import { instanceRegister } from '../../attestation/mesh/instance.ts';
import type { VsockNative } from '../../attestation/mesh/transport-vsock.ts';
import { fromHex } from '../../common/bytes.ts';
import { systemClock } from '../../common/clock.ts';
import { PARENT_CID } from '../../common/enclave-boot.ts';
import { systemRandom } from '../../common/random.ts';
import { runService } from '../../common/service-process.ts';
import { writeExitReason } from '../../enclave/boot/last-words.ts';
import { openParentLink } from '../../enclave/boot/parent-link.ts';
import { prepareTestImage } from '../../enclave/boot/start-test-image.ts';

const folder = process.argv.splice(2)[0] ?? '';
const run = join(folder, 'run');
/** Written by the test: the Unix form of vsock, and what the enclave's module shows. */
const scene: { readonly path: string; readonly pcrs: Record<string, string>; readonly moduleId: string } = JSON.parse(
  readFileSync(join(folder, 'scene.json'), 'utf8'),
);

await runService(
  'engine',
  async () => {
    const parent = openParentLink(await openVsock(scene.path), PARENT_CID, () => {});
    return await prepareTestImage(await moduleOfEnclave(), { parent, folder: run, imageFolders: [] });
  },
  (error) => writeExitReason(run, error),
);

/** Its registers are those of the image; its documents, of a root that nobody knows, are never shown. */
async function moduleOfEnclave(): Promise<NsmTransport> {
  const { moduleId, pcrs } = scene;
  const instance = moduleId.replace(/-enc.*$/, '');
  const image = Object.entries(pcrs).map(([index, hex]) => [Number(index), fromHex(hex)] as const);
  const module = createSoftwareNsm({
    root: await openDeveloperRoot(join(run, 'module'), { clock: systemClock }),
    platform: 'enclave',
    moduleId,
    pcrs: new Map([...image, [4, instanceRegister(instance)]]),
    clock: systemClock,
    random: systemRandom,
  });
  return { request: (cbor) => module.handle(cbor), close: () => {} };
}

/** The guest's end of what `vhost-device-vsock` offers on the host. */
async function openVsock(path: string): Promise<VsockNative> {
  const listening = new Map<number, (socket: Socket, cid: number, port: number) => void>();
  const server = createServer({ pauseOnConnect: false }, (socket) => {
    socket.on('error', () => socket.destroy());
    // The other end waits for the answer before it sends more.
    socket.once('data', (bytes: Buffer) => {
      const port = Number(/^CONNECT (\d+)\n$/.exec(bytes.toString('latin1'))?.[1]);
      const take = listening.get(port);
      if (!take) return void socket.destroy();
      socket.write('OK 1024\n');
      return take(socket, PARENT_CID, 1024);
    });
  });
  server.listen(path);
  await once(server, 'listening');
  return {
    vsockConnect: async ({ port, signal }) => {
      const socket = connect(`${path}_${port}`);
      await once(socket, 'connect', { signal });
      return socket;
    },
    vsockListen: async ({ port }, onSocket) => {
      listening.set(port, onSocket);
      return { close: () => void listening.delete(port) };
    },
  };
}
