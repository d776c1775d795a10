//! Toeplitz matrix–vector products modulo 2^128 by Karatsuba's splitting: sizes, evaluation, interpolation.
//!
//! Halves of a vector are v₀, v₁; a Toeplitz matrix is [T₀ T₁; T₂ T₀]. Then y₀ = T₀(v₀+v₁) + (T₁−T₀)v₁ and
//! y₁ = T₀(v₀+v₁) + (T₂−T₀)v₀: three products of half the size. Matrix sides and vector sides are evaluated apart, so
//! products of many strips are added up evaluated and interpolated once. All of it is straight-line.

/// 3^levels products stand for one.
pub fn leaves(levels: u32) -> usize {
    3usize.pow(levels)
}

/// Splits a row of evaluated diagonals: from `count` matrices of `4h - 1` diagonals to three times as many of `2h - 1`.
///
/// Diagonal k of a matrix of side r holds the entries with row - column = k - (r - 1).
fn split_matrices(from: &[u128], to: &mut [u128], half: usize) {
    let small = 2 * half - 1;
    for (matrix, parts) in from.chunks_exact(4 * half - 1).zip(to.chunks_exact_mut(3 * small)) {
        let (same, rest) = parts.split_at_mut(small);
        let (upper, lower) = rest.split_at_mut(small);
        for k in 0..small {
            let middle = matrix[half + k];
            same[k] = middle;
            upper[k] = matrix[k].wrapping_sub(middle);
            lower[k] = matrix[2 * half + k].wrapping_sub(middle);
        }
    }
}

/// Evaluates the diagonals of one matrix of side `base << levels`. The result is in `first`: for each leaf its
/// `2·base - 1` diagonals. Both buffers have [`matrix_buffer`] words; the matrix stands at the start of `first`.
pub fn evaluate_matrix(first: &mut [u128], second: &mut [u128], base: usize, levels: u32) {
    let (mut from, mut to) = (first, second);
    for level in 0..levels {
        let half = base << (levels - 1 - level);
        let (count, small) = (leaves(level), 2 * half - 1);
        split_matrices(&from[..count * (4 * half - 1)], &mut to[..3 * count * small], half);
        (from, to) = (to, from);
    }
    if levels % 2 == 1 {
        let size = leaves(levels) * (2 * base - 1);
        to[..size].copy_from_slice(&from[..size]);
    }
}

/// Words that [`evaluate_matrix`] needs in each buffer.
pub fn matrix_buffer(base: usize, levels: u32) -> usize {
    (0..=levels).map(|level| leaves(level) * (2 * (base << (levels - level)) - 1)).max().unwrap_or(0)
}

/// Evaluates a vector of `base << levels` words: for each leaf its `base` words, by `sink(leaf, words)`.
pub fn evaluate_vector(vector: &[u128], base: usize, leaf: usize, sink: &mut impl FnMut(usize, &[u128])) {
    if vector.len() == base {
        return sink(leaf, vector);
    }
    let (low, high) = vector.split_at(vector.len() / 2);
    let mut sum = zeroize::Zeroizing::new(Vec::with_capacity(low.len()));
    sum.extend(low.iter().zip(high).map(|(a, b)| a.wrapping_add(*b)));
    evaluate_vector(&sum, base, 3 * leaf, sink);
    evaluate_vector(high, base, 3 * leaf + 1, sink);
    evaluate_vector(low, base, 3 * leaf + 2, sink);
}

/// Interpolates evaluated products in place: `leaves(levels)` groups of `base` words become `base << levels` words.
pub fn interpolate(products: &mut [u128], base: usize, levels: u32) {
    let mut half = base;
    for level in (0..levels).rev() {
        for parent in 0..leaves(level) {
            // Parents are narrower than their three children, so writing from the left never overtakes reading.
            for k in 0..half {
                let at = 3 * parent * half + k;
                let (same, upper, lower) = (products[at], products[at + half], products[at + 2 * half]);
                products[at] = same.wrapping_add(upper);
                products[at + half] = same.wrapping_add(lower);
            }
            products.copy_within(3 * parent * half..(3 * parent + 2) * half, 2 * parent * half);
        }
        half *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::super::prg::Prg;
    use super::*;

    #[test]
    fn splitting_gives_the_plain_product() {
        let mut prg = Prg::from_seed(&[1; 32]);
        for (base, levels) in [(1, 0), (1, 1), (1, 4), (2, 3), (8, 1), (8, 3), (4, 2)] {
            let side = base << levels;
            let matrix: Vec<u128> = (0..2 * side - 1).map(|_| prg.word()).collect();
            let vector: Vec<u128> = (0..side).map(|_| prg.word()).collect();
            let size = matrix_buffer(base, levels);
            let (mut first, mut second) = (vec![0; size], vec![0; size]);
            first[..matrix.len()].copy_from_slice(&matrix);
            evaluate_matrix(&mut first, &mut second, base, levels);
            let mut products = vec![0u128; leaves(levels) * base];
            evaluate_vector(&vector, base, 0, &mut |leaf, words| {
                let diagonals = &first[leaf * (2 * base - 1)..];
                for row in 0..base {
                    for (column, word) in words.iter().enumerate() {
                        let entry = diagonals[row + base - 1 - column];
                        products[leaf * base + row] =
                            products[leaf * base + row].wrapping_add(entry.wrapping_mul(*word));
                    }
                }
            });
            interpolate(&mut products, base, levels);
            for row in 0..side {
                let plain = (0..side).fold(0u128, |sum, column| {
                    sum.wrapping_add(matrix[row + side - 1 - column].wrapping_mul(vector[column]))
                });
                assert_eq!(products[row], plain, "{base} << {levels}, row {row}");
            }
        }
    }
}
