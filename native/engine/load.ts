/**
 * Loads the native library, once, and turns its failures into `KmsError`s.
 *
 * The library is built by `scripts/build-native` into `build/engine.node`. Each face names the functions it uses and
 * types them by hand; a library that lacks one is refused at start, not at the first call.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { ERROR_STATUS, type ErrorCode, KmsError } from '../../common/errors.ts';

const LIBRARY = fileURLToPath(new URL('./build/engine.node', import.meta.url));

let library: object | undefined;

function open(): object {
  if (library) return library;
  if (!existsSync(LIBRARY)) {
    throw new KmsError('STATE_INVALID', 'the native library is not built: run scripts/build-native');
  }
  const loaded: unknown = createRequire(import.meta.url)(LIBRARY);
  if (typeof loaded !== 'object' || loaded === null) throw new KmsError('INTERNAL', 'the native library is empty');
  library = loaded;
  return loaded;
}

/**
 * Returns the native library as the interface `T`.
 *
 * @param names - The functions and classes of `T`; their presence is checked.
 * @throws {@link KmsError} `STATE_INVALID` if the library is not built or is older than this source.
 */
export function native<T extends object>(names: readonly (keyof T & string)[]): T {
  const loaded = open();
  const missing = names.filter((name) => typeof Reflect.get(loaded, name) !== 'function');
  if (missing.length > 0) {
    throw new KmsError('STATE_INVALID', `the native library is out of date: run scripts/build-native`, {
      missing: missing.join(', '),
    });
  }
  // The names are there; their signatures are the contract between this folder's Rust and TypeScript.
  return loaded as T;
}

function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERROR_STATUS, text);
}

/** Turns what the native library threw (`CODE: message`) into a `KmsError`. */
export function nativeError(error: unknown): KmsError {
  if (error instanceof KmsError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const [, code = '', text = ''] = /^([A-Z_]+): ([\s\S]*)$/.exec(message) ?? [];
  if (isErrorCode(code)) return new KmsError(code, text);
  return new KmsError('INTERNAL', 'the native library refused its arguments', {}, error);
}

/** Runs a synchronous native call. @throws {@link KmsError} as {@link nativeError} makes it. */
export function attempt<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw nativeError(error);
  }
}

/** Runs a native call that gives a promise. @throws {@link KmsError} as {@link nativeError} makes it. */
export async function attemptAsync<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw nativeError(error);
  }
}
