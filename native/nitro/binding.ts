/**
 * Loads the C++ library and types it by hand. Its functions check nothing and throw nothing: arguments are checked by
 * the TypeScript beside this file, and failures come back as negative `errno` numbers.
 *
 * `scripts/build-native` makes two libraries from the same objects but one: `nitro.node` has the system's own open,
 * ioctl and AF_VSOCK (`src/platform-linux.cc`); `nitro-fake.node` has stand-ins on Unix sockets
 * (`src/platform-fake.cc`) and is for tests alone. So the library that production loads contains no seam at all.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { KmsError } from '../../common/errors.ts';

/** An open NSM device. Requests must not overlap, and none may run when it is closed. */
export interface NativeDevice {
  /** Runs one request on the thread pool; resolves to the response, or to a negative errno. */
  request(cbor: Uint8Array): Promise<Uint8Array | number>;
  close(): void;
}

/** Told what happened on the relay's thread; numbers as in `src/relay.h`. */
export type RelayListener = (
  kind: number,
  id: number,
  fd: number,
  error: number,
  cid: number,
  port: number,
  link: number,
) => void;

/** The relay's thread. Ids are given out by the caller and never used twice. */
export interface NativeRelay {
  /** Starts connecting; 0 or a negative errno. The outcome comes as an event. */
  connect(id: number, cid: number, port: number, timeoutMs: number): number;
  /** Binds and listens; 0 or a negative errno. */
  listen(id: number, cid: number, port: number, backlog: number, maxConnections: number): number;
  /**
   * Copies both descriptors and relays between the copies until both directions have ended, which an event tells;
   * 0 or a negative errno. The caller closes its own.
   *
   * @param group - Under which the bytes are counted.
   * @param headToB - Goes to `b` before what comes from `a`; `headToA` the other way.
   */
  join(
    id: number,
    a: number,
    b: number,
    group: number,
    idleMs: number,
    headToB: Uint8Array,
    headToA: Uint8Array,
  ): number;
  /** Bytes that a group's joins have moved so far: from `a` to `b`, and back. */
  traffic(group: number): readonly [number, number];
  /** Gives up a connection that is not made yet, ends a listener or cuts a join (which both say so by an event). */
  cancel(id: number): void;
  /** Connections that are being relayed now. */
  size(): number;
}

/** The native functions. */
export interface NitroBinding {
  /** The device, or a negative errno. */
  openDevice(path: string): NativeDevice | number;
  /** Starts the relay's thread; a negative errno if it cannot. */
  startRelay(onEvent: RelayListener): NativeRelay | number;
  /** Tests' library only: the folder whose Unix sockets stand for vsock addresses, and the own CID in it. */
  useFakeFolder?(folder: string, ownCid: number): void;
}

const loaded = new Map<string, NitroBinding>();

/**
 * Returns the library, loading it at the first call.
 *
 * @param name - Only tests name another than `nitro`.
 * @throws {@link KmsError} `UNIMPLEMENTED` on another system than Linux, `STATE_INVALID` if it is not built.
 */
export function loadNitro(name: 'nitro' | 'nitro-fake' = 'nitro'): NitroBinding {
  const known = loaded.get(name);
  if (known) return known;
  if (process.platform !== 'linux') {
    throw new KmsError('UNIMPLEMENTED', 'the NSM device and vsock exist on Linux only', { platform: process.platform });
  }
  const file = fileURLToPath(new URL(`./build/${name}.node`, import.meta.url));
  if (!existsSync(file)) {
    throw new KmsError('STATE_INVALID', 'the native part for Nitro is not built: run scripts/build-native');
  }
  const library: unknown = createRequire(import.meta.url)(file);
  if (!isBinding(library)) {
    throw new KmsError('STATE_INVALID', 'the native part for Nitro is out of date: run scripts/build-native');
  }
  loaded.set(name, library);
  return library;
}

function isBinding(library: unknown): library is NitroBinding {
  if (typeof library !== 'object' || library === null) return false;
  return ['openDevice', 'startRelay'].every((name) => typeof Reflect.get(library, name) === 'function');
}

/** Returns the name (`ECONNREFUSED`) of a negative errno. */
export function errnoName(negative: number): string {
  const found = Object.entries(constants.errno).find(([, value]) => value === -negative);
  return found?.[0] ?? `errno ${-negative}`;
}
