//! Robust opening of Shamir sharings over the ring: one codeword check a value; bit lifting only for a value that fails
//! it (threshold-protocols §1.4). What is opened here is public to the party that opens it.

use super::gf16;
use super::ring::{DEGREE, Element, Word, add, at, lagrange, mul, point, reduce, sub};

/// Opened values and the parties whose shares lie off the polynomials.
pub struct Opened<W> {
    pub words: Vec<W>,
    pub liars: Vec<u8>,
}

/// Weights of one set of parties that are believed: how to open, and what the others must have sent.
struct Plan<W> {
    /// Indices of the first `degree` + 1 believed parties.
    basis: Vec<usize>,
    at_zero: Vec<Element<W>>,
    checks: Vec<(usize, Vec<Element<W>>)>,
}

impl<W: Word> Plan<W> {
    fn new(degree: usize, parties: &[u8], believed: &[usize]) -> Option<Self> {
        let (basis, others) = believed.split_at_checked(degree + 1)?;
        let points: Vec<u8> = basis.iter().map(|index| parties[*index]).collect();
        let weights = |at| Some(lagrange(&points, at)?.iter().map(reduce).collect::<Vec<_>>());
        let checks = others.iter().map(|index| Some((*index, weights(parties[*index])?))).collect::<Option<_>>()?;
        Some(Self { basis: basis.to_vec(), at_zero: weights(0)?, checks })
    }

    fn combine(&self, weights: &[Element<W>], shares: &[&[W]], element: usize) -> Element<W> {
        let terms = self.basis.iter().zip(weights);
        terms.fold([W::ZERO; DEGREE], |sum, (party, weight)| add(&sum, &mul(weight, &at(shares[*party], element))))
    }

    /// The value, if all believed shares lie on one polynomial.
    fn open(&self, shares: &[&[W]], element: usize) -> Option<Element<W>> {
        let agree = self
            .checks
            .iter()
            .all(|(party, weights)| self.combine(weights, shares, element) == at(shares[*party], element));
        agree.then(|| self.combine(&self.at_zero, shares, element))
    }
}

fn evaluate<W: Word>(polynomial: &[Element<W>], party: u8) -> Element<W> {
    let x = reduce(&point(party));
    polynomial.iter().rev().fold([W::ZERO; DEGREE], |sum, coefficient| add(&mul(&sum, &x), coefficient))
}

/// Decodes one value with errors, bit by bit. Gives the polynomial.
fn lift<W: Word>(degree: usize, parties: &[u8], mut shares: Vec<Element<W>>, errors: usize) -> Option<Vec<Element<W>>> {
    let mut valid: Vec<usize> = (0..parties.len()).collect();
    let mut polynomial = vec![[W::ZERO; DEGREE]; degree + 1];
    for bit in 0..W::BITS {
        let left = errors.checked_sub(parties.len() - valid.len())?;
        let points: Vec<u8> = valid.iter().map(|index| parties[*index]).collect();
        let bit_of = |word: W| (word.widen() >> bit) as u8 & 1;
        let residues: Vec<u8> =
            valid.iter().map(|index| (0..DEGREE).fold(0, |bits, i| bits | bit_of(shares[*index][i]) << i)).collect();
        let residue = gf16::decode(&points, &residues, degree, left)?;
        let scale = |element: &Element<u128>| element.map(|word| W::reduce(word << bit));
        let step: Vec<Element<W>> = residue.iter().map(|bits| scale(&point(*bits))).collect();
        for (coefficient, step) in polynomial.iter_mut().zip(&step) {
            *coefficient = add(coefficient, step);
        }
        valid.retain(|index| {
            shares[*index] = sub(&shares[*index], &evaluate(&step, parties[*index]));
            shares[*index].iter().all(|word| bit_of(*word) == 0)
        });
    }
    (parties.len() - valid.len() <= errors).then_some(polynomial)
}

/// Opens vectors of shares of degree `degree`, correcting up to `max_errors` wrong shares a value.
///
/// `parties` are distinct, `shares[i]` is the vector of `parties[i]`, all of one length. Gives nothing when a value does
/// not decode: more shares are needed, or too many of them lie. `max_errors` must leave decoding unique:
/// at most (parties - degree - 1) / 2, else nothing is given.
pub fn open<W: Word>(degree: usize, parties: &[u8], shares: &[&[W]], max_errors: usize) -> Option<Opened<W>> {
    if parties.len() < degree + 1 + 2 * max_errors {
        return None;
    }
    let everyone: Vec<usize> = (0..parties.len()).collect();
    let mut plan = Plan::new(degree, parties, &everyone)?;
    let mut liars: Vec<u8> = Vec::new();
    let length = shares.first().map_or(0, |vector| vector.len());
    let mut words = Vec::with_capacity(length);
    for element in 0..length / DEGREE {
        if let Some(value) = plan.open(shares, element) {
            words.extend_from_slice(&value);
            continue;
        }
        let received: Vec<Element<W>> = shares.iter().map(|vector| at(vector, element)).collect();
        let polynomial = lift(degree, parties, received.clone(), max_errors)?;
        words.extend_from_slice(&polynomial[0]);
        for (party, share) in parties.iter().zip(&received) {
            if evaluate(&polynomial, *party) != *share && !liars.contains(party) {
                liars.push(*party);
            }
        }
        // Agreement of all but `max_errors` determines the value, so the liars may be left out of further checks. Had
        // they been more, different ones lied at different places, and only the check of all is a proof.
        let excluded = liars.len() <= max_errors;
        let believed: Vec<usize> =
            everyone.iter().copied().filter(|index| !excluded || !liars.contains(&parties[*index])).collect();
        plan = Plan::new(degree, parties, &believed)?;
    }
    liars.sort_unstable();
    Some(Opened { words, liars })
}
