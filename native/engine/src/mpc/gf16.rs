//! GF(16) with X⁴ + X + 1, and Reed–Solomon decoding over it by Gao's method (threshold-protocols §1.4).
//!
//! Everything here is about values that are being opened: public to whoever computes it.

/// Powers of the generator X, twice, so that sums of logarithms need no reduction.
const EXP: [u8; 30] =
    [1, 2, 4, 8, 3, 6, 12, 11, 5, 10, 7, 14, 15, 13, 9, 1, 2, 4, 8, 3, 6, 12, 11, 5, 10, 7, 14, 15, 13, 9];
const LOG: [u8; 16] = [0, 0, 1, 4, 2, 8, 5, 10, 3, 14, 9, 7, 6, 13, 11, 12];

pub fn mul(a: u8, b: u8) -> u8 {
    if a == 0 || b == 0 { 0 } else { EXP[(LOG[a as usize] + LOG[b as usize]) as usize] }
}

pub fn invert(a: u8) -> Option<u8> {
    (a != 0).then(|| EXP[15 - LOG[a as usize] as usize])
}

/// A polynomial, constant term first, without leading zeros.
type Polynomial = Vec<u8>;

fn trim(mut f: Polynomial) -> Polynomial {
    while f.last() == Some(&0) {
        f.pop();
    }
    f
}

/// f + c·X^shift·g; in characteristic 2 the difference too.
fn add_scaled(f: &mut Polynomial, g: &[u8], c: u8, shift: usize) {
    if f.len() < g.len() + shift {
        f.resize(g.len() + shift, 0);
    }
    for (i, coefficient) in g.iter().enumerate() {
        f[i + shift] ^= mul(c, *coefficient);
    }
}

fn product(f: &[u8], g: &[u8]) -> Polynomial {
    let mut out = Vec::new();
    for (shift, coefficient) in f.iter().enumerate() {
        add_scaled(&mut out, g, *coefficient, shift);
    }
    trim(out)
}

/// Quotient and remainder; `g` is not zero.
fn divide(f: Polynomial, g: &[u8]) -> Option<(Polynomial, Polynomial)> {
    let lead = invert(*g.last()?)?;
    let mut rest = trim(f);
    let mut quotient = vec![0; (rest.len() + 1).saturating_sub(g.len())];
    while rest.len() >= g.len() {
        let shift = rest.len() - g.len();
        let c = mul(*rest.last()?, lead);
        quotient[shift] = c;
        add_scaled(&mut rest, g, c, shift);
        rest = trim(rest);
    }
    Some((trim(quotient), rest))
}

pub fn evaluate(f: &[u8], x: u8) -> u8 {
    f.iter().rev().fold(0, |sum, coefficient| mul(sum, x) ^ coefficient)
}

fn interpolate(points: &[u8], values: &[u8]) -> Option<Polynomial> {
    let mut sum = Vec::new();
    for (i, x) in points.iter().enumerate() {
        let mut basis = vec![1];
        for y in points.iter().filter(|y| *y != x) {
            basis = product(&basis, &[mul(*y, invert(x ^ y)?), invert(x ^ y)?]);
        }
        add_scaled(&mut sum, &basis, values[i], 0);
    }
    Some(trim(sum))
}

/// The polynomial of degree at most `degree` that misses at most `errors` of the values, `degree` + 1 coefficients.
///
/// There is at most one if `errors` ≤ (points - degree - 1) / 2. The points are distinct.
pub fn decode(points: &[u8], values: &[u8], degree: usize, errors: usize) -> Option<Vec<u8>> {
    let count = points.len();
    if count < degree + 1 + 2 * errors {
        return None;
    }
    let vanishing = points.iter().fold(vec![1], |f, x| product(&f, &[*x, 1]));
    let (mut before, mut rest) = (vanishing, interpolate(points, values)?);
    let (mut cofactor_before, mut cofactor) = (Vec::new(), vec![1]);
    // Until its degree, the length less one, is below (count + degree + 1) / 2.
    while !rest.is_empty() && 2 * (rest.len() - 1) > count + degree {
        let (quotient, remainder) = divide(before, &rest)?;
        let mut next = cofactor_before;
        let step = product(&quotient, &cofactor);
        add_scaled(&mut next, &step, 1, 0);
        (before, rest) = (rest, remainder);
        (cofactor_before, cofactor) = (cofactor, trim(next));
    }
    let (mut found, remainder) = divide(rest, &cofactor)?;
    if !remainder.is_empty() || found.len() > degree + 1 {
        return None;
    }
    let wrong = points.iter().zip(values).filter(|(x, y)| evaluate(&found, **x) != **y).count();
    found.resize(degree + 1, 0);
    (wrong <= errors).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_follow_the_polynomial() {
        for a in 1..16u8 {
            assert_eq!(mul(a, invert(a).unwrap()), 1);
            let doubled = (a << 1) ^ if a & 8 != 0 { 0b10011 } else { 0 };
            assert_eq!(mul(a, 2), doubled);
        }
        assert_eq!(invert(0), None);
    }

    #[test]
    fn decodes_up_to_half_the_distance() {
        let points: Vec<u8> = (1..=13).collect();
        let f = [7, 3, 0, 9, 1];
        let clean: Vec<u8> = points.iter().map(|x| evaluate(&f, *x)).collect();
        for (a, b, c, d) in [(0, 1, 2, 3), (3, 7, 9, 12), (0, 4, 8, 11)] {
            let mut values = clean.clone();
            for (k, place) in [a, b, c, d].into_iter().enumerate() {
                values[place] ^= k as u8 + 1;
            }
            assert_eq!(decode(&points, &values, 4, 4).unwrap(), f);
            assert_eq!(decode(&points, &values, 4, 3), None);
        }
        assert_eq!(decode(&points, &clean, 4, 0).unwrap(), f);
        assert_eq!(decode(&points[..4], &clean[..4], 4, 0), None);
        assert_eq!(decode(&points, &[0; 13], 4, 4).unwrap(), [0; 5]);
    }
}
