/**
 * The deterministic generator of the published KMS's fixtures: AES-128 in counter mode, seeded by an integer that a
 * PCG32 routine expands. For reproducing their golden vectors only.
 */
import { createCipheriv } from 'node:crypto';

const MASK64 = (1n << 64n) - 1n;

/** Returns a function that gives the next bytes of the stream for this seed. */
export function seededRandom(seed: number): (sizeBytes: number) => Uint8Array {
  const key = expandSeed(seed);
  let counter = 0n;
  let buffer = Buffer.alloc(0);
  const refill = (): void => {
    const blocks = Buffer.alloc(128);
    for (let i = 0; i < 8; i++, counter++) blocks.writeBigUInt64LE(counter, i * 16);
    const cipher = createCipheriv('aes-128-ecb', key, null).setAutoPadding(false);
    buffer = Buffer.concat([buffer, cipher.update(blocks)]);
  };
  return (sizeBytes) => {
    while (buffer.byteLength < sizeBytes) refill();
    const taken = Uint8Array.from(buffer.subarray(0, sizeBytes));
    buffer = buffer.subarray(sizeBytes);
    return taken;
  };
}

function expandSeed(seed: number): Buffer {
  let state = BigInt(seed);
  const key = Buffer.alloc(16);
  for (let word = 0; word < 4; word++) {
    state = (state * 6364136223846793005n + 11634580027462260723n) & MASK64;
    const mixed = Number((((state >> 18n) ^ state) >> 27n) & 0xffffffffn);
    const rotation = Number(state >> 59n);
    key.writeUInt32LE(((mixed >>> rotation) | (mixed << (32 - rotation))) >>> 0, word * 4);
  }
  return key;
}
