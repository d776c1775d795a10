/**
 * A NitroTPM as a carrier of security-module requests: the request goes into an NV index of its own, a vendor command
 * has it answered in place, the answer is read back, and the index is always removed.
 *
 * The index is the only trace. One that this process cannot remove is tried again before the next request. One that a
 * killed process left behind is known by its shape, and removed once it has stood for longer than any request takes:
 * until then it may be another process's.
 */
import type { Clock } from '../../common/clock.ts';
import { KmsError } from '../../common/errors.ts';
import type { RandomSource } from '../../common/random.ts';
import { cborItemBytes } from '../tpm/cbor-length.ts';
import { execute, passwordSession, TpmRefusal } from '../tpm/command.ts';
import { ALGORITHM, COMMAND, HANDLE, isNoSuchHandle, NV_ATTRIBUTE, RC } from '../tpm/constants.ts';
import {
  type NvIndex,
  type NvPublic,
  nvChunkBytes,
  nvDefine,
  nvHandles,
  nvRead,
  nvReadPublic,
  nvUndefine,
  nvWrite,
} from '../tpm/nv.ts';
import { withSaltedSession } from '../tpm/salted-session.ts';
import type { TpmTransport } from '../tpm/transport.ts';
import type { NsmTransport } from './attester.ts';

/** Size of the index: a document has nearly 5 KiB, its three fields up to 1 KiB each. */
const INDEX_BYTES = 8192;
/** As long as the digest of the index's name algorithm. */
const AUTH_BYTES = 64;
/** Handles that are tried, from the first one on. */
const HANDLES_TRIED = 4096;
const STALE_AFTER_MS = 60_000;

/** What a NitroTPM's carrier needs. */
export interface TpmNsmOptions {
  readonly tpm: TpmTransport;
  readonly clock: Clock;
  readonly random: RandomSource;
}

/**
 * Returns the carrier, which owns the TPM's transport from now on.
 *
 * An abort rejects at once; the index of the request is removed all the same.
 */
export function tpmNsmTransport({ tpm, clock, random }: TpmNsmOptions): NsmTransport {
  const requests = new IndexRequests(tpm, clock, random);
  let last: Promise<unknown> = Promise.resolve();
  let closed = false;
  return {
    request: (cbor, signal) => {
      if (closed) return Promise.reject(isClosed());
      const answer = last.then(() => {
        if (closed) throw isClosed();
        return requests.run(cbor, signal);
      });
      last = answer.catch(() => undefined);
      return signal ? orAborted(answer, signal) : answer;
    },
    close: () => {
      if (closed) return;
      closed = true;
      void last.then(() => tpm.close());
    },
  };
}

class IndexRequests {
  readonly #tpm: TpmTransport;
  readonly #clock: Clock;
  readonly #random: RandomSource;
  #chunkBytes: number | undefined;
  /** The form that the vendor command was accepted in. */
  #form: 'password' | 'salted' | undefined;
  /** Our own indices that could not be removed. */
  readonly #orphans = new Set<number>();
  /** Others' of the same shape, and when they were first seen. */
  readonly #others = new Map<number, number>();

  constructor(tpm: TpmTransport, clock: Clock, random: RandomSource) {
    this.#tpm = tpm;
    this.#clock = clock;
    this.#random = random;
  }

  async run(cbor: Uint8Array, signal: AbortSignal | undefined): Promise<Uint8Array> {
    throwIfAborted(signal);
    this.#chunkBytes ??= await nvChunkBytes(this.#tpm);
    const taken = await this.#sweep();
    const index = await this.#define(taken);
    try {
      await this.#write(index, cbor, this.#chunkBytes, signal);
      throwIfAborted(signal);
      await this.#submit(index);
      return await this.#read(index, this.#chunkBytes, signal);
    } finally {
      index.auth.fill(0);
      await this.#remove(index.handle);
    }
  }

  /** Removes what was left behind; returns the handles that are taken. */
  async #sweep(): Promise<ReadonlySet<number>> {
    for (const handle of this.#orphans) await this.#remove(handle);
    const listed = await nvHandles(this.#tpm, HANDLE.NV_FIRST);
    const taken = new Set(listed);
    const now = this.#clock.monotonicMs();
    for (const handle of this.#others.keys()) {
      if (!taken.has(handle)) this.#others.delete(handle);
    }
    for (const handle of listed) {
      if (handle >= HANDLE.NV_FIRST + HANDLES_TRIED || !(await this.#isOfOurShape(handle))) {
        this.#others.delete(handle);
        continue;
      }
      const since = this.#others.get(handle);
      if (since === undefined) this.#others.set(handle, now);
      else if (now - since >= STALE_AFTER_MS && (await this.#remove(handle))) taken.delete(handle);
    }
    return taken;
  }

  async #isOfOurShape(handle: number): Promise<boolean> {
    try {
      return isOurShape(await nvReadPublic(this.#tpm, handle));
    } catch (error) {
      // Removed by its owner since it was listed.
      if (error instanceof TpmRefusal) return false;
      throw error;
    }
  }

  async #define(taken: ReadonlySet<number>): Promise<NvIndex> {
    const auth = this.#random(AUTH_BYTES);
    // A TPM drops zero bytes at the end of an authorization value.
    if (auth.at(-1) === 0) auth[AUTH_BYTES - 1] = 1;
    for (let handle: number = HANDLE.NV_FIRST; handle < HANDLE.NV_FIRST + HANDLES_TRIED; handle++) {
      if (taken.has(handle)) continue;
      try {
        await nvDefine(this.#tpm, { handle, auth }, INDEX_BYTES);
        return { handle, auth };
      } catch (error) {
        if (error instanceof TpmRefusal && error.responseCode === RC.NV_DEFINED) continue;
        if (error instanceof TpmRefusal && error.responseCode === RC.NV_SPACE) throw this.#isFull();
        // The answer may have been lost after the index was made.
        if (!(error instanceof TpmRefusal)) this.#orphans.add(handle);
        throw error;
      }
    }
    throw this.#isFull();
  }

  #isFull(): KmsError {
    const leftBehind = this.#others.size;
    return new KmsError('RESOURCE_EXHAUSTED', 'the TPM has no room for a request', { leftBehind });
  }

  async #write(index: NvIndex, cbor: Uint8Array, chunkBytes: number, signal: AbortSignal | undefined): Promise<void> {
    for (let at = 0; at < cbor.length; at += chunkBytes) {
      throwIfAborted(signal);
      await nvWrite(this.#tpm, index, at, cbor.subarray(at, at + chunkBytes));
    }
  }

  /** Tries the plain password first and the salted session where that is refused; remembers what worked. */
  async #submit(index: NvIndex): Promise<void> {
    if (this.#form !== 'salted') {
      try {
        await this.#vendorCommand(index, passwordSession(index.auth));
        this.#form = 'password';
        return;
      } catch (error) {
        const mayBeTheForm = error instanceof TpmRefusal && error.responseCode !== RC.LOCKOUT;
        if (this.#form === 'password' || !mayBeTheForm) throw error;
      }
    }
    const { name } = await nvReadPublic(this.#tpm, index.handle);
    const command = { code: COMMAND.NITRO_NSM_REQUEST, names: [name, name], auth: index.auth };
    await withSaltedSession(this.#tpm, this.#random, command, (session) => this.#vendorCommand(index, session));
    this.#form = 'salted';
  }

  async #vendorCommand({ handle }: NvIndex, authorization: Uint8Array): Promise<void> {
    await execute(this.#tpm, {
      code: COMMAND.NITRO_NSM_REQUEST,
      handles: [handle, handle],
      authorizations: [authorization],
    });
  }

  async #read(index: NvIndex, chunkBytes: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const answer = new Uint8Array(INDEX_BYTES);
    for (let at = 0; at < INDEX_BYTES; ) {
      throwIfAborted(signal);
      const chunk = await nvRead(this.#tpm, index, at, Math.min(chunkBytes, INDEX_BYTES - at));
      if (chunk.length === 0 || chunk.length > INDEX_BYTES - at) break;
      answer.set(chunk, at);
      at += chunk.length;
      const size = cborItemBytes(answer.subarray(0, at));
      if (size !== undefined) return answer.slice(0, size);
    }
    throw new KmsError('ATTESTATION_INVALID', 'the answer in the TPM has no end');
  }

  /** Never throws: the failure that led here, or the document, matters more. Returns whether the index is gone. */
  async #remove(handle: number): Promise<boolean> {
    try {
      await nvUndefine(this.#tpm, handle);
    } catch (error) {
      if (!(error instanceof TpmRefusal && isNoSuchHandle(error.responseCode))) {
        this.#orphans.add(handle);
        return false;
      }
    }
    this.#orphans.delete(handle);
    this.#others.delete(handle);
    return true;
  }
}

function isOurShape({ nameAlgorithm, attributes, policyBytes, sizeBytes }: NvPublic): boolean {
  const ours = NV_ATTRIBUTE.AUTH_READ | NV_ATTRIBUTE.AUTH_WRITE;
  return (
    nameAlgorithm === ALGORITHM.SHA512 &&
    (attributes & ~NV_ATTRIBUTE.WRITTEN) === ours &&
    policyBytes === 0 &&
    sizeBytes === INDEX_BYTES
  );
}

/** Settles as `result` does, or rejects as soon as the signal fires. */
function orAborted<T>(result: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(cancelled(signal));
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    result.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw cancelled(signal);
}

function cancelled(signal: AbortSignal): KmsError {
  return new KmsError('CANCELLED', 'the attestation was given up', {}, signal.reason);
}

function isClosed(): KmsError {
  return new KmsError('UNAVAILABLE', 'the TPM is closed');
}
