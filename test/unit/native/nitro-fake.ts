/**
 * What stands in for Nitro hardware in the tests of native/nitro: the second library, whose devices and vsock
 * addresses are Unix sockets in a folder of the test.
 */
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { loadNitro, type NitroBinding } from '../../../native/nitro/binding.ts';
import { VsockRelay } from '../../../native/nitro/vsock.ts';
import { type Teardown, tempDir } from '../../helpers/temp-dir.ts';

/** One ioctl as the fake driver sees it. */
export interface IoctlCall {
  readonly number: bigint;
  readonly capacity: number;
  readonly request: Uint8Array;
}

/** What the driver does: the errno it gives, the resp_len it claims, and the bytes it writes into the buffer. */
export interface IoctlAnswer {
  readonly errno?: number;
  readonly claimed?: number | bigint;
  readonly bytes?: Uint8Array;
}

export type Driver = (call: IoctlCall, n: number) => IoctlAnswer | Promise<IoctlAnswer>;

export const fakeLibrary = (): NitroBinding => loadNitro('nitro-fake');

/** Starts a driver behind a path, and says how many calls it has seen and how many connections (opens) it has. */
export async function fakeDevice(t: Teardown, driver: Driver) {
  const path = join(tempDir(t), 'nsm');
  const seen = { calls: 0, running: 0, mostAtOnce: 0, opens: 0, closed: 0 };
  const server = createServer((socket) => {
    seen.opens++;
    socket.on('close', () => seen.closed++);
    void serve(socket, driver, seen);
  });
  server.listen(path);
  await once(server, 'listening');
  t.teardown(() => void server.close());
  return { path, seen };
}

async function serve(
  socket: Socket,
  driver: Driver,
  seen: { calls: number; running: number; mostAtOnce: number },
): Promise<void> {
  let buffered = Buffer.alloc(0);
  for await (const chunk of socket) {
    buffered = Buffer.concat([buffered, chunk as Buffer]);
    if (buffered.length < 24) continue;
    const size = Number(buffered.readBigUInt64LE(16));
    if (buffered.length < 24 + size) continue;
    const call = {
      number: buffered.readBigUInt64LE(0),
      capacity: Number(buffered.readBigUInt64LE(8)),
      request: Uint8Array.from(buffered.subarray(24, 24 + size)),
    };
    buffered = buffered.subarray(24 + size);
    seen.running++;
    seen.mostAtOnce = Math.max(seen.mostAtOnce, seen.running);
    const { errno = 0, bytes = new Uint8Array(), claimed = bytes.length } = await driver(call, seen.calls++);
    seen.running--;
    const head = Buffer.alloc(24);
    head.writeBigInt64LE(BigInt(errno), 0);
    head.writeBigUInt64LE(BigInt(claimed), 8);
    head.writeBigUInt64LE(BigInt(bytes.length), 16);
    socket.write(Buffer.concat([head, bytes]));
  }
}

let relay: VsockRelay | undefined;

/** The relay on the fake library, with addresses in a new folder; the own CID is 16. */
export function fakeVsock(t: Teardown) {
  const folder = tempDir(t);
  const library = fakeLibrary();
  library.useFakeFolder?.(folder, 16);
  relay ??= new VsockRelay(library);
  return { relay, addressOf: (cid: number, port: number) => join(folder, `${cid}-${port}`) };
}

/** The number of open descriptors of this process. */
export const openDescriptors = (): number => readdirSync('/proc/self/fd').length;
