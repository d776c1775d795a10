/**
 * vsock connections as ordinary sockets. Node knows no AF_VSOCK, so a native thread relays each connection to one end
 * of a Unix socket pair and the other end becomes a `net.Socket`, with a native handle that TLS can use.
 *
 * A half-close goes through either way. A reset of the remote destroys the socket with an error. Everything that comes
 * in is hostile network input, CID and port included.
 */
import { Socket } from 'node:net';
import { KmsError } from '../../common/errors.ts';
import { errnoName, type NativeRelay, type NitroBinding } from './binding.ts';

/** Any of this machine's own addresses. */
export const VSOCK_CID_ANY = 0xffffffff;
/** This machine itself, where the kernel has the loopback transport. */
export const VSOCK_CID_LOCAL = 1;
/** The parent instance, seen from an enclave. */
export const VSOCK_CID_PARENT = 3;

const MAX_PORT = 0xfffffffe;
const MAX_TIMEOUT_MS = 600_000;
/** A full queue makes the kernel refuse, and a mesh listener has its own budget of handshakes. */
const BACKLOG = 1024;
const MAX_CONNECTIONS = 4096;

/** As in `src/relay.h`. */
const EVENT = { CONNECTED: 1, FAILED: 2, ACCEPTED: 3, LISTENER_CLOSED: 4, RESET: 5 } as const;

/** Whom to connect to. */
export interface VsockConnectOptions {
  readonly cid: number;
  readonly port: number;
  /** 1 to 600,000. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** As in `node:net`: whether the socket stays writable after the peer's end. Default false. */
  readonly allowHalfOpen?: boolean;
}

/** Where to listen. */
export interface VsockListenOptions {
  readonly port: number;
  /** One of this machine's own addresses; default any. */
  readonly cid?: number;
  /** Connections over this number are closed at once, counted over all listeners. Default 4096. */
  readonly maxConnections?: number;
  /** As in `node:net`. Default false. */
  readonly allowHalfOpen?: boolean;
}

/** A listening port. */
export interface VsockListener {
  /** Stops listening; connections that are open stay so. Resolves when the port is free. May be called again. */
  close(): Promise<void>;
}

interface Pending {
  readonly allowHalfOpen: boolean;
  readonly resolve: (socket: Socket) => void;
  /** With an errno. */
  readonly fail: (code: number) => void;
}

interface Listening {
  readonly allowHalfOpen: boolean;
  readonly onSocket: (socket: Socket, peerCid: number, peerPort: number) => void;
  readonly onClosed: () => void;
  closing: boolean;
}

/** The relay thread's connects, listeners and sockets. One of them serves a process. */
export class VsockRelay {
  readonly #relay: NativeRelay;
  readonly #connects = new Map<number, Pending>();
  readonly #listeners = new Map<number, Listening>();
  readonly #sockets = new Map<number, Socket>();
  #nextId = 1;

  /** Starts the thread. @throws {@link KmsError} `RESOURCE_EXHAUSTED` if the system has no room for it. */
  constructor(binding: NitroBinding) {
    const relay = binding.startRelay((kind, id, fd, error, cid, port, link) =>
      this.#onEvent(kind, id, fd, error, cid, port, link),
    );
    if (typeof relay === 'number') {
      throw new KmsError('RESOURCE_EXHAUSTED', 'the vsock relay does not start', { errno: errnoName(relay) });
    }
    this.#relay = relay;
  }

  /** Connections that are being relayed now. */
  get size(): number {
    return this.#relay.size();
  }

  /** @see vsockConnect */
  connect({ cid, port, timeoutMs, signal, allowHalfOpen = false }: VsockConnectOptions): Promise<Socket> {
    return new Promise((resolve, reject) => {
      checkRange('cid', cid, 0, VSOCK_CID_ANY - 1);
      checkRange('port', port, 0, MAX_PORT);
      checkRange('timeoutMs', timeoutMs, 1, MAX_TIMEOUT_MS);
      if (signal?.aborted) return reject(cancelled(signal));
      const id = this.#nextId++;
      const bad = this.#relay.connect(id, cid, port, timeoutMs);
      if (bad < 0) return reject(connectError(-bad, cid, port));
      const abort = () => {
        this.#connects.delete(id);
        this.#relay.cancel(id);
        if (signal) reject(cancelled(signal));
      };
      signal?.addEventListener('abort', abort, { once: true });
      const done = () => signal?.removeEventListener('abort', abort);
      this.#connects.set(id, {
        allowHalfOpen,
        resolve: (socket) => {
          done();
          resolve(socket);
        },
        fail: (code) => {
          done();
          reject(connectError(code, cid, port));
        },
      });
    });
  }

  /** @see vsockListen */
  async listen(
    { port, cid = VSOCK_CID_ANY, maxConnections = MAX_CONNECTIONS, allowHalfOpen = false }: VsockListenOptions,
    onSocket: Listening['onSocket'],
  ): Promise<VsockListener> {
    checkRange('cid', cid, 0, VSOCK_CID_ANY);
    checkRange('port', port, 0, MAX_PORT);
    checkRange('maxConnections', maxConnections, 1, 1_000_000);
    const id = this.#nextId++;
    const bad = this.#relay.listen(id, cid, port, BACKLOG, maxConnections);
    if (bad < 0) throw listenError(-bad, port);
    let onClosed = () => {};
    const closed = new Promise<void>((resolve) => {
      onClosed = resolve;
    });
    const listening: Listening = { allowHalfOpen, onSocket, onClosed, closing: false };
    this.#listeners.set(id, listening);
    return {
      close: () => {
        if (!listening.closing) this.#relay.cancel(id);
        listening.closing = true;
        return closed;
      },
    };
  }

  #onEvent(kind: number, id: number, fd: number, error: number, cid: number, port: number, link: number): void {
    switch (kind) {
      case EVENT.CONNECTED: {
        const pending = this.#connects.get(id);
        this.#connects.delete(id);
        const socket = this.#socket(fd, link, pending?.allowHalfOpen ?? false);
        // Aborted while the news was on its way.
        if (pending) pending.resolve(socket);
        else socket.destroy();
        return;
      }
      case EVENT.FAILED: {
        const pending = this.#connects.get(id);
        this.#connects.delete(id);
        pending?.fail(error);
        return;
      }
      case EVENT.ACCEPTED: {
        const listening = this.#listeners.get(id);
        const socket = this.#socket(fd, link, listening?.allowHalfOpen ?? false);
        if (listening && !listening.closing) listening.onSocket(socket, cid, port);
        else socket.destroy();
        return;
      }
      case EVENT.LISTENER_CLOSED: {
        this.#listeners.get(id)?.onClosed();
        this.#listeners.delete(id);
        return;
      }
      case EVENT.RESET: {
        const errno = errnoName(-error);
        this.#sockets.get(link)?.destroy(new KmsError('UNAVAILABLE', 'the vsock peer reset the connection', { errno }));
        return;
      }
    }
  }

  #socket(fd: number, link: number, allowHalfOpen: boolean): Socket {
    const socket = new Socket({ fd, readable: true, writable: true, allowHalfOpen });
    this.#sockets.set(link, socket);
    socket.once('close', () => this.#sockets.delete(link));
    return socket;
  }
}

function checkRange(name: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw new KmsError('REQUEST_INVALID', `vsock ${name} must be a whole number from ${min} to ${max}`, { name });
}

function cancelled(signal: AbortSignal): KmsError {
  return new KmsError('CANCELLED', 'the vsock connect was given up', {}, signal.reason);
}

function connectError(code: number, cid: number, port: number): KmsError {
  const errno = errnoName(-code);
  const facts = { errno, cid, port };
  switch (errno) {
    case 'ETIMEDOUT':
      return new KmsError('DEADLINE_EXCEEDED', 'nobody answered on the vsock port in time', facts);
    case 'EACCES':
    case 'EPERM':
      return new KmsError('PERMISSION_DENIED', 'vsock is not allowed here', facts);
    case 'EAFNOSUPPORT':
      return new KmsError('UNIMPLEMENTED', 'this kernel has no vsock', facts);
    case 'EMFILE':
    case 'ENFILE':
    case 'ENOMEM':
    case 'ENOBUFS':
      return new KmsError('RESOURCE_EXHAUSTED', 'no room for another connection', facts);
    default:
      return new KmsError('UNAVAILABLE', 'the vsock port cannot be reached', facts);
  }
}

function listenError(code: number, port: number): KmsError {
  const errno = errnoName(-code);
  const facts = { errno, port };
  switch (errno) {
    case 'EADDRINUSE':
      return new KmsError('ALREADY_EXISTS', 'another process listens on the vsock port', facts);
    case 'EACCES':
    case 'EPERM':
      return new KmsError('PERMISSION_DENIED', 'the vsock port may not be listened on', facts);
    case 'EAFNOSUPPORT':
      return new KmsError('UNIMPLEMENTED', 'this kernel has no vsock', facts);
    default:
      return new KmsError('UNAVAILABLE', 'the vsock port cannot be listened on', facts);
  }
}
