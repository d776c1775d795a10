/**
 * The NSM device: one generic request through its one ioctl. Requests run off the event loop and one at a time, in
 * the order in which they came; the bytes are the caller's business.
 *
 * Limits: a request of at most 0x1000 bytes, an answer of at most 0x3000.
 */
import { KmsError } from '../../common/errors.ts';
import { errnoName, type NativeDevice, type NitroBinding } from './binding.ts';

const MAX_REQUEST_BYTES = 0x1000;

/** Where the device is. */
export interface NsmDeviceOptions {
  /** Default `/dev/nsm`. */
  readonly path?: string;
}

/** An open device. Fits what the attesters call a transport. */
export interface NsmDevice {
  /**
   * Carries a CBOR request to the device and returns its answer. An abort rejects at once; a request that has reached
   * the device still runs to its end, and the next one waits for it.
   *
   * @param cbor - 1 to 4096 bytes, copied before the call returns.
   * @throws {@link KmsError} `REQUEST_INVALID` for another size, `UNAVAILABLE` if the device fails or is closed,
   * `CANCELLED` on abort.
   */
  request(cbor: Uint8Array, signal?: AbortSignal): Promise<Uint8Array>;
  /** Closes the device after the running request; waiting ones fail. May be called again. */
  close(): void;
}

/** Opens the device with the given library. @throws {@link KmsError} as `openNsmDevice` says. */
export function nsmDevice(binding: NitroBinding, { path = '/dev/nsm' }: NsmDeviceOptions = {}): NsmDevice {
  const device = binding.openDevice(path);
  if (typeof device === 'number') throw openError(path, device);
  return serialised(device);
}

function serialised(device: NativeDevice): NsmDevice {
  let last: Promise<unknown> = Promise.resolve();
  let closed = false;

  const run = async (cbor: Uint8Array, signal: AbortSignal | undefined): Promise<Uint8Array> => {
    // Checked again here: the wait for the others may have been long.
    if (closed) throw isClosed();
    if (signal?.aborted) throw cancelled(signal);
    const answer = await device.request(cbor);
    if (typeof answer === 'number') throw requestError(answer);
    if (answer.length === 0) throw new KmsError('UNAVAILABLE', 'the NSM device gave an empty answer');
    return answer;
  };

  return {
    request: (cbor, signal) => {
      // What is no byte string has no size; native code would read it as one.
      const size = cbor instanceof Uint8Array ? cbor.length : 0;
      if (size === 0 || size > MAX_REQUEST_BYTES) {
        const facts = { size, max: MAX_REQUEST_BYTES };
        return Promise.reject(new KmsError('REQUEST_INVALID', 'an NSM request has 1 to 4096 bytes', facts));
      }
      if (closed) return Promise.reject(isClosed());
      const own = cbor.slice();
      const result = last.then(() => run(own, signal));
      last = result.catch(() => undefined).finally(() => own.fill(0));
      return signal ? orAborted(result, signal) : result;
    },
    close: () => {
      if (closed) return;
      closed = true;
      void last.then(() => device.close());
    },
  };
}

/** Settles as `result` does, or rejects as soon as the signal fires. */
function orAborted<T>(result: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) {
    result.catch(() => undefined);
    return Promise.reject(cancelled(signal));
  }
  return new Promise((resolve, reject) => {
    const abort = () => reject(cancelled(signal));
    signal.addEventListener('abort', abort, { once: true });
    result.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

function cancelled(signal: AbortSignal): KmsError {
  return new KmsError('CANCELLED', 'the NSM request was given up', {}, signal.reason);
}

function isClosed(): KmsError {
  return new KmsError('UNAVAILABLE', 'the NSM device is closed');
}

function openError(path: string, negative: number): KmsError {
  const errno = errnoName(negative);
  switch (errno) {
    case 'ENOENT':
    case 'ENXIO':
    case 'ENODEV':
      return new KmsError('UNAVAILABLE', `there is no NSM device at ${path}: not in a Nitro enclave, or no driver`, {
        errno,
      });
    case 'EACCES':
    case 'EPERM':
      return new KmsError('PERMISSION_DENIED', `${path} may not be opened for reading and writing`, { errno });
    default:
      return new KmsError('UNAVAILABLE', `${path} does not open`, { errno });
  }
}

function requestError(negative: number): KmsError {
  const errno = errnoName(negative);
  if (errno === 'ENOTTY') return new KmsError('UNAVAILABLE', 'the opened file is not an NSM device', { errno });
  if (errno === 'EOVERFLOW') {
    return new KmsError('UNAVAILABLE', 'the NSM device claims an answer longer than the buffer it was given', {
      errno,
    });
  }
  return new KmsError('UNAVAILABLE', 'the NSM device failed', { errno });
}
