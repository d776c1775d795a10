/**
 * The wire between a process of developer mode and its security module in the supervisor: a socketpair of the child's
 * own, on it frames of `u32le length | CBOR`, one answer for each request, in order.
 *
 * Both ends bound what the other may send before they keep it: the child is a stranger to the supervisor, and the
 * device may be slow or broken. Nothing here is secret but randomness in passing.
 */
import { fstatSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { KmsError } from '../../common/errors.ts';
import { NSM_MAX_REQUEST_BYTES, NSM_MAX_RESPONSE_BYTES, type Nsm, type NsmTransport } from '../attester/attester.ts';
import { openNsm } from '../attester/nsm.ts';
import { encodeNsmResponse, nsmError } from '../attester/nsm-codec.ts';
import { FrameReader, frame } from './nsm-frames.ts';
import type { SoftwareNsm } from './software-nsm.ts';

/** The descriptor on which a process of developer mode finds its module. */
export const NSM_DESCRIPTOR = 4;

/** How long a device may think about one request before it is given up. */
const TIMEOUT_MS = 10_000;

/** Requests that may wait for their turn. */
const MAX_WAITING = 64;

/** Settings of {@link streamTransport}. */
export interface StreamTransportOptions {
  /** From the call to its answer, waiting for earlier requests included. */
  readonly timeoutMs?: number;
}

/**
 * Serves a module on a stream, one request after the other, until the stream ends. A frame that is longer than any
 * request is answered with `InputTooLarge`, then the stream is closed, since nothing after it can be trusted.
 */
export function serveNsm(stream: Duplex, nsm: SoftwareNsm): void {
  const reader = new FrameReader(NSM_MAX_REQUEST_BYTES);
  let busy = false;

  const serve = async (): Promise<void> => {
    if (busy) return;
    busy = true;
    try {
      for (let request = reader.next(); request !== undefined; request = reader.next()) {
        const answer = await nsm.handle(request);
        if (stream.destroyed) return;
        await write(stream, frame(answer));
      }
      if (reader.tooLong) stream.end(frame(encodeNsmResponse(nsmError('InputTooLarge'))));
      else stream.resume();
    } finally {
      busy = false;
    }
  };

  stream.on('data', (chunk: Uint8Array) => {
    reader.push(chunk);
    // No more is read while a request is served: a child that writes without reading fills its own socket, not us.
    stream.pause();
    void serve().catch(() => stream.destroy());
  });
  stream.on('end', () => stream.end());
  // The child is gone: its exit is the supervisor's to tell.
  stream.on('error', () => stream.destroy());
}

/**
 * Returns the child's end: a transport that sends one request at a time.
 *
 * A request that is given up (time-out, signal) leaves its answer behind; requests after it wait until that answer
 * came and was thrown away, so an answer never meets another request.
 */
export function streamTransport(stream: Duplex, { timeoutMs = TIMEOUT_MS }: StreamTransportOptions = {}): NsmTransport {
  const reader = new FrameReader(NSM_MAX_RESPONSE_BYTES);
  const waiting: Call[] = [];
  /** The request whose answer comes next; it may have been given up. */
  let current: Call | undefined;
  let broken: KmsError | undefined;

  const fail = (error: KmsError): void => {
    if (broken !== undefined) return;
    broken = error;
    for (const call of [current, ...waiting.splice(0)]) call?.reject(error);
    current = undefined;
    stream.destroy();
  };

  const sendNext = (): void => {
    while (current === undefined) {
      const call = waiting.shift();
      if (call === undefined) return;
      if (call.isSettled()) continue;
      current = call;
      stream.write(frame(call.cbor));
    }
  };

  stream.on('data', (chunk: Uint8Array) => {
    reader.push(chunk);
    for (let answer = reader.next(); answer !== undefined; answer = reader.next()) {
      if (current === undefined) return fail(invalid('the attestation device answered without being asked'));
      current.resolve(answer);
      current = undefined;
      sendNext();
    }
    if (reader.tooLong) fail(invalid(`the attestation device answered with more than ${NSM_MAX_RESPONSE_BYTES} bytes`));
  });
  stream.on('error', (cause) => fail(gone(cause)));
  stream.on('close', () => fail(gone()));
  stream.on('end', () => fail(gone()));
  if (stream.destroyed) fail(gone());

  return {
    request: async (cbor, signal) => {
      if (broken !== undefined) throw broken;
      if (cbor.byteLength > NSM_MAX_REQUEST_BYTES) {
        throw new KmsError('REQUEST_INVALID', `a request has at most ${NSM_MAX_REQUEST_BYTES} bytes`);
      }
      if (waiting.length >= MAX_WAITING) {
        throw new KmsError('RESOURCE_EXHAUSTED', 'too many requests wait for the attestation device', {
          waiting: waiting.length,
        });
      }
      const call = new Call(cbor, timeoutMs, signal);
      waiting.push(call);
      sendNext();
      try {
        return await call.answer;
      } finally {
        // One that was given up before its turn must not take up room behind a device that hangs.
        const at = waiting.indexOf(call);
        if (at >= 0) waiting.splice(at, 1);
      }
    },
    close: () => fail(new KmsError('UNAVAILABLE', 'the attestation device was closed')),
  };
}

/**
 * Returns the module that the supervisor gave this process.
 *
 * @param fd - {@link NSM_DESCRIPTOR} unless told otherwise; it belongs to the module from now on.
 * @throws {@link KmsError} `UNAVAILABLE` if there is none: the process was not started by a supervisor.
 */
export function openInheritedNsm(fd: number = NSM_DESCRIPTOR): Nsm {
  if (!isSocket(fd)) {
    const cure = 'start it with `arca dev`';
    throw new KmsError('UNAVAILABLE', `no developer attester on descriptor ${fd}: ${cure}`, { fd, cure });
  }
  const socket = new Socket({ fd, readable: true, writable: true });
  // The device alone keeps no process alive; a request that waits does, by its time-out.
  socket.unref();
  return openNsm(streamTransport(socket), 'developer');
}

/** One request that waits for its answer. */
class Call {
  readonly cbor: Uint8Array;
  readonly answer: Promise<Uint8Array>;
  readonly #settle: (settle: () => void) => void;
  #resolve: (answer: Uint8Array) => void = () => {};
  #reject: (error: KmsError) => void = () => {};
  #settled = false;

  constructor(cbor: Uint8Array, timeoutMs: number, signal: AbortSignal | undefined) {
    this.cbor = cbor;
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    const cancel = () => this.reject(new KmsError('CANCELLED', 'the attestation request was cancelled'));
    const giveUp = () =>
      this.reject(
        new KmsError('UNAVAILABLE', `the attestation device gave no answer within ${timeoutMs} ms`, { timeoutMs }),
      );
    const timer = setTimeout(giveUp, timeoutMs);
    this.#settle = (settle) => {
      if (this.#settled) return;
      this.#settled = true;
      clearTimeout(timer);
      signal?.removeEventListener('abort', cancel);
      settle();
    };
    if (signal?.aborted === true) cancel();
    else signal?.addEventListener('abort', cancel, { once: true });
  }

  isSettled(): boolean {
    return this.#settled;
  }

  resolve(answer: Uint8Array): void {
    this.#settle(() => this.#resolve(answer));
  }

  reject(error: KmsError): void {
    this.#settle(() => this.#reject(error));
  }
}

function isSocket(fd: number): boolean {
  try {
    return fstatSync(fd).isSocket();
  } catch {
    return false;
  }
}

function write(stream: Duplex, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(bytes, (error) => (error ? reject(error) : resolve()));
  });
}

function invalid(message: string): KmsError {
  return new KmsError('ATTESTATION_INVALID', message);
}

function gone(cause?: unknown): KmsError {
  return new KmsError('UNAVAILABLE', 'the attestation device is gone', {}, cause);
}
