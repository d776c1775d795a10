//! Vectors of ring elements of either ring: what a `ShareVector` of TypeScript holds. Secret; wiped when dropped.

use zeroize::Zeroizing;

use super::ring::{DEGREE, Word};
use super::shamir::Words;
use super::vector_ops::{
    combined, dealt, difference, evaluated, extracted, first, joined, opened, part, products, random, read, same,
    shared, sum, weights, write,
};
use crate::errors::{EngineError, Result};

/// A vector over GR(2^64, 4) or GR(2^128, 4).
pub enum ShareVec {
    R64(Words<u64>),
    R128(Words<u128>),
}

/// The words of vectors over one ring.
pub trait Ring: Word {
    fn words(vector: &ShareVec) -> Option<&[Self]>;
    fn wrap(words: Words<Self>) -> ShareVec;
}

impl Ring for u64 {
    fn words(vector: &ShareVec) -> Option<&[Self]> {
        if let ShareVec::R64(words) = vector { Some(words) } else { None }
    }
    fn wrap(words: Words<Self>) -> ShareVec {
        ShareVec::R64(words)
    }
}

impl Ring for u128 {
    fn words(vector: &ShareVec) -> Option<&[Self]> {
        if let ShareVec::R128(words) = vector { Some(words) } else { None }
    }
    fn wrap(words: Words<Self>) -> ShareVec {
        ShareVec::R128(words)
    }
}

/// Runs a function generic over the ring with the ring of a vector.
macro_rules! by_ring {
    ($vector:expr, $function:ident($($argument:expr),*)) => {
        match $vector {
            ShareVec::R64(_) => $function::<u64>($($argument),*),
            ShareVec::R128(_) => $function::<u128>($($argument),*),
        }
    };
}

/// Calls a function for ring 64 or 128.
macro_rules! in_ring {
    ($bits:expr, $function:ident($($argument:expr),*)) => {
        match $bits {
            64 => $function::<u64>($($argument),*),
            128 => $function::<u128>($($argument),*),
            _ => Err(EngineError::request("a ring has words of 64 or 128 bits")),
        }
    };
}

/// Coefficient vectors of the polynomials that a dealer sends, by party.
pub struct Dealing {
    pub rows: Vec<Vec<ShareVec>>,
    pub columns: Vec<Vec<ShareVec>>,
}

impl ShareVec {
    /// Reads elements one after the other, coefficients little endian.
    pub fn from_bytes(ring: u32, bytes: &[u8]) -> Result<Self> {
        in_ring!(ring, read(bytes))
    }

    /// Fresh random elements.
    pub fn random(ring: u32, length: usize) -> Result<Self> {
        in_ring!(ring, random(length))
    }

    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        by_ring!(self, write(self))
    }

    /// Bits of a word.
    pub fn ring(&self) -> u32 {
        match self {
            Self::R64(_) => 64,
            Self::R128(_) => 128,
        }
    }

    /// Elements.
    pub fn length(&self) -> usize {
        match self {
            Self::R64(words) => words.len() / DEGREE,
            Self::R128(words) => words.len() / DEGREE,
        }
    }

    pub fn plus(&self, other: &Self) -> Result<Self> {
        by_ring!(self, sum([self, other]))
    }

    pub fn minus(&self, other: &Self) -> Result<Self> {
        by_ring!(self, difference([self, other]))
    }

    /// Products element by element.
    pub fn times(&self, other: &Self) -> Result<Self> {
        by_ring!(self, products([self, other]))
    }

    /// Equality in constant time. Vectors of other rings or lengths are an error.
    pub fn equals(&self, other: &Self) -> Result<bool> {
        by_ring!(self, same([self, other]))
    }

    /// Elements `from` to `to` - 1.
    pub fn slice(&self, from: usize, to: usize) -> Result<Self> {
        by_ring!(self, part(self, from, to))
    }

    pub fn concat(vectors: &[&Self]) -> Result<Self> {
        by_ring!(first(vectors)?, joined(vectors))
    }

    /// Σ weight_i · vector_i with public weights.
    pub fn combine(vectors: &[&Self], weights: &[&[u8]]) -> Result<Self> {
        by_ring!(first(vectors)?, combined(vectors, weights))
    }

    /// Shares of degree `t` for parties 1 to `n`.
    pub fn share(&self, n: usize, t: usize) -> Result<Vec<Self>> {
        by_ring!(self, shared(self, n, t))
    }

    /// A bivariate sharing.
    pub fn deal(&self, n: usize, t: usize) -> Result<Dealing> {
        by_ring!(self, dealt(self, n, t))
    }

    /// Value at a party's point (0: the secret's) of the polynomials with these coefficients.
    pub fn evaluate(coefficients: &[&Self], party: u8) -> Result<Self> {
        by_ring!(first(coefficients)?, evaluated(coefficients, party))
    }

    /// Randomness extraction from the vectors of all parties in order.
    pub fn extract(vectors: &[&Self], t: usize) -> Result<Vec<Self>> {
        by_ring!(first(vectors)?, extracted(vectors, t))
    }

    /// Robust opening. Nothing if the values do not decode.
    pub fn open(degree: usize, parties: &[u8], shares: &[&Self], max_errors: usize) -> Result<Option<(Self, Vec<u8>)>> {
        by_ring!(first(shares)?, opened(degree, parties, shares, max_errors))
    }

    /// Encoded weights of interpolation from the parties' points at a point.
    pub fn lagrange(ring: u32, parties: &[u8], at: u8) -> Result<Vec<Vec<u8>>> {
        in_ring!(ring, weights(parties, at))
    }
}

/// Checks numbers of parties: distinct, 1 to 15.
pub fn check_roles(parties: &[u32]) -> Result<Vec<u8>> {
    let mut seen = 0u32;
    for party in parties {
        if !(1..=super::ring::MAX_PARTIES as u32).contains(party) || seen >> party & 1 == 1 {
            return Err(EngineError::request("parties are distinct numbers from 1 to 15"));
        }
        seen |= 1 << party;
    }
    Ok(parties.iter().map(|party| *party as u8).collect())
}
