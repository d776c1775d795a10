//! Shamir sharings of vectors, one polynomial an element; bivariate ones for verifiable sharing; linear maps
//! (threshold-protocols §1.4, §1.6, §2.6).
//!
//! Vectors are secret and wiped when dropped. Weights and points are public.

use zeroize::Zeroizing;

use super::prg::Prg;
use super::ring::{DEGREE, Element, Word, add, at, mul, powers, reduce};

/// Ring elements one after the other, four words each. Wiped when dropped.
pub type Words<W> = Zeroizing<Vec<W>>;

/// Σ weight_i · vector_i. All vectors have the length of the first.
pub fn combine<W: Word>(vectors: &[&[W]], weights: &[Element<W>]) -> Words<W> {
    let length = vectors.first().map_or(0, |vector| vector.len());
    let mut out = Zeroizing::new(Vec::with_capacity(length));
    for element in 0..length / DEGREE {
        let sum = vectors
            .iter()
            .zip(weights)
            .fold([W::ZERO; DEGREE], |sum, (vector, weight)| add(&sum, &mul(weight, &at(vector, element))));
        out.extend_from_slice(&sum);
    }
    out
}

/// A vector of random words.
pub fn random<W: Word>(prg: &mut Prg, length: usize) -> Words<W> {
    let mut out = Zeroizing::new(Vec::with_capacity(length * DEGREE));
    out.extend((0..length * DEGREE).map(|_| prg.word::<W>()));
    out
}

fn weights<W: Word>(party: u8, count: usize) -> Vec<Element<W>> {
    powers(party, count).iter().map(reduce).collect()
}

/// Value at a party's point of the polynomials whose coefficient vectors are given, constant terms first.
pub fn evaluate<W: Word>(coefficients: &[&[W]], party: u8) -> Words<W> {
    combine(coefficients, &weights(party, coefficients.len()))
}

/// Shares of degree `t` of a vector, for parties 1 to `n`.
pub fn share<W: Word>(prg: &mut Prg, secret: &[W], n: usize, t: usize) -> Vec<Words<W>> {
    let higher: Vec<Words<W>> = (0..t).map(|_| random(prg, secret.len() / DEGREE)).collect();
    let coefficients: Vec<&[W]> = std::iter::once(secret).chain(higher.iter().map(|words| words.as_slice())).collect();
    (1..=n as u8).map(|party| evaluate(&coefficients, party)).collect()
}

/// What a dealer of a verifiable sharing sends: for each party the coefficient vectors of F(X, α) and of F(α, Y).
pub struct Bivariate<W: Word> {
    pub rows: Vec<Vec<Words<W>>>,
    pub columns: Vec<Vec<Words<W>>>,
}

/// A random bivariate polynomial of degree `t` in both variables with the secret at (0, 0).
pub fn bivariate<W: Word>(prg: &mut Prg, secret: &[W], n: usize, t: usize) -> Bivariate<W> {
    let side = t + 1;
    let random: Vec<Words<W>> = (1..side * side).map(|_| random(prg, secret.len() / DEGREE)).collect();
    // Coefficient of X^k·Y^l stands at k·side + l.
    let all: Vec<&[W]> = std::iter::once(secret).chain(random.iter().map(|words| words.as_slice())).collect();
    let column_of = |l: usize| (0..side).map(|k| all[k * side + l]).collect::<Vec<_>>();
    let parties = 1..=n as u8;
    Bivariate {
        rows: parties
            .clone()
            .map(|party| (0..side).map(|k| evaluate(&all[k * side..(k + 1) * side], party)).collect())
            .collect(),
        columns: parties.map(|party| (0..side).map(|l| evaluate(&column_of(l), party)).collect()).collect(),
    }
}

/// The `n` - `t` vectors that are uniform if at most `t` of the `n` given ones are adversarial: products with the
/// transposed Vandermonde matrix on the parties' points. `vectors[i]` is party i + 1's.
pub fn extract<W: Word>(vectors: &[&[W]], t: usize) -> Vec<Words<W>> {
    let n = vectors.len();
    let rows: Vec<Vec<Element<W>>> = (1..=n as u8).map(|party| weights(party, n - t)).collect();
    (0..n - t).map(|power| combine(vectors, &rows.iter().map(|row| row[power]).collect::<Vec<_>>())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::decode::open;
    use super::super::ring::lagrange;
    use super::*;

    fn prg() -> Prg {
        Prg::from_seed(&[3; 32])
    }

    fn check_opening<W: Word + std::fmt::Debug>() {
        for (n, t) in [(4, 1), (7, 2), (10, 3), (13, 4)] {
            let secret = random::<W>(&mut prg(), 5);
            let shares = share(&mut Prg::from_seed(&[n as u8; 32]), &secret, n, t);
            let parties: Vec<u8> = (1..=n as u8).collect();
            let clean: Vec<&[W]> = shares.iter().map(|share| share.as_slice()).collect();
            let opened = open(t, &parties, &clean, t).unwrap();
            assert_eq!((&opened.words, opened.liars.len()), (&*secret, 0), "{n}");

            // Liars change one bit, a high bit, everything, or send another sharing's share.
            let mut lies = shares.clone();
            for (liar, lie) in lies.iter_mut().enumerate().take(t) {
                let place = 5;
                for (at, word) in lie.iter_mut().enumerate() {
                    match liar {
                        0 if at == place => *word = word.plus(W::reduce(1)),
                        1 if at == place => *word = word.plus(W::reduce(1 << (W::BITS - 1))),
                        0 | 1 => {}
                        2 => *word = W::ZERO,
                        _ => *word = word.times(W::reduce(3)),
                    }
                }
            }
            let lying: Vec<&[W]> = lies.iter().map(|share| share.as_slice()).collect();
            let opened = open(t, &parties, &lying, t).unwrap();
            assert_eq!(&opened.words, &*secret, "{n}");
            assert_eq!(opened.liars, (1..=t as u8).collect::<Vec<_>>());
            assert!(open(t, &parties, &lying, t - 1).is_none());

            // Silent parties instead of lying ones.
            assert_eq!(open(t, &parties[t..], &clean[t..], 0).unwrap().words, *secret);
            assert!(open(t, &parties[t..], &clean[t..], t).is_none(), "no room for errors");
            assert!(open(t, &parties[..t], &clean[..t], 0).is_none());
        }
    }

    #[test]
    fn opens_with_liars_and_silent_parties() {
        check_opening::<u64>();
        check_opening::<u128>();
    }

    #[test]
    fn bivariate_rows_and_columns_agree() {
        let secret = random::<u128>(&mut prg(), 3);
        let dealt = bivariate(&mut prg(), &secret, 7, 2);
        let refs = |vectors: &[Words<u128>]| vectors.iter().map(|v| v.to_vec()).collect::<Vec<_>>();
        for i in 0..7u8 {
            for j in 0..7u8 {
                let (row, column) = (refs(&dealt.rows[i as usize]), refs(&dealt.columns[j as usize]));
                let row: Vec<&[u128]> = row.iter().map(|v| v.as_slice()).collect();
                let column: Vec<&[u128]> = column.iter().map(|v| v.as_slice()).collect();
                assert_eq!(evaluate(&row, j + 1), evaluate(&column, i + 1), "F(α{j}, α{i})");
            }
        }
        let shares: Vec<&[u128]> = dealt.rows.iter().map(|row| row[0].as_slice()).collect();
        assert_eq!(open(2, &[1, 2, 3, 4, 5, 6, 7], &shares, 2).unwrap().words, *secret);
    }

    #[test]
    fn weights_and_inverses_are_exact() {
        for points in [vec![1, 2], vec![15, 3, 8], (1..=15).collect::<Vec<u8>>()] {
            let weights = lagrange(&points, 0).unwrap();
            let sum = weights.iter().fold([0; 4], |sum, weight| add(&sum, weight));
            assert_eq!(sum, [1, 0, 0, 0], "the constant polynomial");
        }
        assert!(lagrange(&[1, 1], 0).unwrap().len() == 2, "a repeated point is the caller's to refuse");
        let vectors: Vec<Words<u64>> = (0..4).map(|_| random(&mut prg(), 2)).collect();
        let refs: Vec<&[u64]> = vectors.iter().map(|v| v.as_slice()).collect();
        let out = extract(&refs, 1);
        assert_eq!(out.len(), 3);
        assert_eq!(*out[0], *combine(&refs, &[[1, 0, 0, 0]; 4]));
    }
}
