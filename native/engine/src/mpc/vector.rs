//! Vectors of ring elements of either ring: what a `ShareVector` of TypeScript holds. Secret; wiped when dropped.

use zeroize::Zeroizing;

use super::decode;
use super::prg::Prg;
use super::ring::{DEGREE, Element, Word, add, at, lagrange, mul, reduce, sub};
use super::shamir::{self, Words};
use crate::errors::{EngineError, Result};

/// Most elements of one vector.
const MAX_LENGTH: usize = 1 << 24;

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

fn check_length(length: usize) -> Result<()> {
    if length > MAX_LENGTH {
        return Err(EngineError::request(format!("a vector has at most {MAX_LENGTH} elements")));
    }
    Ok(())
}

fn all<'v, W: Ring>(vectors: &'v [&ShareVec]) -> Result<Vec<&'v [W]>> {
    let other = || EngineError::request("vectors of different rings or lengths do not go together");
    let words = vectors.iter().map(|vector| W::words(vector).ok_or_else(other)).collect::<Result<Vec<_>>>()?;
    if words.windows(2).any(|pair| pair[0].len() != pair[1].len()) {
        return Err(other());
    }
    Ok(words)
}

fn first<'v>(vectors: &[&'v ShareVec]) -> Result<&'v ShareVec> {
    vectors.first().copied().ok_or_else(|| EngineError::request("needs at least one vector"))
}

fn element<W: Word>(bytes: &[u8]) -> Result<Element<W>> {
    if bytes.len() != DEGREE * W::SIZE {
        return Err(EngineError::request(format!("an element of this ring has {} bytes", DEGREE * W::SIZE)));
    }
    Ok(std::array::from_fn(|i| W::load(&bytes[i * W::SIZE..(i + 1) * W::SIZE])))
}

fn read<W: Ring>(bytes: &[u8]) -> Result<ShareVec> {
    if !bytes.len().is_multiple_of(DEGREE * W::SIZE) {
        return Err(EngineError::request(format!("elements of this ring have {} bytes each", DEGREE * W::SIZE)));
    }
    check_length(bytes.len() / (DEGREE * W::SIZE))?;
    let mut words = Zeroizing::new(Vec::with_capacity(bytes.len() / W::SIZE));
    words.extend(bytes.chunks_exact(W::SIZE).map(W::load));
    Ok(W::wrap(words))
}

fn random<W: Ring>(length: usize) -> Result<ShareVec> {
    check_length(length)?;
    Ok(W::wrap(shamir::random(&mut Prg::fresh()?, length)))
}

fn write<W: Ring>(vector: &ShareVec) -> Zeroizing<Vec<u8>> {
    let words = W::words(vector).unwrap_or(&[]);
    let mut out = Zeroizing::new(vec![0; words.len() * W::SIZE]);
    words.iter().zip(out.chunks_exact_mut(W::SIZE)).for_each(|(word, bytes)| word.store(bytes));
    out
}

fn zip<W: Ring>(pair: [&ShareVec; 2], operation: fn(&Element<W>, &Element<W>) -> Element<W>) -> Result<ShareVec> {
    let words = all::<W>(&pair)?;
    let mut out = Zeroizing::new(Vec::with_capacity(words[0].len()));
    (0..words[0].len() / DEGREE).for_each(|i| out.extend_from_slice(&operation(&at(words[0], i), &at(words[1], i))));
    Ok(W::wrap(out))
}

fn sum<W: Ring>(pair: [&ShareVec; 2]) -> Result<ShareVec> {
    zip::<W>(pair, add)
}

fn difference<W: Ring>(pair: [&ShareVec; 2]) -> Result<ShareVec> {
    zip::<W>(pair, sub)
}

fn products<W: Ring>(pair: [&ShareVec; 2]) -> Result<ShareVec> {
    zip::<W>(pair, mul)
}

fn same<W: Ring>(pair: [&ShareVec; 2]) -> Result<bool> {
    let words = all::<W>(&pair)?;
    // No early exit: the time says nothing about where two vectors differ.
    let difference = words[0].iter().zip(words[1]).fold(0u128, |bits, (a, b)| bits | (a.widen() ^ b.widen()));
    Ok(std::hint::black_box(difference) == 0)
}

fn part<W: Ring>(vector: &ShareVec, from: usize, to: usize) -> Result<ShareVec> {
    let words = W::words(vector).unwrap_or(&[]);
    let range = from.saturating_mul(DEGREE)..to.saturating_mul(DEGREE);
    let part = words.get(range).ok_or_else(|| EngineError::request("a slice lies inside its vector"))?;
    Ok(W::wrap(Zeroizing::new(part.to_vec())))
}

fn joined<W: Ring>(vectors: &[&ShareVec]) -> Result<ShareVec> {
    let other = || EngineError::request("vectors of different rings do not go together");
    let parts = vectors.iter().map(|vector| W::words(vector).ok_or_else(other)).collect::<Result<Vec<_>>>()?;
    let length = parts.iter().map(|part| part.len()).sum();
    check_length(length / DEGREE)?;
    let mut out = Zeroizing::new(Vec::with_capacity(length));
    parts.iter().for_each(|part| out.extend_from_slice(part));
    Ok(W::wrap(out))
}

fn combined<W: Ring>(vectors: &[&ShareVec], weights: &[&[u8]]) -> Result<ShareVec> {
    if vectors.len() != weights.len() {
        return Err(EngineError::request("needs one coefficient for each vector"));
    }
    let weights = weights.iter().map(|bytes| element(bytes)).collect::<Result<Vec<Element<W>>>>()?;
    Ok(W::wrap(shamir::combine(&all::<W>(vectors)?, &weights)))
}

fn wrap_all<W: Ring>(vectors: Vec<Words<W>>) -> Vec<ShareVec> {
    vectors.into_iter().map(W::wrap).collect()
}

fn shared<W: Ring>(secret: &ShareVec, n: usize, t: usize) -> Result<Vec<ShareVec>> {
    super::ring::check_parties(n, t)?;
    Ok(wrap_all(shamir::share(&mut Prg::fresh()?, W::words(secret).unwrap_or(&[]), n, t)))
}

/// Coefficient vectors of the polynomials that a dealer sends, by party.
pub struct Dealing {
    pub rows: Vec<Vec<ShareVec>>,
    pub columns: Vec<Vec<ShareVec>>,
}

fn dealt<W: Ring>(secret: &ShareVec, n: usize, t: usize) -> Result<Dealing> {
    super::ring::check_parties(n, t)?;
    let dealt = shamir::bivariate(&mut Prg::fresh()?, W::words(secret).unwrap_or(&[]), n, t);
    let wrap = |lists: Vec<Vec<Words<W>>>| lists.into_iter().map(wrap_all).collect();
    Ok(Dealing { rows: wrap(dealt.rows), columns: wrap(dealt.columns) })
}

fn evaluated<W: Ring>(coefficients: &[&ShareVec], party: u8) -> Result<ShareVec> {
    Ok(W::wrap(shamir::evaluate(&all::<W>(coefficients)?, party)))
}

fn extracted<W: Ring>(vectors: &[&ShareVec], t: usize) -> Result<Vec<ShareVec>> {
    super::ring::check_parties(vectors.len(), t)?;
    Ok(wrap_all(shamir::extract(&all::<W>(vectors)?, t)))
}

fn opened<W: Ring>(
    degree: usize,
    parties: &[u8],
    shares: &[&ShareVec],
    max_errors: usize,
) -> Result<Option<(ShareVec, Vec<u8>)>> {
    let opened = decode::open(degree, parties, &all::<W>(shares)?, max_errors);
    Ok(opened.map(|opened| (W::wrap(Zeroizing::new(opened.words)), opened.liars)))
}

fn weights<W: Ring>(parties: &[u8], at: u8) -> Result<Vec<Vec<u8>>> {
    let weights = lagrange(parties, at).ok_or_else(|| EngineError::internal("a difference of points is no unit"))?;
    Ok(weights
        .iter()
        .map(|weight| write::<W>(&W::wrap(Zeroizing::new(reduce::<W>(weight).to_vec()))).to_vec())
        .collect())
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
