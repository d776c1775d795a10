//! The Galois rings GR(2^64, 4) and GR(2^128, 4) with X⁴ + X + 1 (threshold-protocols §1.1 to §1.4).
//!
//! Elements may be shares: arithmetic on them is straight-line. Points, inverses and interpolation weights are public.

use zeroize::Zeroize;

use crate::errors::{EngineError, Result};

/// Degree of the extension: coefficients of an element.
pub const DEGREE: usize = 4;
/// Parties that the exceptional sequence has points for, besides the secret's.
pub const MAX_PARTIES: usize = 15;

/// A word of the base ring, Z/2^64 or Z/2^128.
pub trait Word: Copy + PartialEq + Zeroize + Send + Sync + 'static {
    const SIZE: usize;
    const BITS: usize = Self::SIZE * 8;
    const ZERO: Self;
    /// Reduces a number of 128 bits.
    fn reduce(wide: u128) -> Self;
    fn widen(self) -> u128;
    fn load(bytes: &[u8]) -> Self;
    fn store(self, bytes: &mut [u8]);
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
}

macro_rules! word {
    ($type:ty) => {
        impl Word for $type {
            const SIZE: usize = size_of::<$type>();
            const ZERO: Self = 0;
            #[inline(always)]
            fn reduce(wide: u128) -> Self {
                wide as Self
            }
            #[inline(always)]
            fn widen(self) -> u128 {
                self as u128
            }
            #[inline(always)]
            fn load(bytes: &[u8]) -> Self {
                let mut word = [0; size_of::<$type>()];
                word.copy_from_slice(bytes);
                Self::from_le_bytes(word)
            }
            #[inline(always)]
            fn store(self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.to_le_bytes());
            }
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
            #[inline(always)]
            fn minus(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }
            #[inline(always)]
            fn times(self, other: Self) -> Self {
                self.wrapping_mul(other)
            }
        }
    };
}

word!(u64);
word!(u128);

/// Coefficients 0 to 3 of a ring element.
pub type Element<W> = [W; DEGREE];

#[inline(always)]
pub fn add<W: Word>(a: &Element<W>, b: &Element<W>) -> Element<W> {
    std::array::from_fn(|i| a[i].plus(b[i]))
}

#[inline(always)]
pub fn sub<W: Word>(a: &Element<W>, b: &Element<W>) -> Element<W> {
    std::array::from_fn(|i| a[i].minus(b[i]))
}

/// Product modulo X⁴ + X + 1.
#[inline(always)]
pub fn mul<W: Word>(a: &Element<W>, b: &Element<W>) -> Element<W> {
    let mut c = [W::ZERO; 2 * DEGREE - 1];
    for i in 0..DEGREE {
        for j in 0..DEGREE {
            c[i + j] = c[i + j].plus(a[i].times(b[j]));
        }
    }
    [c[0].minus(c[4]), c[1].minus(c[4]).minus(c[5]), c[2].minus(c[5]).minus(c[6]), c[3].minus(c[6])]
}

/// Product with X.
#[inline(always)]
pub fn times_x<W: Word>(a: &Element<W>) -> Element<W> {
    [W::ZERO.minus(a[3]), a[0].minus(a[3]), a[1], a[2]]
}

/// Reduces an element of GR(2^128, 4).
#[inline(always)]
pub fn reduce<W: Word>(a: &Element<u128>) -> Element<W> {
    a.map(W::reduce)
}

/// The element at an offset of a vector of words.
#[inline(always)]
pub fn at<W: Word>(words: &[W], index: usize) -> Element<W> {
    std::array::from_fn(|i| words[index * DEGREE + i])
}

/// e(i), the point of party i; 0 is the secret's.
pub fn point(i: u8) -> Element<u128> {
    std::array::from_fn(|bit| u128::from(i >> bit & 1))
}

const ONE: Element<u128> = [1, 0, 0, 0];

/// Inverse of a unit. Public elements only.
pub fn invert(a: &Element<u128>) -> Option<Element<u128>> {
    let residue = (0..DEGREE).fold(0u8, |bits, i| bits | ((a[i] & 1) as u8) << i);
    // Lagrange: the residue field has 15 units.
    let mut inverse = point(super::gf16::invert(residue)?);
    for _ in 0..7 {
        let doubled = sub(&[2, 0, 0, 0], &mul(a, &inverse));
        inverse = mul(&inverse, &doubled);
    }
    Some(inverse)
}

/// Weights w with f(at) = Σ w_i·f(points_i) for every f of degree below their number. The points are distinct.
pub fn lagrange(points: &[u8], at: u8) -> Option<Vec<Element<u128>>> {
    let x = point(at);
    points
        .iter()
        .map(|i| {
            let mut above = ONE;
            let mut below = ONE;
            for j in points.iter().filter(|j| *j != i) {
                above = mul(&above, &sub(&x, &point(*j)));
                below = mul(&below, &sub(&point(*i), &point(*j)));
            }
            Some(mul(&above, &invert(&below)?))
        })
        .collect()
}

/// Powers 0 to `count` - 1 of a party's point.
pub fn powers(party: u8, count: usize) -> Vec<Element<u128>> {
    let x = point(party);
    std::iter::successors(Some(ONE), |power| Some(mul(power, &x))).take(count).collect()
}

/// Checks a number of parties and a threshold: n > 3t, a point for each.
pub fn check_parties(n: usize, t: usize) -> Result<()> {
    if n <= 3 * t || n > MAX_PARTIES {
        return Err(EngineError::request(format!("needs 3t < n ≤ {MAX_PARTIES}, not {n} parties and t = {t}")));
    }
    Ok(())
}
