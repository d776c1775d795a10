//! The share of one secret key, ready for products with ciphertexts: four words a coefficient.
//!
//! Secret and wiped when dropped. Ciphertexts are public. Plain products are here; `fast.rs` chooses faster ones.

use std::sync::OnceLock;

use zeroize::Zeroizing;

use super::fast::{self, Prepared};
use super::ring::{DEGREE, Word};
use super::shamir::Words;

/// How samples are packed into a GLWE ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed {
    pub polynomials: usize,
    pub size: usize,
}

/// One party's share of a secret key of `dimension` coefficients.
pub struct ShareKey {
    pub dimension: usize,
    /// Present if ciphertexts under the key are packed.
    pub packed: Option<Packed>,
    /// Words of coefficient 0 for the whole key, then those of coefficients 1, 2, 3.
    pub(super) words: Words<u128>,
    /// What `fast.rs` made of the words, by number of rows; made at first use.
    pub(super) prepared: [OnceLock<Prepared>; fast::PREPARED],
}

impl ShareKey {
    /// Takes elements one after the other.
    pub fn from_elements(elements: &[u128], packed: Option<Packed>) -> Self {
        let dimension = elements.len() / DEGREE;
        let mut words = Zeroizing::new(Vec::with_capacity(elements.len()));
        for coefficient in 0..DEGREE {
            words.extend(elements.chunks_exact(DEGREE).map(|element| element[coefficient]));
        }
        Self { dimension, packed, words, prepared: Default::default() }
    }

    pub(super) fn coefficient(&self, coefficient: usize) -> &[u128] {
        &self.words[coefficient * self.dimension..(coefficient + 1) * self.dimension]
    }

    /// ⟨a, s⟩ of one sample, four words: `mask` is a, little endian, at any alignment.
    pub fn plain_product(&self, mask: &[u8]) -> [u128; DEGREE] {
        let mut sums = [0u128; DEGREE];
        for (at, bytes) in mask.chunks_exact(16).enumerate() {
            let word = u128::load(bytes);
            for (coefficient, sum) in sums.iter_mut().enumerate() {
                *sum = sum.wrapping_add(word.wrapping_mul(self.words[coefficient * self.dimension + at]));
            }
        }
        sums
    }

    /// ⟨a_i, s⟩ of samples 0 to `rows` - 1 of a packed ciphertext with the given mask polynomials.
    ///
    /// Sample i has the mask a_p[i-j] for j ≤ i and -a_p[N+i-j] for j > i.
    pub fn plain_packed_products(&self, packed: Packed, mask: &[u8], rows: usize) -> Words<u128> {
        let n = packed.size;
        let mut out = Zeroizing::new(vec![0u128; rows * DEGREE]);
        for (polynomial, bytes) in mask.chunks_exact(n * 16).enumerate() {
            let window = window(bytes, n, rows, rows);
            for (row, sums) in out.chunks_exact_mut(DEGREE).enumerate() {
                for (coefficient, sum) in sums.iter_mut().enumerate() {
                    let key = &self.coefficient(coefficient)[polynomial * n..(polynomial + 1) * n];
                    let entries = window[row + 1..row + 1 + n].iter().rev();
                    *sum = entries.zip(key).fold(*sum, |sum, (a, s)| sum.wrapping_add(a.wrapping_mul(*s)));
                }
            }
        }
        out
    }
}

/// -a_0 … -a_{N-1}, a_0 … a_{rows-1}, and zeros up to `padded` rows: the entry of row i and column j of the negacyclic
/// matrix stands at N + i - j.
pub(super) fn window(bytes: &[u8], n: usize, rows: usize, padded: usize) -> Vec<u128> {
    let mut out = Vec::with_capacity(n + padded);
    out.extend(bytes.chunks_exact(16).map(|word| u128::load(word).wrapping_neg()));
    out.extend(bytes.chunks_exact(16).take(rows).map(u128::load));
    debug_assert_eq!(out.len(), n + rows);
    out.resize(n + padded, 0);
    out
}
