/**
 * ML-KEM-512 encapsulation with chosen randomness (FIPS 203, Encaps_internal), for reproducing published ciphertexts:
 * OpenSSL draws its own. For tests only: slow, not constant time.
 */
import { createHash } from 'node:crypto';

const Q = 3329;
const N = 256;
const K = 2;
const ETA1 = 3;
const ETA2 = 2;
const DU = 10;
const DV = 4;
type Poly = number[];

const mod = (x: number): number => ((x % Q) + Q) % Q;
const sha3 = (bits: 256 | 512, ...parts: readonly Uint8Array[]): Buffer => {
  const hash = createHash(`sha3-${bits}`);
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** 17^bitReverse7(i), and 17^(2·bitReverse7(i) + 1). */
const reversed = Array.from({ length: 128 }, (_, i) =>
  Number.parseInt(i.toString(2).padStart(7, '0').split('').reverse().join(''), 2),
);
const power = (exponent: number): number => {
  let result = 1;
  for (let i = 0; i < exponent; i++) result = (result * 17) % Q;
  return result;
};
const ZETAS = reversed.map((r) => power(r));
const GAMMAS = reversed.map((r) => power(2 * r + 1));

function ntt(poly: Poly): Poly {
  const f = [...poly];
  let i = 1;
  for (let len = 128; len >= 2; len >>= 1) {
    for (let start = 0; start < N; start += 2 * len) {
      const zeta = ZETAS[i++] ?? 0;
      for (let j = start; j < start + len; j++) {
        const t = (zeta * (f[j + len] ?? 0)) % Q;
        f[j + len] = mod((f[j] ?? 0) - t);
        f[j] = mod((f[j] ?? 0) + t);
      }
    }
  }
  return f;
}

function inverseNtt(poly: Poly): Poly {
  const f = [...poly];
  let i = 127;
  for (let len = 2; len <= 128; len <<= 1) {
    for (let start = 0; start < N; start += 2 * len) {
      const zeta = ZETAS[i--] ?? 0;
      for (let j = start; j < start + len; j++) {
        const t = f[j] ?? 0;
        f[j] = mod(t + (f[j + len] ?? 0));
        f[j + len] = (zeta * mod((f[j + len] ?? 0) - t)) % Q;
      }
    }
  }
  return f.map((x) => (x * 3303) % Q);
}

function multiply(a: Poly, b: Poly): Poly {
  const c: Poly = [];
  for (let i = 0; i < 128; i++) {
    const [a0 = 0, a1 = 0, b0 = 0, b1 = 0] = [a[2 * i], a[2 * i + 1], b[2 * i], b[2 * i + 1]];
    c.push((a0 * b0 + ((a1 * b1) % Q) * (GAMMAS[i] ?? 0)) % Q, (a0 * b1 + a1 * b0) % Q);
  }
  return c;
}

const add = (a: Poly, b: Poly): Poly => a.map((x, i) => mod(x + (b[i] ?? 0)));

/** SampleNTT: uniform polynomial out of SHAKE128(rho ‖ j ‖ i). */
function uniform(rho: Uint8Array, j: number, i: number): Poly {
  const stream = createHash('shake128', { outputLength: 3 * 1024 })
    .update(rho)
    .update(Uint8Array.of(j, i))
    .digest();
  const poly: Poly = [];
  for (let at = 0; poly.length < N; at += 3) {
    const [b0 = 0, b1 = 0, b2 = 0] = stream.subarray(at, at + 3);
    for (const d of [b0 | ((b1 & 15) << 8), (b1 >> 4) | (b2 << 4)]) if (d < Q && poly.length < N) poly.push(d);
  }
  return poly;
}

/** SamplePolyCBD of SHAKE256(r ‖ counter). */
function noise(r: Uint8Array, counter: number, eta: number): Poly {
  const stream = createHash('shake256', { outputLength: 64 * eta })
    .update(r)
    .update(Uint8Array.of(counter))
    .digest();
  const bit = (at: number): number => ((stream[at >> 3] ?? 0) >> (at & 7)) & 1;
  return Array.from({ length: N }, (_, i) => {
    let x = 0;
    for (let j = 0; j < eta; j++) x += bit(2 * i * eta + j) - bit(2 * i * eta + eta + j);
    return mod(x);
  });
}

function decode12(bytes: Uint8Array): Poly {
  const poly: Poly = [];
  for (let at = 0; at < bytes.byteLength; at += 3) {
    const [b0 = 0, b1 = 0, b2 = 0] = bytes.subarray(at, at + 3);
    poly.push(b0 | ((b1 & 15) << 8), (b1 >> 4) | (b2 << 4));
  }
  return poly;
}

function compress(poly: Poly, bits: number): Uint8Array {
  const out = new Uint8Array((N * bits) / 8);
  for (const [i, x] of poly.entries()) {
    const value = Math.floor((x * 2 ** bits + Q / 2) / Q) % 2 ** bits;
    for (let b = 0; b < bits; b++) {
      const at = i * bits + b;
      out[at >> 3] = (out[at >> 3] ?? 0) | (((value >> b) & 1) << (at & 7));
    }
  }
  return out;
}

/** Returns shared secret and ciphertext for an 800-byte key and a 32-byte message. */
export function encapsulateWith(ek: Uint8Array, m: Uint8Array): { sharedKey: Uint8Array; ciphertext: Uint8Array } {
  const g = sha3(512, m, sha3(256, ek));
  const [sharedKey, r] = [Uint8Array.from(g.subarray(0, 32)), g.subarray(32)];
  const t = Array.from({ length: K }, (_, i) => decode12(ek.subarray(384 * i, 384 * (i + 1))));
  const rho = ek.subarray(768);
  const y = Array.from({ length: K }, (_, i) => ntt(noise(r, i, ETA1)));
  const u = Array.from({ length: K }, (_, i) => {
    // Row i of the transposed matrix: A[j][i] = SampleNTT(rho ‖ i ‖ j).
    const products = y.map((yj, j) => multiply(uniform(rho, i, j), yj));
    return add(inverseNtt(products.reduce(add)), noise(r, K + i, ETA2));
  });
  const mu = Array.from({ length: N }, (_, i) => (((m[i >> 3] ?? 0) >> (i & 7)) & 1) * 1665);
  const v = add(add(inverseNtt(t.map((ti, i) => multiply(ti, y[i] ?? [])).reduce(add)), noise(r, 2 * K, ETA2)), mu);
  const ciphertext = Buffer.concat([...u.map((poly) => compress(poly, DU)), compress(v, DV)]);
  return { sharedKey, ciphertext: Uint8Array.from(ciphertext) };
}
