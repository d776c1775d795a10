/**
 * Sealed objects read by docs/formats/sealed-object.md alone: no code of ours, and neither libsodium nor OpenSSL's Ed25519.
 *
 * secretstream after its documentation: HChaCha20 for the key, ChaCha20 (OpenSSL's), Poly1305 over big integers.
 */
import { createCipheriv, createHash } from 'node:crypto';
import { zstdDecompressSync } from 'node:zlib';
import { ed25519 } from '@noble/curves/ed25519.js';
import { hkdf } from '@noble/hashes/hkdf.js';
import { sha256 } from '@noble/hashes/sha2.js';

/** What was read. */
export interface Read {
  readonly content: Buffer;
  /** The head's map, as a list of names and values in the order of the file. */
  readonly fields: ReadonlyMap<string, unknown>;
}

/** Reads and checks a sealed object under its data key. */
export function readIndependently(sealed: Buffer, dataKey: Uint8Array): Read {
  check(sealed.subarray(0, 8).toString('latin1') === 'ARCASEAL', 'magic');
  check(sealed.readUInt32LE(8) === 1, 'version');
  const headBytes = sealed.readUInt32LE(12);
  const head = sealed.subarray(16, 16 + headBytes);
  const fields = readHead(head);
  const signer = bytesOf(fields.get('signer'));
  const digest = createHash('sha384').update(head).digest();
  check(ed25519.verify(sealed.subarray(16 + headBytes, 80 + headBytes), digest, signer), 'signature of the head');

  const both = hkdf(sha256, dataKey, undefined, Buffer.from('ARCASEAL keys, format 1'), 64);
  check(bytesOf(fields.get('commitment')).equals(both.subarray(0, 32)), 'commitment');
  const stream = new PlainStream(both.subarray(32), bytesOf(fields.get('stream')));
  const parts: Buffer[] = [];
  let at = 80 + headBytes;
  for (let index = 0, final = false; !final; index++) {
    const frame = sealed.subarray(at, at + 8);
    check(frame.readUInt32LE(0) === index, 'index');
    const size = frame.readUInt32LE(4) & 0x7fff_ffff;
    final = frame.readUInt32LE(4) >= 0x8000_0000;
    check(final ? size <= 65_536 : size === 65_536, 'size of a chunk');
    const chunk = sealed.subarray(at + 8, at + 8 + size + 17);
    parts.push(stream.open(chunk, Buffer.concat([digest, frame]), final ? 3 : 0));
    at += 8 + size + 17;
  }
  const bodyDigest = createHash('sha256')
    .update(sealed.subarray(80 + headBytes, at))
    .digest();
  const count = parts.length < 24 ? Buffer.of(parts.length) : Buffer.of(0x18, parts.length);
  const label = Buffer.from('arca-object-1');
  const tail = [Buffer.of(0x84, 0x60 + label.length), label, Buffer.of(0x58, 48), digest];
  const preimage = Buffer.concat([...tail, count, Buffer.of(0x58, 32), bodyDigest]);
  const tailDigest = createHash('sha384').update(preimage).digest();
  check(ed25519.verify(sealed.subarray(at, at + 64), tailDigest, signer), 'signature of the tail');
  check(sealed.length === at + 64, 'end');
  const body = Buffer.concat(parts);
  return { content: fields.get('compression') === 'zstd' ? zstdDecompressSync(body) : body, fields };
}

function check(good: boolean, what: string): void {
  if (!good) throw new Error(`not as documented: ${what}`);
}

function bytesOf(value: unknown): Buffer {
  check(Buffer.isBuffer(value), 'bytes');
  return Buffer.isBuffer(value) ? value : Buffer.alloc(0);
}

/** Reads CBOR of exactly the shapes that a head has: array, map, text, bytes, unsigned integers, null. */
function readHead(head: Buffer): Map<string, unknown> {
  let at = 0;
  const item = (): unknown => {
    const first = head.readUInt8(at++);
    if (first === 0xf6) return null;
    const info = first & 31;
    const width = info < 24 ? 0 : 2 ** (info - 24);
    const size = width === 0 ? info : Number.parseInt(head.subarray(at, at + width).toString('hex'), 16);
    at += width;
    const major = first >> 5;
    if (major === 0) return size;
    if (major === 2 || major === 3) {
      at += size;
      const bytes = head.subarray(at - size, at);
      return major === 2 ? bytes : bytes.toString();
    }
    if (major === 4) return Array.from({ length: size }, item);
    check(major === 5, 'kind of an item');
    return new Map(Array.from({ length: size }, () => [item(), item()] as const));
  };
  const all = item();
  check(at === head.length && Array.isArray(all) && all.length === 2 && all[0] === 'arca-object-head-1', 'head');
  const map: unknown = Array.isArray(all) ? all[1] : undefined;
  check(map instanceof Map, 'map');
  return map instanceof Map ? map : new Map();
}

/** crypto_secretstream_xchacha20poly1305, the reading side. */
class PlainStream {
  readonly #key: Buffer;
  readonly #nonce: Buffer;

  constructor(key: Uint8Array, header: Buffer) {
    this.#key = hchacha20(Buffer.from(key), header.subarray(0, 16));
    this.#nonce = Buffer.concat([Buffer.of(1, 0, 0, 0), header.subarray(16)]);
  }

  open(sealed: Buffer, bound: Buffer, tag: number): Buffer {
    const message = sealed.subarray(1, sealed.length - 16);
    // Blocks 0, 1 and 2 onwards: the authenticator's key, the tag's block, the message.
    const block = this.#xor(1, Buffer.concat([sealed.subarray(0, 1), Buffer.alloc(63)]));
    check(block[0] === tag, 'tag of a chunk');
    block.set(sealed.subarray(0, 1));
    // The padding of the message is by the length of the message alone, as libsodium has it.
    const pad = (0x10 - 64 + message.length) & 15;
    const sizes = Buffer.alloc(16);
    sizes.writeUInt32LE(bound.length, 0);
    sizes.writeUInt32LE(64 + message.length, 8);
    const parts = [bound, Buffer.alloc((16 - (bound.length % 16)) % 16), block, message, Buffer.alloc(pad), sizes];
    const authenticator = poly1305(this.#xor(0, Buffer.alloc(64)).subarray(0, 32), Buffer.concat(parts));
    check(authenticator.equals(sealed.subarray(-16)), 'authenticator');
    const content = this.#xor(2, message);
    for (let i = 0; i < 8; i++) this.#nonce[4 + i] = (this.#nonce[4 + i] ?? 0) ^ (authenticator[i] ?? 0);
    this.#nonce.writeUInt32LE(this.#nonce.readUInt32LE(0) + 1, 0);
    return content;
  }

  #xor(counter: number, data: Buffer): Buffer {
    const start = Buffer.alloc(4);
    start.writeUInt32LE(counter);
    return createCipheriv('chacha20', this.#key, Buffer.concat([start, this.#nonce])).update(data);
  }
}

/** HChaCha20: twenty rounds without the final addition; words 0 to 3 and 12 to 15. */
function hchacha20(key: Buffer, input: Buffer): Buffer {
  const words = Buffer.concat([Buffer.from('expand 32-byte k'), key, input]);
  const state = Uint32Array.from({ length: 16 }, (_, i) => words.readUInt32LE(4 * i));
  const at = (i: number): number => state[i] ?? 0;
  const quarter = (a: number, b: number, c: number, d: number): void => {
    for (const [x, y, z, by] of [
      [a, b, d, 16],
      [c, d, b, 12],
      [a, b, d, 8],
      [c, d, b, 7],
    ] as const) {
      state[x] = at(x) + at(y);
      const mixed = at(z) ^ at(x);
      state[z] = (mixed << by) | (mixed >>> (32 - by));
    }
  };
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 4; i++) quarter(i, 4 + i, 8 + i, 12 + i);
    for (let i = 0; i < 4; i++) quarter(i, 4 + ((i + 1) % 4), 8 + ((i + 2) % 4), 12 + ((i + 3) % 4));
  }
  const out = Buffer.alloc(32);
  for (let i = 0; i < 4; i++) {
    out.writeUInt32LE(at(i), 4 * i);
    out.writeUInt32LE(at(12 + i), 16 + 4 * i);
  }
  return out;
}

function poly1305(key: Buffer, data: Buffer): Buffer {
  const little = (bytes: Buffer): bigint => BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
  const r = little(key.subarray(0, 16)) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
  let sum = 0n;
  for (let i = 0; i < data.length; i += 16) {
    const block = Buffer.concat([data.subarray(i, i + 16), Buffer.of(1)]);
    sum = ((sum + little(block)) * r) % (2n ** 130n - 5n);
  }
  const tag = (sum + little(key.subarray(16))) % 2n ** 128n;
  return Buffer.from(tag.toString(16).padStart(32, '0'), 'hex').reverse();
}
