//! Products of small matrices with AVX-512 IFMA: words as three limbs of 52, 52 and 24 bits.
//!
//! A product modulo 2^128 takes nine multiplications a lane. Limb 0 and limb 1 of the sums are exact: a sum has at most
//! 3 · 1024 terms below 2^52. Of limb 2 only the low 24 bits count, so it may wrap. Lanes are the eight columns of a
//! strip, so nothing depends on the share but the values.

use std::arch::x86_64::{
    __m512i, _mm512_and_si512, _mm512_load_si512, _mm512_loadu_si512, _mm512_madd52hi_epu64, _mm512_madd52lo_epu64,
    _mm512_or_si512, _mm512_permutex2var_epi64, _mm512_set_epi64, _mm512_set1_epi64, _mm512_setzero_si512,
    _mm512_slli_epi64, _mm512_srli_epi64, _mm512_store_si512, _mm512_storeu_si512,
};

use zeroize::{Zeroize, Zeroizing};

use super::fast::diagonals;
use super::ring::DEGREE;
use super::shamir::Words;
use super::share_key::ShareKey;
use super::toeplitz::{evaluate_matrix, evaluate_vector, interpolate, leaves, matrix_buffer};

const LANES: usize = 8;
const LIMBS: usize = 3;
const LIMB_BITS: u32 = 52;
const LIMB_MASK: u64 = (1 << LIMB_BITS) - 1;
/// Vectors of one strip of the key.
const STRIP: usize = DEGREE * LIMBS;
/// Words of one limb of a small matrix: its 15 diagonals and one of padding.
const DIAGONALS: usize = 16;
/// Vectors of the sums of one leaf.
const SUMS: usize = LANES * STRIP;
/// Strips whose matrices are evaluated before they are multiplied.
const TILE: usize = 4;

/// Eight lanes in memory.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Vector([u64; LANES]);

impl Zeroize for Vector {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

/// The key's side: for each leaf and strip, for each coefficient, three limbs. Wiped when dropped.
pub struct Key {
    vectors: Zeroizing<Vec<Vector>>,
    strips: usize,
}

/// Whether the processor has what the functions here use.
pub fn available() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512ifma")
}

fn limbs(word: u128) -> [u64; LIMBS] {
    [word as u64 & LIMB_MASK, (word >> LIMB_BITS) as u64 & LIMB_MASK, (word >> (2 * LIMB_BITS)) as u64]
}

impl Key {
    pub fn new(key: &ShareKey, rows: usize, levels: u32) -> Self {
        let strips = key.dimension / rows;
        let mut vectors = Zeroizing::new(vec![Vector::default(); leaves(levels) * strips * STRIP]);
        for coefficient in 0..DEGREE {
            for (strip, vector) in key.coefficient(coefficient).chunks_exact(rows).enumerate() {
                evaluate_vector(vector, LANES, 0, &mut |leaf, words| {
                    let at = (leaf * strips + strip) * STRIP + coefficient * LIMBS;
                    for (lane, word) in words.iter().enumerate() {
                        for (limb, value) in limbs(*word).into_iter().enumerate() {
                            vectors[at + limb].0[lane] = value;
                        }
                    }
                });
            }
        }
        Self { vectors, strips }
    }
}

/// Eight words as limbs; `low` and `high` choose the low and high halves out of two loaded vectors.
#[target_feature(enable = "avx512f")]
fn split(words: [__m512i; 2], low: __m512i, high: __m512i) -> [__m512i; LIMBS] {
    let mask = _mm512_set1_epi64(LIMB_MASK as i64);
    let (low, high) =
        (_mm512_permutex2var_epi64(words[0], low, words[1]), _mm512_permutex2var_epi64(words[0], high, words[1]));
    let middle = _mm512_or_si512(_mm512_srli_epi64::<52>(low), _mm512_slli_epi64::<12>(high));
    [_mm512_and_si512(low, mask), _mm512_and_si512(middle, mask), _mm512_srli_epi64::<40>(high)]
}

/// Adds the product of `a` with one coefficient of the key to its sums.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn multiply(sums: &mut [__m512i], a: &[__m512i; LIMBS], s: &[__m512i; LIMBS]) {
    sums[0] = _mm512_madd52lo_epu64(sums[0], a[0], s[0]);
    sums[1] = _mm512_madd52hi_epu64(sums[1], a[0], s[0]);
    sums[1] = _mm512_madd52lo_epu64(sums[1], a[0], s[1]);
    sums[1] = _mm512_madd52lo_epu64(sums[1], a[1], s[0]);
    sums[2] = _mm512_madd52hi_epu64(sums[2], a[0], s[1]);
    sums[2] = _mm512_madd52hi_epu64(sums[2], a[1], s[0]);
    sums[2] = _mm512_madd52lo_epu64(sums[2], a[0], s[2]);
    sums[2] = _mm512_madd52lo_epu64(sums[2], a[1], s[1]);
    sums[2] = _mm512_madd52lo_epu64(sums[2], a[2], s[0]);
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load(vector: &Vector) -> __m512i {
    // SAFETY: 64 bytes, aligned by the type.
    unsafe { _mm512_load_si512(vector.0.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load_strip(key: &[Vector], coefficient: usize) -> [__m512i; LIMBS] {
    let at = coefficient * LIMBS;
    [load(&key[at]), load(&key[at + 1]), load(&key[at + 2])]
}

/// Adds the products of a tile's strips of one leaf: `matrices` has 48 words a strip, `key` 12 vectors.
#[target_feature(enable = "avx512f,avx512ifma")]
fn accumulate(sums: &mut [Vector], matrices: &[u64], key: &[Vector]) {
    for (pair, sums) in sums.chunks_exact_mut(2 * STRIP).enumerate() {
        let mut local = [_mm512_setzero_si512(); 2 * STRIP];
        for (register, vector) in local.iter_mut().zip(sums.iter()) {
            *register = load(vector);
        }
        let first = LANES - 1 - 2 * pair;
        for (matrix, key) in matrices.chunks_exact(LIMBS * DIAGONALS).zip(key.chunks_exact(STRIP)) {
            let entry = |limb: usize, from: usize| {
                let lanes = &matrix[limb * DIAGONALS + from..limb * DIAGONALS + from + LANES];
                // SAFETY: the slice has eight words.
                unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) }
            };
            let upper = [entry(0, first), entry(1, first), entry(2, first)];
            let lower = [entry(0, first - 1), entry(1, first - 1), entry(2, first - 1)];
            for coefficient in 0..DEGREE {
                let s = load_strip(key, coefficient);
                multiply(&mut local[coefficient * LIMBS..][..LIMBS], &upper, &s);
                multiply(&mut local[STRIP + coefficient * LIMBS..][..LIMBS], &lower, &s);
            }
        }
        for (register, vector) in local.iter().zip(sums.iter_mut()) {
            // SAFETY: 64 bytes, aligned by the type.
            unsafe { _mm512_store_si512(vector.0.as_mut_ptr().cast(), *register) };
        }
    }
}

/// Writes the limbs of evaluated diagonals, backwards: row i then starts at word 7 - i.
#[target_feature(enable = "avx512f")]
fn store_matrix(diagonals: &[u128], out: &mut [u64]) {
    let low = _mm512_set_epi64(0, 2, 4, 6, 8, 10, 12, 14);
    let high = _mm512_set_epi64(1, 3, 5, 7, 9, 11, 13, 15);
    for (from, to) in [(LANES - 1, 0), (0, LANES - 1)] {
        let words = &diagonals[from..from + LANES];
        // SAFETY: eight words are sixteen half words, two vectors.
        let pair = unsafe {
            [_mm512_loadu_si512(words.as_ptr().cast()), _mm512_loadu_si512(words.as_ptr().add(LANES / 2).cast())]
        };
        for (limb, vector) in split(pair, low, high).into_iter().enumerate() {
            let place = &mut out[limb * DIAGONALS + to..limb * DIAGONALS + to + LANES];
            // SAFETY: the slice has eight words.
            unsafe { _mm512_storeu_si512(place.as_mut_ptr().cast(), vector) };
        }
    }
}

/// The sum of all lanes of three limbs.
fn total(limbs: &[Vector]) -> u128 {
    limbs.iter().enumerate().fold(0u128, |sum, (limb, vector)| {
        let lanes = vector.0.iter().fold(0u128, |sum, lane| sum.wrapping_add(u128::from(*lane)));
        sum.wrapping_add(lanes << (LIMB_BITS as usize * limb))
    })
}

/// Products of rows `row` to `row` + 8·2^levels - 1 of the negacyclic matrices whose windows are given.
pub fn products(key: &Key, windows: &[Vec<u128>], n: usize, row: usize, levels: u32) -> Words<u128> {
    // SAFETY: a key is made only where the features are there.
    unsafe { products_here(key, windows, n, row, levels) }
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn products_here(key: &Key, windows: &[Vec<u128>], n: usize, row: usize, levels: u32) -> Words<u128> {
    let rows = LANES << levels;
    let count = leaves(levels);
    let buffer = matrix_buffer(LANES, levels);
    let (mut first, mut second) = (vec![0u128; buffer], vec![0u128; buffer]);
    let tile = TILE.min(n / rows);
    let matrix_size = LIMBS * DIAGONALS;
    let mut matrices = vec![0u64; count * tile * matrix_size];
    let mut sums = Zeroizing::new(vec![Vector::default(); count * SUMS]);
    for (polynomial, window) in windows.iter().enumerate() {
        for from in (0..n / rows).step_by(tile) {
            for strip in 0..tile {
                let diagonals = diagonals(window, n, row, (from + strip) * rows, rows);
                first[..2 * rows - 1].copy_from_slice(diagonals);
                evaluate_matrix(&mut first, &mut second, LANES, levels);
                for (leaf, diagonals) in first.chunks_exact(2 * LANES - 1).take(count).enumerate() {
                    store_matrix(diagonals, &mut matrices[(leaf * tile + strip) * matrix_size..][..matrix_size]);
                }
            }
            let strip = polynomial * (n / rows) + from;
            for (leaf, sums) in sums.chunks_exact_mut(SUMS).enumerate() {
                let key = &key.vectors[(leaf * key.strips + strip) * STRIP..][..tile * STRIP];
                accumulate(sums, &matrices[leaf * tile * matrix_size..][..tile * matrix_size], key);
            }
        }
    }
    let mut out = Zeroizing::new(vec![0u128; rows * DEGREE]);
    let mut products = Zeroizing::new(vec![0u128; count * LANES]);
    for coefficient in 0..DEGREE {
        for (row, product) in products.iter_mut().enumerate() {
            *product = total(&sums[row * STRIP + coefficient * LIMBS..][..LIMBS]);
        }
        interpolate(&mut products, LANES, levels);
        out.chunks_exact_mut(DEGREE).zip(products.iter()).for_each(|(element, word)| element[coefficient] = *word);
    }
    out
}

/// ⟨a, s⟩ of one sample with a key prepared for eight rows.
pub fn product(key: &Key, mask: &[u8]) -> [u128; DEGREE] {
    // SAFETY: a key is made only where the features are there.
    unsafe { product_here(key, mask) }
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn product_here(key: &Key, mask: &[u8]) -> [u128; DEGREE] {
    let low = _mm512_set_epi64(14, 12, 10, 8, 6, 4, 2, 0);
    let high = _mm512_set_epi64(15, 13, 11, 9, 7, 5, 3, 1);
    let mut sums = [_mm512_setzero_si512(); STRIP];
    for (bytes, key) in mask.chunks_exact(LANES * 16).zip(key.vectors.chunks_exact(STRIP)) {
        // SAFETY: the chunk has 128 bytes, two vectors.
        let pair =
            unsafe { [_mm512_loadu_si512(bytes.as_ptr().cast()), _mm512_loadu_si512(bytes.as_ptr().add(64).cast())] };
        let a = split(pair, low, high);
        for coefficient in 0..DEGREE {
            multiply(&mut sums[coefficient * LIMBS..][..LIMBS], &a, &load_strip(key, coefficient));
        }
    }
    let mut stored = Zeroizing::new([Vector::default(); STRIP]);
    for (vector, register) in stored.iter_mut().zip(sums) {
        // SAFETY: 64 bytes, aligned by the type.
        unsafe { _mm512_store_si512(vector.0.as_mut_ptr().cast(), register) };
    }
    std::array::from_fn(|coefficient| total(&stored[coefficient * LIMBS..][..LIMBS]))
}
