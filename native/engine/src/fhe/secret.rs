//! Linear decryption: phases of LWE samples and of samples packed into GLWE ciphertexts.
//!
//! The key bits are secret. They are kept as all-zero or all-one words and only ever ANDed with a coefficient, so
//! neither the instructions nor the addresses depend on them. Ciphertexts are public.

use zeroize::{Zeroize, Zeroizing};

use super::params::Packing;

/// Key bits, one word each: 0 or `u64::MAX`.
pub type Mask = Zeroizing<Vec<u64>>;

/// Spreads key bits (0 or 1) into words, in the order given.
pub fn mask<B: Copy + Into<u128>>(bits: &[B]) -> Mask {
    Zeroizing::new(bits.iter().map(|bit| 0u64.wrapping_sub((*bit).into() as u64 & 1)).collect())
}

/// Key bits of a packing key, each polynomial backwards: packed samples then read them upwards.
pub fn reversed_mask<B: Copy + Into<u128>>(bits: &[B], packing: &Packing) -> Mask {
    let mut words = mask(bits);
    for polynomial in words.chunks_mut(packing.polynomial_size) {
        polynomial.reverse();
    }
    words
}

/// A torus element stored as `N` little-endian bytes at any alignment.
pub trait Torus: Copy + Zeroize {
    const SIZE: usize;
    const ZERO: Self;
    fn load(bytes: &[u8]) -> Self;
    fn masked(self, word: u64) -> Self;
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
}

impl Torus for u64 {
    const SIZE: usize = 8;
    const ZERO: Self = 0;
    #[inline(always)]
    fn load(bytes: &[u8]) -> Self {
        let mut word = [0u8; 8];
        word.copy_from_slice(bytes);
        u64::from_le_bytes(word)
    }
    #[inline(always)]
    fn masked(self, word: u64) -> Self {
        self & word
    }
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        self.wrapping_sub(other)
    }
}

impl Torus for u128 {
    const SIZE: usize = 16;
    const ZERO: Self = 0;
    #[inline(always)]
    fn load(bytes: &[u8]) -> Self {
        let mut word = [0u8; 16];
        word.copy_from_slice(bytes);
        u128::from_le_bytes(word)
    }
    #[inline(always)]
    fn masked(self, word: u64) -> Self {
        self & (u128::from(word) << 64 | u128::from(word))
    }
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        self.wrapping_sub(other)
    }
}

#[inline(always)]
fn inner_product<T: Torus>(coefficients: &[u8], key: &[u64]) -> T {
    coefficients
        .chunks_exact(T::SIZE)
        .zip(key)
        .fold(T::ZERO, |sum, (bytes, word)| sum.plus(T::load(bytes).masked(*word)))
}

/// Phase of one LWE sample: `data` is its mask followed by its body.
pub fn lwe_phase<T: Torus>(data: &[u8], key: &[u64]) -> T {
    let (mask, body) = data.split_at(key.len() * T::SIZE);
    T::load(body).minus(inner_product(mask, key))
}

/// Phases of the first `count` samples of a GLWE ciphertext: `data` is the mask polynomials, then the bodies.
///
/// Sample i has the mask a_p[i-j] for j ≤ i and -a_p[N+i-j] for j > i, so with the key polynomials backwards both parts
/// are plain inner products over neighbouring coefficients.
pub fn packed_phases<T: Torus>(data: &[u8], key: &[u64], packing: &Packing, count: usize) -> Zeroizing<Vec<T>> {
    let n = packing.polynomial_size;
    let (mask, bodies) = data.split_at(key.len() * T::SIZE);
    let phases = (0..count)
        .map(|i| {
            let mut phase = T::load(&bodies[i * T::SIZE..(i + 1) * T::SIZE]);
            for (polynomial, key) in mask.chunks_exact(n * T::SIZE).zip(key.chunks_exact(n)) {
                let (low, high) = polynomial.split_at((i + 1) * T::SIZE);
                phase = phase.minus(inner_product(low, &key[n - 1 - i..]));
                phase = phase.plus(inner_product(high, &key[..n - 1 - i]));
            }
            phase
        })
        .collect();
    Zeroizing::new(phases)
}

/// Rounds a 64-bit phase to the nearest multiple of Δ = 2^59: message, carry and padding bit.
pub fn decode_small(phase: u64) -> u32 {
    (phase.wrapping_add(1 << 58) >> 59) as u32
}

/// Rounds the 64-bit phase of a packed small block, whose message stands in the two bits under the padding bit.
pub fn decode_packed_small(phase: u64) -> u32 {
    (phase.wrapping_add(1 << 60) >> 61) as u32 & 3
}

/// Rounds a 128-bit phase to the nearest multiple of Δ = 2^123.
pub fn decode_big(phase: u128) -> u32 {
    (phase.wrapping_add(1 << 122) >> 123) as u32
}
