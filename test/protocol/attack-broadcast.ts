/** Reliable broadcast under liars who know the protocol: every message is well formed, and chosen for each receiver. */
import { isDeepStrictEqual } from 'node:util';
import { protocolHash } from '../../enclave/mpc/hash.ts';
import { packParts, unpackParts } from '../../enclave/mpc/parts.ts';
import { reliableBroadcast } from '../../enclave/mpc/protocols/reliable-broadcast.ts';
import { SimNetwork, type Strategy } from '../helpers/sim-network.ts';

export const honestValue = (party: number): Uint8Array => Uint8Array.of(party);
const CHOICES = [Uint8Array.of(100), Uint8Array.of(101), undefined];

/** Two values and nothing, drawn anew for each frame; in the agreement any bits, kings and last words. */
function adaptive(n: number, liars: readonly number[]): Strategy {
  return (frame, random) => {
    const choice = (): Uint8Array | undefined => CHOICES[random.below(CHOICES.length)];
    const put = (chosen: () => Uint8Array | undefined) => {
      const parts = unpackParts(frame.payload, n) ?? [];
      return packParts(parts.map((part, index) => (liars.includes(index + 1) ? chosen() : part)));
    };
    switch (frame.round) {
      case 1: {
        const payload = choice();
        return payload ? [{ ...frame, payload }] : [];
      }
      case 2:
        return [{ ...frame, payload: put(choice) }];
      case 3:
        return [
          {
            ...frame,
            payload: put(() => {
              const value = choice();
              return value && protocolHash('BRACHABC', value);
            }),
          },
        ];
      default: {
        const isThird = frame.round % 3 === 0;
        const kinds = [0, 1, 1, 2].map((kind) => Uint8Array.of(kind));
        const head = isThird ? (kinds[random.below(random.below(4) + 1)] ?? new Uint8Array()) : new Uint8Array();
        const bits = Array.from({ length: n }, (_, index) => (liars.includes(index + 1) ? random.below(3) : 1));
        return [{ ...frame, payload: Uint8Array.of(...head, ...bits) }];
      }
    }
  };
}

/** Runs one, and returns the values that honest parties took of the liars. */
export async function attackBroadcast(n: number, threshold: number, seed: number): Promise<(string | undefined)[]> {
  const liars = Array.from({ length: threshold }, (_, index) => 1 + ((seed + index * 3) % n));
  const strategy = adaptive(n, liars);
  const network = new SimNetwork({
    n,
    t: threshold,
    seed,
    liars: new Map(liars.map((liar) => [liar, strategy])),
    repeatOneIn: 1000,
  });
  const results = await network.run((session) => reliableBroadcast(session, honestValue(session.me), 32));
  const [first] = results.values();
  for (const result of results.values()) {
    if (result instanceof Error) throw new Error(`seed ${seed}: ${result.stack}`);
    if (!isDeepStrictEqual(result, first)) throw new Error(`seed ${seed}: honest parties took different values`);
    for (const party of network.honest) {
      if (!isDeepStrictEqual(result.get(party), honestValue(party))) throw new Error(`seed ${seed}: a value is lost`);
    }
  }
  return liars.map((liar) => (first instanceof Error ? undefined : first?.get(liar)?.toString()));
}
