/**
 * libsodium's secretstream (XChaCha20-Poly1305 in chunks), one state for each object. SECRET: keys, states, content.
 *
 * The package's own wrapper leaves states and content behind in WebAssembly memory, so its functions are called directly,
 * over two buffers that hold one chunk and are overwritten after each. Spec: https://doc.libsodium.org, secretstream.
 */
import sodium from 'libsodium-wrappers';
import { KmsError } from '../../common/errors.ts';

/** Most bytes of content in a chunk. */
export const CHUNK_BYTES = 65_536;
/** What a chunk grows by: an encrypted tag and an authenticator. */
export const CHUNK_OVERHEAD = 17;
/** Size of a stream's key. */
export const STREAM_KEY_BYTES = 32;

const TAG_MESSAGE = 0;
const TAG_FINAL = 3;
const HEADER_BYTES = 24;
const MAX_BOUND_BYTES = 256;

/** What is called of the WebAssembly module; sizes of 64 bits are given as two numbers, addresses as one. */
interface Sodium {
  readonly HEAPU8: Uint8Array;
  _malloc(sizeBytes: number): number;
  _free(address: number): void;
  _crypto_secretstream_xchacha20poly1305_statebytes(): number;
  _crypto_secretstream_xchacha20poly1305_init_pull(state: number, header: number, key: number): number;
  _crypto_secretstream_xchacha20poly1305_push(...args: readonly number[]): number;
  _crypto_secretstream_xchacha20poly1305_pull(...args: readonly number[]): number;
}
const CALLED: readonly (keyof Sodium)[] = [
  '_malloc',
  '_free',
  '_crypto_secretstream_xchacha20poly1305_statebytes',
  '_crypto_secretstream_xchacha20poly1305_init_pull',
  '_crypto_secretstream_xchacha20poly1305_push',
  '_crypto_secretstream_xchacha20poly1305_pull',
];

/** The module and the memory that all streams share; each call leaves it empty of secrets. */
interface Workplace {
  readonly lib: Sodium;
  readonly content: number;
  readonly sealed: number;
  readonly bound: number;
  readonly tag: number;
}

let opened: Promise<Workplace> | undefined;

/** One object's stream. Chunks go through in order; `close` overwrites the state. */
export interface SecretStream {
  /** Encrypts a chunk into `into`, which holds {@link CHUNK_OVERHEAD} bytes more. */
  push(content: Uint8Array, bound: Uint8Array, final: boolean, into: Uint8Array): void;
  /** Decrypts a chunk into `into`; false, and nothing written, unless it is the next one, whole, bound so, and final or not. */
  pull(sealed: Uint8Array, bound: Uint8Array, final: boolean, into: Uint8Array): boolean;
  close(): void;
}

/**
 * Opens the stream of a key and a header: the same for both directions, since the header comes in.
 *
 * A key must never see two streams with one header.
 */
export async function openSecretStream(key: Uint8Array, header: Uint8Array): Promise<SecretStream> {
  if (key.length !== STREAM_KEY_BYTES || header.length !== HEADER_BYTES) throw outOfBounds();
  opened ??= openWorkplace();
  const { lib, content, sealed, bound, tag } = await opened;
  const stateBytes = lib._crypto_secretstream_xchacha20poly1305_statebytes();
  const state = allocate(lib, stateBytes);
  place(lib, sealed, header);
  place(lib, content, key);
  // What starting to encrypt does, but for drawing the header.
  const started = lib._crypto_secretstream_xchacha20poly1305_init_pull(state, sealed, content);
  wipe(lib, content, key.length);
  if (started !== 0) throw outOfBounds();
  let open = true;
  const check = (contentBytes: number, boundBytes: number, sealedBytes: number): void => {
    const fits = contentBytes <= CHUNK_BYTES && boundBytes <= MAX_BOUND_BYTES;
    if (!open || !fits || sealedBytes !== contentBytes + CHUNK_OVERHEAD) throw outOfBounds();
  };
  return {
    push(chunk, facts, final, into) {
      check(chunk.length, facts.length, into.length);
      place(lib, content, chunk);
      place(lib, bound, facts);
      const mark = final ? TAG_FINAL : TAG_MESSAGE;
      const args = [state, sealed, 0, content, chunk.length, 0, bound, facts.length, 0, mark];
      lib._crypto_secretstream_xchacha20poly1305_push(...args);
      wipe(lib, content, chunk.length);
      into.set(lib.HEAPU8.subarray(sealed, sealed + into.length));
    },
    pull(chunk, facts, final, into) {
      check(into.length, facts.length, chunk.length);
      place(lib, sealed, chunk);
      place(lib, bound, facts);
      const args = [state, content, 0, tag, sealed, chunk.length, 0, bound, facts.length, 0];
      const failed = lib._crypto_secretstream_xchacha20poly1305_pull(...args) !== 0;
      const good = !failed && lib.HEAPU8[tag] === (final ? TAG_FINAL : TAG_MESSAGE);
      if (good) into.set(lib.HEAPU8.subarray(content, content + into.length));
      wipe(lib, content, into.length);
      return good;
    },
    close() {
      if (!open) return;
      open = false;
      wipe(lib, state, stateBytes);
      lib._free(state);
    },
  };
}

async function openWorkplace(): Promise<Workplace> {
  await sodium.ready;
  const lib: unknown = Reflect.get(sodium, 'libsodium');
  if (!isSodium(lib)) throw new KmsError('INTERNAL', 'libsodium-wrappers does not hold the functions that it should');
  return {
    lib,
    content: allocate(lib, CHUNK_BYTES),
    sealed: allocate(lib, CHUNK_BYTES + CHUNK_OVERHEAD),
    bound: allocate(lib, MAX_BOUND_BYTES),
    tag: allocate(lib, 1),
  };
}

function isSodium(lib: unknown): lib is Sodium {
  if (typeof lib !== 'object' || lib === null || !(Reflect.get(lib, 'HEAPU8') instanceof Uint8Array)) return false;
  return CALLED.every((name) => typeof Reflect.get(lib, name) === 'function');
}

function allocate(lib: Sodium, sizeBytes: number): number {
  const address = lib._malloc(sizeBytes);
  if (address === 0) throw new KmsError('RESOURCE_EXHAUSTED', 'no memory left for sealing');
  return address;
}

// The view is asked for at every use: it is another one once the memory has grown.
const place = (lib: Sodium, address: number, bytes: Uint8Array): void => lib.HEAPU8.set(bytes, address);
const wipe = (lib: Sodium, address: number, sizeBytes: number): unknown =>
  lib.HEAPU8.fill(0, address, address + sizeBytes);

const outOfBounds = (): KmsError => new KmsError('INTERNAL', 'a sealing stream was used out of its bounds');
