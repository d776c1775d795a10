//! Fast products of ciphertexts with the share of a key, exact modulo 2^128 and constant time in the share.
//!
//! Neighbouring samples of a packed ciphertext are rows of one Toeplitz matrix: strips of as many columns as rows are
//! split by Karatsuba (`toeplitz.rs`) and the evaluated products added up over all strips. The key's side is evaluated
//! once per key and number of rows. Small matrices are multiplied by AVX-512 IFMA where the processor has it
//! (`ifma.rs`), else in 128-bit words.

use zeroize::Zeroizing;

#[cfg(target_arch = "x86_64")]
use super::ifma;
use super::ring::DEGREE;
use super::shamir::Words;
use super::share_key::{Packed, ShareKey, window};
use super::toeplitz::{evaluate_matrix, evaluate_vector, interpolate, leaves, matrix_buffer};

/// Row counts that a key is prepared for: 8, 16, 32 and 64.
pub const PREPARED: usize = 4;
const FEWEST_ROWS: usize = 8;

/// Up to so many rows are cheaper one by one.
const SINGLE_ROWS: usize = 4;

/// Rows of a small matrix in 128-bit words: fewer multiply less, and make the key's side larger.
const WORD_BASE: usize = 2;

/// How small matrices are multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// 128-bit words, on any processor.
    Words,
    /// AVX-512 with 52-bit multiplication.
    #[cfg(target_arch = "x86_64")]
    Ifma,
}

/// The key's side of the products for one number of rows.
pub enum Prepared {
    /// For each leaf and strip the four coefficients' words.
    Words(Words<u128>),
    #[cfg(target_arch = "x86_64")]
    Ifma(ifma::Key),
}

impl Backend {
    /// The best one of this processor.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if ifma::available() {
            return Self::Ifma;
        }
        Self::Words
    }
}

/// [`ShareKey::plain_packed_products`], faster.
pub fn packed_products(key: &ShareKey, packed: Packed, mask: &[u8], rows: usize) -> Words<u128> {
    if rows <= SINGLE_ROWS {
        return single_rows(key, packed, mask, rows);
    }
    packed_products_by(Backend::detect(), key, packed, mask, rows)
}

/// [`ShareKey::plain_product`], faster.
pub fn product(key: &ShareKey, mask: &[u8]) -> [u128; DEGREE] {
    #[cfg(target_arch = "x86_64")]
    if ifma::available() && key.dimension.is_multiple_of(FEWEST_ROWS) {
        let prepared = key.prepared[0].get_or_init(|| prepare(Backend::Ifma, key, 0));
        if let Prepared::Ifma(prepared) = prepared {
            return ifma::product(prepared, mask);
        }
    }
    key.plain_product(mask)
}

/// [`packed_products`] with a chosen backend. A key stays with the backend that first used it.
pub fn packed_products_by(backend: Backend, key: &ShareKey, packed: Packed, mask: &[u8], rows: usize) -> Words<u128> {
    let n = packed.size;
    let mut out = Zeroizing::new(Vec::with_capacity(rows * DEGREE));
    let windows: Vec<Vec<u128>> = mask
        .chunks_exact(n * 16)
        // Rows up to the next multiple are computed and left out.
        .map(|bytes| window(bytes, n, rows, rows.next_multiple_of(FEWEST_ROWS << (PREPARED - 1))))
        .collect();
    let mut done = 0;
    while done < rows {
        let size = (0..PREPARED - 1).find(|size| rows - done <= FEWEST_ROWS << size).unwrap_or(PREPARED - 1);
        let prepared = key.prepared[size].get_or_init(|| prepare(backend, key, size as u32));
        let block = match prepared {
            Prepared::Words(words) => word_products(words, &windows, n, done, size as u32),
            #[cfg(target_arch = "x86_64")]
            Prepared::Ifma(prepared) => ifma::products(prepared, &windows, n, done, size as u32),
        };
        let wanted = (FEWEST_ROWS << size).min(rows - done);
        out.extend_from_slice(&block[..wanted * DEGREE]);
        done += wanted;
    }
    out
}

/// Row by row, each written out as the mask of one sample.
fn single_rows(key: &ShareKey, packed: Packed, mask: &[u8], rows: usize) -> Words<u128> {
    let n = packed.size;
    let windows: Vec<Vec<u128>> = mask.chunks_exact(n * 16).map(|bytes| window(bytes, n, rows, rows)).collect();
    let mut sample = vec![0; windows.len() * n * 16];
    let mut out = Zeroizing::new(Vec::with_capacity(rows * DEGREE));
    for row in 0..rows {
        for (window, bytes) in windows.iter().zip(sample.chunks_exact_mut(n * 16)) {
            let words = window[row + 1..row + 1 + n].iter().rev();
            bytes.chunks_exact_mut(16).zip(words).for_each(|(bytes, word)| bytes.copy_from_slice(&word.to_le_bytes()));
        }
        out.extend_from_slice(&product(key, &sample));
    }
    out
}

fn prepare(backend: Backend, key: &ShareKey, size: u32) -> Prepared {
    match backend {
        Backend::Words => Prepared::Words(prepare_words(key, FEWEST_ROWS << size)),
        #[cfg(target_arch = "x86_64")]
        Backend::Ifma => Prepared::Ifma(ifma::Key::new(key, FEWEST_ROWS << size, size)),
    }
}

fn word_levels(rows: usize) -> u32 {
    (rows / WORD_BASE).ilog2()
}

fn prepare_words(key: &ShareKey, rows: usize) -> Words<u128> {
    let (strips, count) = (key.dimension / rows, leaves(word_levels(rows)));
    let mut out = Zeroizing::new(vec![0u128; count * strips * DEGREE * WORD_BASE]);
    for coefficient in 0..DEGREE {
        for (strip, vector) in key.coefficient(coefficient).chunks_exact(rows).enumerate() {
            evaluate_vector(vector, WORD_BASE, 0, &mut |leaf, words| {
                let at = ((strip * count + leaf) * DEGREE + coefficient) * WORD_BASE;
                out[at..at + WORD_BASE].copy_from_slice(words);
            });
        }
    }
    out
}

/// Diagonals of the matrix of the strip at `column`, whose first row is `row`.
pub(super) fn diagonals(window: &[u128], n: usize, row: usize, column: usize, rows: usize) -> &[u128] {
    let first = n + row - column - (rows - 1);
    &window[first..first + 2 * rows - 1]
}

fn word_products(key: &[u128], windows: &[Vec<u128>], n: usize, row: usize, size: u32) -> Words<u128> {
    let rows = FEWEST_ROWS << size;
    let levels = word_levels(rows);
    let count = leaves(levels);
    let buffer = matrix_buffer(WORD_BASE, levels);
    let (mut first, mut second) = (vec![0u128; buffer], vec![0u128; buffer]);
    let mut sums = Zeroizing::new(vec![0u128; count * DEGREE * WORD_BASE]);
    let mut strips = key.chunks_exact(count * DEGREE * WORD_BASE);
    for window in windows {
        for column in (0..n).step_by(rows) {
            first[..2 * rows - 1].copy_from_slice(diagonals(window, n, row, column, rows));
            evaluate_matrix(&mut first, &mut second, WORD_BASE, levels);
            let Some(strip) = strips.next() else { continue };
            let leaf_parts = first.chunks_exact(2 * WORD_BASE - 1).zip(strip.chunks_exact(DEGREE * WORD_BASE));
            for ((diagonals, words), sums) in leaf_parts.zip(sums.chunks_exact_mut(DEGREE * WORD_BASE)) {
                for (words, sums) in words.chunks_exact(WORD_BASE).zip(sums.chunks_exact_mut(WORD_BASE)) {
                    for (at, sum) in sums.iter_mut().enumerate() {
                        for (column, word) in words.iter().enumerate() {
                            *sum = sum.wrapping_add(diagonals[at + WORD_BASE - 1 - column].wrapping_mul(*word));
                        }
                    }
                }
            }
        }
    }
    let mut out = Zeroizing::new(vec![0u128; rows * DEGREE]);
    let mut products = Zeroizing::new(vec![0u128; count * WORD_BASE]);
    for coefficient in 0..DEGREE {
        for (leaf, products) in products.chunks_exact_mut(WORD_BASE).enumerate() {
            products.copy_from_slice(&sums[(leaf * DEGREE + coefficient) * WORD_BASE..][..WORD_BASE]);
        }
        interpolate(&mut products, WORD_BASE, levels);
        out.chunks_exact_mut(DEGREE).zip(products.iter()).for_each(|(element, word)| element[coefficient] = *word);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::prg::Prg;
    use super::*;

    fn backends() -> Vec<Backend> {
        let mut all = vec![Backend::Words];
        if Backend::detect() != Backend::Words {
            all.push(Backend::detect());
        }
        all
    }

    /// Random words, or all bits one, or only the highest, or 2^52 - 1 and 2^104 patterns that stress carries.
    fn words(prg: &mut Prg, kind: usize, length: usize) -> Vec<u128> {
        let word = |prg: &mut Prg| match kind {
            0 => prg.word(),
            1 => u128::MAX,
            2 => 1 << 127,
            3 => (1 << 104) - 1,
            4 => ((1 << 52) - 1) << 52,
            _ => [0, 1, u128::MAX, 1 << 52, (1 << 52) - 1, 1 << 104][prg.word::<u64>() as usize % 6],
        };
        (0..length).map(|_| word(prg)).collect()
    }

    #[test]
    fn one_sample_equals_the_plain_product() {
        let mut prg = Prg::from_seed(&[6; 32]);
        for kind in 0..6 {
            let elements = words(&mut prg, kind, 4096 * DEGREE);
            let mask: Vec<u8> = words(&mut prg, 5 - kind, 4096).iter().flat_map(|word| word.to_le_bytes()).collect();
            let key = ShareKey::from_elements(&elements, None);
            assert!(product(&key, &mask) == key.plain_product(&mask), "{kind}");
        }
    }

    #[test]
    fn equals_the_plain_product_on_random_and_extreme_inputs() {
        let mut prg = Prg::from_seed(&[5; 32]);
        for (polynomials, size) in [(1, 256), (6, 1024)] {
            let packed = Packed { polynomials, size };
            for (kind, other) in [(0, 0), (1, 1), (2, 1), (3, 3), (4, 4), (5, 5), (1, 3), (5, 0)] {
                let elements = words(&mut prg, kind, polynomials * size * DEGREE);
                let mask: Vec<u8> =
                    words(&mut prg, other, polynomials * size).iter().flat_map(|word| word.to_le_bytes()).collect();
                for rows in [1, 2, 4, 8, 9, 16, 17, 33, 40, 64, 80, 128] {
                    let plain_key = ShareKey::from_elements(&elements, Some(packed));
                    let plain = plain_key.plain_packed_products(packed, &mask, rows);
                    assert!(packed_products(&plain_key, packed, &mask, rows) == plain, "{rows} rows");
                    for backend in backends() {
                        let key = ShareKey::from_elements(&elements, Some(packed));
                        let fast = packed_products_by(backend, &key, packed, &mask, rows);
                        assert!(
                            fast == plain,
                            "{backend:?}, {polynomials} of {size}, {rows} rows, kinds {kind} {other}"
                        );
                    }
                    if polynomials == 6 && rows > 17 && kind != 0 {
                        break;
                    }
                }
            }
        }
    }

    /// Prints what each way costs: `cargo test --release timings -- --ignored --nocapture`.
    #[test]
    #[ignore = "a measurement"]
    fn timings() {
        let mut prg = Prg::from_seed(&[7; 32]);
        let packed = Packed { polynomials: 6, size: 1024 };
        let elements = words(&mut prg, 0, 6144 * DEGREE);
        let mask: Vec<u8> = words(&mut prg, 0, 6144).iter().flat_map(|word| word.to_le_bytes()).collect();
        let keys: Vec<(Backend, ShareKey)> =
            backends().into_iter().map(|backend| (backend, ShareKey::from_elements(&elements, Some(packed)))).collect();
        let median = |work: &dyn Fn() -> Words<u128>| {
            let mut times: Vec<f64> = (0..41)
                .map(|_| {
                    let start = std::time::Instant::now();
                    std::hint::black_box(work());
                    start.elapsed().as_secs_f64() * 1e6
                })
                .collect();
            times.sort_by(f64::total_cmp);
            times[20]
        };
        for rows in [1, 2, 4, 8, 16, 32, 64, 128] {
            let plain = median(&|| keys[0].1.plain_packed_products(packed, &mask, rows));
            print!("{rows:4} blocks: plain {plain:.0} µs");
            for (backend, key) in &keys {
                print!(", {backend:?} {:.0} µs", median(&|| packed_products_by(*backend, key, packed, &mask, rows)));
            }
            println!(", chosen {:.0} µs", median(&|| packed_products(&keys[keys.len() - 1].1, packed, &mask, rows)));
        }
    }
}
