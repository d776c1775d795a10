/**
 * Joins two sockets of Node: a native thread relays between them from then on, and Node has neither any more. Bytes of
 * both are hostile and go through unread; what is buffered stays below two blocks of 256 KB and the kernel's own.
 *
 * A half-close goes through either way. A failure of one side resets the other, so that a cut stream never looks whole.
 */
import type { Socket } from 'node:net';
import { KmsError } from '../../common/errors.ts';
import { errnoName, type NativeRelay, type NitroBinding } from './binding.ts';

const MAX_IDLE_MS = 0x7fffffff;
/** As in `src/relay.h`. */
const ENDED = 6;
const NOTHING = new Uint8Array();

/** How two sockets are joined. */
export interface JoinOptions {
  /** Under which the bytes are counted. */
  readonly group: number;
  /** Both are closed when nothing went either way for so long. */
  readonly idleTimeoutMs: number;
  /** Goes to the second socket before all that comes from the first. */
  readonly headToSecond?: Uint8Array;
  /** Goes to the first socket before all that comes from the second. */
  readonly headToFirst?: Uint8Array;
}

/** How it ended: `orderly`, `idle`, `cut` by our side, or `failed` with what the system said. */
export type JoinEnd = { readonly how: 'orderly' | 'idle' | 'cut' } | { readonly how: 'failed'; readonly errno: string };

/** Two joined sockets. */
export interface Join {
  /** Resolves when both are closed; never rejects. */
  readonly ended: Promise<JoinEnd>;
  /** Resets both. */
  cut(): void;
}

/** The relay thread that joins sockets. One of them serves a process. */
export class JoinRelay {
  readonly #relay: NativeRelay;
  readonly #joins = new Map<number, (end: JoinEnd) => void>();
  #nextId = 1;

  /** Starts the thread. @throws {@link KmsError} `RESOURCE_EXHAUSTED` if the system has no room for it. */
  constructor(binding: NitroBinding) {
    const relay = binding.startRelay((kind, id, _fd, error) => {
      if (kind !== ENDED) return;
      this.#joins.get(id)?.(describeEnd(error));
      this.#joins.delete(id);
    });
    if (typeof relay === 'number') {
      throw new KmsError('RESOURCE_EXHAUSTED', 'the relay does not start', { errno: errnoName(relay) });
    }
    this.#relay = relay;
  }

  /** @see joinSockets */
  join(first: Socket, second: Socket, options: JoinOptions): Join {
    const { group, idleTimeoutMs, headToSecond = NOTHING, headToFirst = NOTHING } = options;
    if (!(Number.isInteger(idleTimeoutMs) && idleTimeoutMs >= 1 && idleTimeoutMs <= MAX_IDLE_MS)) {
      throw new KmsError('REQUEST_INVALID', `idleTimeoutMs must be a whole number from 1 to ${MAX_IDLE_MS}`);
    }
    const id = this.#nextId++;
    try {
      // Without a turn of the loop between the copying and the closing: Node reads nothing more meanwhile.
      const toSecond = withUnread(headToSecond, first);
      const toFirst = withUnread(headToFirst, second);
      const [a, b] = [descriptorOf(first), descriptorOf(second)];
      const bad = this.#relay.join(id, a, b, group, idleTimeoutMs, toSecond, toFirst);
      if (bad < 0) throw new KmsError('RESOURCE_EXHAUSTED', 'the sockets cannot be joined', { errno: errnoName(bad) });
    } finally {
      first.destroy();
      second.destroy();
    }
    const { promise, resolve } = Promise.withResolvers<JoinEnd>();
    this.#joins.set(id, resolve);
    return { ended: promise, cut: () => this.#relay.cancel(id) };
  }

  /** @see joinedTraffic */
  traffic(group: number): readonly [number, number] {
    return this.#relay.traffic(group);
  }
}

/** The head and, behind it, what Node has read of the socket and nobody has taken. */
function withUnread(head: Uint8Array, socket: Socket): Uint8Array {
  const unread: unknown = socket.read();
  return unread instanceof Uint8Array ? Buffer.concat([head, unread]) : head;
}

/** The descriptor of a socket that is open and owes nothing. Node has no public name for it. */
function descriptorOf(socket: Socket): number {
  const handle: unknown = Reflect.get(socket, '_handle');
  const fd: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : undefined;
  if (typeof fd !== 'number' || fd < 0 || socket.connecting || socket.writableLength > 0) {
    throw new KmsError('UNAVAILABLE', 'a socket to be joined is closed, or not open yet');
  }
  return fd;
}

function describeEnd(error: number): JoinEnd {
  if (error === 0) return { how: 'orderly' };
  const errno = errnoName(-error);
  if (errno === 'ETIMEDOUT') return { how: 'idle' };
  return errno === 'ECANCELED' ? { how: 'cut' } : { how: 'failed', errno };
}
