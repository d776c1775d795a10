/**
 * Masks keyed as the published KMS keys them (threshold-protocols §2.7): by session id and counter, not by what they
 * hide. For the demonstration of what follows from that.
 */
import { createCipheriv } from 'node:crypto';
import { point } from '../../../enclave/algebra/exceptional-sequence.ts';
import { type Element, GR128 } from '../../../enclave/algebra/galois-ring.ts';
import type { SetUp } from '../../../enclave/algebra/prss.ts';
import { setPolynomialAt } from '../../../enclave/algebra/prss-sets.ts';
import { decodeWord, encodeWord } from '../../../enclave/algebra/ring-encoding.ts';

/** Tweaks of the three functions there. */
export const TWEAK = { psi: 0, chi: 1, phi: 2 } as const;

/** AES-128 under r_A ⊕ tweak ⊕ session id; the first 16 bytes of a set's key are r_A. */
export function referencePrf(key: Uint8Array, tweak: number, sessionId: bigint, counter: bigint): Uint8Array {
  const sid = encodeWord(sessionId, 16);
  const aesKey = key.slice(0, 16).map((byte, i) => byte ^ (sid[i] ?? 0) ^ (i === 0 ? tweak : 0));
  return createCipheriv('aes-128-ecb', aesKey, null).setAutoPadding(false).update(encodeWord(counter, 16));
}

/** A party's share of the mask of a session's block: φ at the counters 2·block and 2·block + 1. */
export function referenceMaskShare(setUp: SetUp, sessionId: bigint, block: number): Element {
  const phi = (key: Uint8Array, counter: bigint): bigint =>
    BigInt.asUintN(111, decodeWord(referencePrf(key, TWEAK.phi, sessionId, counter))) - (1n << 110n);
  return GR128.sum(
    setUp.held.map(({ set, key }) => {
      const mask = phi(key, BigInt(2 * block)) + phi(key, BigInt(2 * block + 1));
      return GR128.scale(setPolynomialAt(GR128, setUp.n, set, point(setUp.party)), mask);
    }),
  );
}
