/**
 * Damages byte strings the way an attacker who knows a format would: at the structure, with extreme lengths.
 *
 * Reproducible: a test prints its seed, and the same seed gives the same damage.
 */

/** A small seeded generator (mulberry32): integers in [0, bound). */
export type Random = (bound: number) => number;

/** Returns the generator for a seed. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return (bound) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * bound);
  };
}

const EXTREMES = [0n, 1n, 2n, 0x7fn, 0xffn, 0xffff_ffffn, 1n << 32n, 1n << 60n, 1n << 63n, (1n << 64n) - 1n];

/** A position: mostly in the first or last bytes, where structure is. */
function position(random: Random, size: number): number {
  const edge = Math.min(size, 200);
  const where = random(4);
  if (where < 2) return random(edge);
  return where === 2 ? size - 1 - random(edge) : random(size);
}

/** Returns a damaged copy of `input`; `other` is a donor of parts. */
export function mutate(random: Random, input: Uint8Array, other: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(input);
  if (bytes.length < 16) return Uint8Array.from({ length: random(64) }, () => random(256));
  const at = position(random, bytes.length);
  switch (random(8)) {
    case 0:
      return bytes.slice(0, at);
    case 1:
      return Uint8Array.from([...bytes.slice(-16), ...bytes.slice(0, random(64))]);
    case 2: {
      const longer = new Uint8Array(bytes.length + 1 + random(40));
      longer.set(bytes);
      return longer;
    }
    case 3: {
      const extreme = EXTREMES[random(EXTREMES.length)] ?? 0n;
      new DataView(bytes.buffer).setBigUint64(Math.min(at, bytes.length - 8), extreme, true);
      return bytes;
    }
    case 4: {
      const view = new DataView(bytes.buffer);
      const place = Math.min(at, bytes.length - 4);
      view.setUint32(place, view.getUint32(place, true) + random(5) - 2, true);
      return bytes;
    }
    case 5: {
      const gap = 1 + random(32);
      const shorter = new Uint8Array(Math.max(0, bytes.length - gap));
      shorter.set(bytes.subarray(0, Math.min(at, shorter.length)));
      if (at + gap < bytes.length) shorter.set(bytes.subarray(at + gap), at);
      return shorter;
    }
    case 6: {
      const from = random(other.length);
      bytes.set(other.subarray(from, from + Math.min(random(64), bytes.length - at)), at);
      return bytes;
    }
    default: {
      for (let flips = 1 + random(4); flips > 0; flips--) {
        const place = position(random, bytes.length);
        bytes[place] = (bytes[place] ?? 0) ^ (1 << random(8));
      }
      return bytes;
    }
  }
}
