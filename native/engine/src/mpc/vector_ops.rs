//! What can be done with vectors over one ring. `vector.rs` picks the ring. Elements are secret.

use zeroize::Zeroizing;

use super::decode;
use super::prg::Prg;
use super::ring::{DEGREE, Element, Word, add, at, lagrange, mul, reduce, sub};
use super::shamir::{self, Words};
use super::vector::{Dealing, Ring, ShareVec};
use crate::errors::{EngineError, Result};

/// Most elements of one vector.
const MAX_LENGTH: usize = 1 << 24;

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

pub fn first<'v>(vectors: &[&'v ShareVec]) -> Result<&'v ShareVec> {
    vectors.first().copied().ok_or_else(|| EngineError::request("needs at least one vector"))
}

fn element<W: Word>(bytes: &[u8]) -> Result<Element<W>> {
    if bytes.len() != DEGREE * W::SIZE {
        return Err(EngineError::request(format!("an element of this ring has {} bytes", DEGREE * W::SIZE)));
    }
    Ok(std::array::from_fn(|i| W::load(&bytes[i * W::SIZE..(i + 1) * W::SIZE])))
}

pub fn read<W: Ring>(bytes: &[u8]) -> Result<ShareVec> {
    if !bytes.len().is_multiple_of(DEGREE * W::SIZE) {
        return Err(EngineError::request(format!("elements of this ring have {} bytes each", DEGREE * W::SIZE)));
    }
    check_length(bytes.len() / (DEGREE * W::SIZE))?;
    let mut words = Zeroizing::new(Vec::with_capacity(bytes.len() / W::SIZE));
    words.extend(bytes.chunks_exact(W::SIZE).map(W::load));
    Ok(W::wrap(words))
}

pub fn random<W: Ring>(length: usize) -> Result<ShareVec> {
    check_length(length)?;
    Ok(W::wrap(shamir::random(&mut Prg::fresh()?, length)))
}

pub fn write<W: Ring>(vector: &ShareVec) -> Zeroizing<Vec<u8>> {
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

pub fn sum<W: Ring>(pair: [&ShareVec; 2]) -> Result<ShareVec> {
    zip::<W>(pair, add)
}

pub fn difference<W: Ring>(pair: [&ShareVec; 2]) -> Result<ShareVec> {
    zip::<W>(pair, sub)
}

pub fn products<W: Ring>(pair: [&ShareVec; 2]) -> Result<ShareVec> {
    zip::<W>(pair, mul)
}

pub fn same<W: Ring>(pair: [&ShareVec; 2]) -> Result<bool> {
    let words = all::<W>(&pair)?;
    // No early exit: the time says nothing about where two vectors differ.
    let difference = words[0].iter().zip(words[1]).fold(0u128, |bits, (a, b)| bits | (a.widen() ^ b.widen()));
    Ok(std::hint::black_box(difference) == 0)
}

pub fn part<W: Ring>(vector: &ShareVec, from: usize, to: usize) -> Result<ShareVec> {
    let words = W::words(vector).unwrap_or(&[]);
    let range = from.saturating_mul(DEGREE)..to.saturating_mul(DEGREE);
    let part = words.get(range).ok_or_else(|| EngineError::request("a slice lies inside its vector"))?;
    Ok(W::wrap(Zeroizing::new(part.to_vec())))
}

pub fn joined<W: Ring>(vectors: &[&ShareVec]) -> Result<ShareVec> {
    let other = || EngineError::request("vectors of different rings do not go together");
    let parts = vectors.iter().map(|vector| W::words(vector).ok_or_else(other)).collect::<Result<Vec<_>>>()?;
    let length = parts.iter().map(|part| part.len()).sum();
    check_length(length / DEGREE)?;
    let mut out = Zeroizing::new(Vec::with_capacity(length));
    parts.iter().for_each(|part| out.extend_from_slice(part));
    Ok(W::wrap(out))
}

pub fn combined<W: Ring>(vectors: &[&ShareVec], weights: &[&[u8]]) -> Result<ShareVec> {
    if vectors.len() != weights.len() {
        return Err(EngineError::request("needs one coefficient for each vector"));
    }
    let weights = weights.iter().map(|bytes| element(bytes)).collect::<Result<Vec<Element<W>>>>()?;
    Ok(W::wrap(shamir::combine(&all::<W>(vectors)?, &weights)))
}

fn wrap_all<W: Ring>(vectors: Vec<Words<W>>) -> Vec<ShareVec> {
    vectors.into_iter().map(W::wrap).collect()
}

pub fn shared<W: Ring>(secret: &ShareVec, n: usize, t: usize) -> Result<Vec<ShareVec>> {
    super::ring::check_parties(n, t)?;
    Ok(wrap_all(shamir::share(&mut Prg::fresh()?, W::words(secret).unwrap_or(&[]), n, t)))
}

pub fn dealt<W: Ring>(secret: &ShareVec, n: usize, t: usize) -> Result<Dealing> {
    super::ring::check_parties(n, t)?;
    let dealt = shamir::bivariate(&mut Prg::fresh()?, W::words(secret).unwrap_or(&[]), n, t);
    let wrap = |lists: Vec<Vec<Words<W>>>| lists.into_iter().map(wrap_all).collect();
    Ok(Dealing { rows: wrap(dealt.rows), columns: wrap(dealt.columns) })
}

pub fn evaluated<W: Ring>(coefficients: &[&ShareVec], party: u8) -> Result<ShareVec> {
    Ok(W::wrap(shamir::evaluate(&all::<W>(coefficients)?, party)))
}

pub fn extracted<W: Ring>(vectors: &[&ShareVec], t: usize) -> Result<Vec<ShareVec>> {
    super::ring::check_parties(vectors.len(), t)?;
    Ok(wrap_all(shamir::extract(&all::<W>(vectors)?, t)))
}

pub fn opened<W: Ring>(
    degree: usize,
    parties: &[u8],
    shares: &[&ShareVec],
    max_errors: usize,
) -> Result<Option<(ShareVec, Vec<u8>)>> {
    let opened = decode::open(degree, parties, &all::<W>(shares)?, max_errors);
    Ok(opened.map(|opened| (W::wrap(Zeroizing::new(opened.words)), opened.liars)))
}

pub fn weights<W: Ring>(parties: &[u8], at: u8) -> Result<Vec<Vec<u8>>> {
    let weights = lagrange(parties, at).ok_or_else(|| EngineError::internal("a difference of points is no unit"))?;
    Ok(weights
        .iter()
        .map(|weight| write::<W>(&W::wrap(Zeroizing::new(reduce::<W>(weight).to_vec()))).to_vec())
        .collect())
}
