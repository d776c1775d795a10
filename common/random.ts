/**
 * The one place that draws randomness in JavaScript. Everything else takes a {@link RandomSource}, so that
 * tests can fix it. What it returns may be secret: callers own the bytes and wipe them.
 */
import { randomFillSync } from 'node:crypto';

/** Returns `sizeBytes` fresh bytes in an ArrayBuffer of their own. */
export type RandomSource = (sizeBytes: number) => Uint8Array<ArrayBuffer>;

/** The operating system's generator, through OpenSSL. Never a slice of Node's shared buffer pool. */
export const systemRandom: RandomSource = (sizeBytes) => randomFillSync(new Uint8Array(sizeBytes));
