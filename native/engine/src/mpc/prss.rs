//! Pseudorandom sharings without a message: of random elements (degree t) and of zero (degree 2t), keyed by the session
//! (threshold-protocols §2.7, §3.5 (f)).
//!
//! Secret: keys, values, shares. There is no family of masks here: [`PrssKeys::values`] can reveal none.

use aes::Aes128Enc;
use aes::cipher::{Block, BlockEncrypt};
use zeroize::{Zeroize, Zeroizing};

use super::masks::{derived, held_keys, held_sets, weight_of};
use super::ring::{DEGREE, Element, Word, add, mul, powers, reduce};
use super::shamir::Words;
use crate::errors::{EngineError, Result};

const LABEL: &[u8] = b"arca-prss-1";
/// Bits of a counter that both families have room for.
const COUNTER_BITS: u32 = 104;

/// What is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Random elements, degree t.
    Random = 0,
    /// Zero, degree 2t.
    Zero = 1,
}

impl Family {
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "prss" => Ok(Self::Random),
            "przs" => Ok(Self::Zero),
            _ => Err(EngineError::request("a family is 'prss' or 'przs'")),
        }
    }

    /// Elements of one value, and the number of the first: j of χ, or 0 for ψ.
    fn parts(self, t: usize) -> std::ops::RangeInclusive<u8> {
        match self {
            Self::Random => 0..=0,
            Self::Zero => 1..=t as u8,
        }
    }

    fn digest(self, session: &[u8; 32]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(LABEL).update(&[self as u8]).update(session);
        hasher.finalize().into()
    }
}

/// Public weights of one set's value: f_A(α), or f_A(α)·α^j for j from 1 to t.
fn weights_of(family: Family, t: usize, party: u8, weight: &Element<u128>) -> Vec<Element<u128>> {
    let powers = powers(party, t + 1);
    family.parts(t).map(|j| mul(weight, &powers[usize::from(j)])).collect()
}

/// For each set that holds a party the weights with which its values make that party's share.
pub fn weights(family: Family, n: usize, t: usize, party: u8) -> Result<Vec<Vec<Element<u128>>>> {
    let sets = held_sets(n, t, party)?;
    sets.iter().map(|set| Ok(weights_of(family, t, party, &weight_of(n, set, party)?))).collect()
}

struct Functions {
    /// K_A of ψ and χ.
    ciphers: [Aes128Enc; 2],
    weight: Element<u128>,
}

/// One party's functions of one session. Wiped when dropped.
pub struct PrssKeys {
    t: usize,
    party: u8,
    sets: Vec<Functions>,
}

impl PrssKeys {
    /// Takes the 32-byte keys of the sets that hold `party`, sets in lexicographic order.
    pub fn new(n: usize, t: usize, party: u8, session: &[u8; 32], keys: &[&[u8]]) -> Result<Self> {
        let digests = [Family::Random.digest(session), Family::Zero.digest(session)];
        let sets = held_keys(n, t, party, keys)?;
        let sets = sets
            .iter()
            .map(|set| Functions { ciphers: digests.map(|digest| derived(&set.cipher, &digest)), weight: set.weight });
        Ok(Self { t, party, sets: sets.collect() })
    }

    /// Shares of `count` sharings with the counters from `counter` on.
    pub fn shares<W: Word>(&self, family: Family, counter: u128, count: usize) -> Result<Words<W>> {
        check_counter(counter, count)?;
        let mut out = Zeroizing::new(vec![W::ZERO; count * DEGREE]);
        for set in &self.sets {
            let weights = weights_of(family, self.t, self.party, &set.weight);
            for (part, weight) in family.parts(self.t).zip(&weights) {
                let values = elements::<W>(&set.ciphers[family as usize], part, counter, count);
                let weight = reduce(weight);
                for (share, value) in out.chunks_exact_mut(DEGREE).zip(values.chunks_exact(DEGREE)) {
                    let value = std::array::from_fn(|i| value[i]);
                    let sum = add(&std::array::from_fn(|i| share[i]), &mul(&weight, &value));
                    share.copy_from_slice(&sum);
                }
            }
        }
        Ok(out)
    }

    /// What the function of each set gives for a counter. For draws that are thrown away, to find who lied.
    pub fn values<W: Word>(&self, family: Family, counter: u128) -> Result<Vec<Words<W>>> {
        check_counter(counter, 1)?;
        let value = |set: &Functions| {
            let mut out = Zeroizing::new(Vec::with_capacity(self.t.max(1) * DEGREE));
            for part in family.parts(self.t) {
                out.extend_from_slice(&elements::<W>(&set.ciphers[family as usize], part, counter, 1));
            }
            out
        };
        Ok(self.sets.iter().map(value).collect())
    }
}

fn check_counter(counter: u128, count: usize) -> Result<()> {
    if counter.checked_add(count as u128).is_none_or(|end| end > 1 << COUNTER_BITS) {
        return Err(EngineError::request(format!("a counter is below 2^{COUNTER_BITS}")));
    }
    Ok(())
}

/// Elements of a function: coefficient i from the block counter | j·2^104 | i·2^112.
fn elements<W: Word>(cipher: &Aes128Enc, part: u8, counter: u128, count: usize) -> Words<W> {
    let mut blocks: Vec<Block<Aes128Enc>> = (0..count as u128 * DEGREE as u128)
        .map(|at| {
            let (element, coefficient) = (at / DEGREE as u128, at % DEGREE as u128);
            ((counter + element) | u128::from(part) << 104 | coefficient << 112).to_le_bytes().into()
        })
        .collect();
    cipher.encrypt_blocks(&mut blocks);
    let mut out = Zeroizing::new(Vec::with_capacity(blocks.len()));
    for block in &mut blocks {
        out.push(W::load(&block[..W::SIZE]));
        block.as_mut_slice().zeroize();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::decode::open;
    use super::super::masks::sets_of;
    use super::*;

    fn parties(n: usize, t: usize) -> Vec<PrssKeys> {
        let sets = sets_of(n, t).unwrap();
        let of = |party: u8| {
            let held = sets.iter().enumerate().filter(|(_, set)| set.contains(&party));
            let keys: Vec<[u8; 32]> = held.map(|(rank, _)| [(rank % 251) as u8; 32]).collect();
            let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_slice()).collect();
            PrssKeys::new(n, t, party, &[5; 32], &keys).unwrap()
        };
        (1..=n as u8).map(of).collect()
    }

    fn check<W: Word + std::fmt::Debug>() {
        for (n, t) in [(4, 1), (7, 2), (13, 4)] {
            let (all, roles) = (parties(n, t), (1..=n as u8).collect::<Vec<_>>());
            let draw = |family, counter, count| {
                let shares: Vec<Words<W>> =
                    all.iter().map(|keys| keys.shares(family, counter, count).unwrap()).collect();
                let degree = if family == Family::Random { t } else { 2 * t };
                let refs: Vec<&[W]> = shares.iter().map(|share| share.as_slice()).collect();
                open(degree, &roles, &refs, 0).unwrap().words
            };
            let random = draw(Family::Random, 7, 3);
            assert_eq!(draw(Family::Random, 8, 1), random[DEGREE..2 * DEGREE], "counters follow one another");
            assert_ne!(random[..DEGREE], random[DEGREE..2 * DEGREE]);
            assert_eq!(draw(Family::Zero, 7, 3), vec![W::ZERO; 3 * DEGREE]);
            for family in [Family::Random, Family::Zero] {
                let (party, keys) = (2, &all[1]);
                let weights = weights(family, n, t, party).unwrap();
                let values = keys.values::<W>(family, 9).unwrap();
                let terms = weights
                    .iter()
                    .zip(&values)
                    .flat_map(|(weights, values)| weights.iter().zip(values.chunks_exact(DEGREE)));
                let share = terms.fold([W::ZERO; DEGREE], |sum, (weight, value)| {
                    add(&sum, &mul(&reduce(weight), &std::array::from_fn(|i| value[i])))
                });
                assert_eq!(share, *keys.shares::<W>(family, 9, 1).unwrap().as_slice(), "values make the share");
            }
        }
    }

    #[test]
    fn draws_are_sharings_of_random_elements_and_of_zero() {
        check::<u64>();
        check::<u128>();
    }

    #[test]
    fn counters_have_an_end() {
        let keys = &parties(4, 1)[0];
        assert!(keys.shares::<u64>(Family::Zero, (1 << 104) - 1, 1).is_ok());
        assert!(keys.shares::<u64>(Family::Zero, (1 << 104) - 1, 2).is_err());
        assert!(keys.values::<u64>(Family::Random, u128::MAX).is_err());
    }
}
