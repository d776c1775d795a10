//! Masks of partial decryptions, a function of the numbers they hide (threshold-protocols §2.7, §3.5 (a)).
//!
//! Secret: the set keys, the derived keys, the masks. [`MaskKeys::shares`] is called from `partial.rs` alone, with a
//! digest computed there from the very buffers that the product read: nothing else can ask for a mask.

use aes::cipher::{Block, BlockEncrypt, KeyInit};
use aes::{Aes128Enc, Aes256Enc};
use zeroize::{Zeroize, Zeroizing};

use super::ring::{DEGREE, Element, invert, mul, point, sub};
use super::shamir::Words;
use crate::errors::{EngineError, Result};

/// log₂ of the range of one PRF value.
pub const BOUND_BITS: u32 = 110;
/// Most sets of a set-up.
const MAX_SETS: usize = 2047;

/// The (n - t)-subsets of the parties 1 to `n`, in lexicographic order.
pub fn sets_of(n: usize, t: usize) -> Result<Vec<Vec<u8>>> {
    super::ring::check_parties(n, t)?;
    let size = n - t;
    let mut sets = Vec::new();
    let mut current: Vec<u8> = (1..=size as u8).collect();
    loop {
        sets.push(current.clone());
        if sets.len() > MAX_SETS {
            return Err(EngineError::request(format!("a set-up has at most {MAX_SETS} sets")));
        }
        let Some(place) = (0..size).rev().find(|i| (current[*i] as usize) < t + i + 1) else { return Ok(sets) };
        current[place] += 1;
        for later in place + 1..size {
            current[later] = current[later - 1] + 1;
        }
    }
}

/// How many sets [`sets_of`] gives: n over t.
pub fn set_count(n: usize, t: usize) -> u128 {
    (0..t).fold(1, |count, i| count * (n - i) as u128 / (i + 1) as u128)
}

/// f_A at a party's point: degree t, 1 at zero, 0 at every party outside A.
fn set_weight(n: usize, set: &[u8], party: u8) -> Option<Element<u128>> {
    let x = point(party);
    let mut outside = (1..=n as u8).filter(|other| !set.contains(other)).map(point);
    outside.try_fold([1, 0, 0, 0], |weight, other| Some(mul(&weight, &mul(&sub(&other, &x), &invert(&other)?))))
}

/// The key r_A of a set and f_A at the point of the party that holds it. Wiped when dropped.
pub(super) struct SetKey {
    pub(super) cipher: Aes256Enc,
    pub(super) weight: Element<u128>,
}

/// Takes the 32-byte keys of the sets that hold `party`, sets in lexicographic order.
pub(super) fn held_keys(n: usize, t: usize, party: u8, keys: &[&[u8]]) -> Result<Vec<SetKey>> {
    let held = held_sets(n, t, party)?;
    if held.len() != keys.len() {
        return Err(EngineError::request(format!("party {party} has {} set keys of {n} parties", held.len())));
    }
    let pairs = held.iter().zip(keys);
    pairs
        .map(|(set, key)| {
            let cipher = Aes256Enc::new_from_slice(key).map_err(|_| EngineError::request("a set key has 32 bytes"))?;
            Ok(SetKey { cipher, weight: weight_of(n, set, party)? })
        })
        .collect()
}

/// The sets that hold `party`, in lexicographic order.
pub fn held_sets(n: usize, t: usize, party: u8) -> Result<Vec<Vec<u8>>> {
    let held: Vec<Vec<u8>> = sets_of(n, t)?.into_iter().filter(|set| set.contains(&party)).collect();
    if held.is_empty() { Err(EngineError::request(format!("party {party} is not one of {n}"))) } else { Ok(held) }
}

/// [`set_weight`], of which every point is a unit.
pub fn weight_of(n: usize, set: &[u8], party: u8) -> Result<Element<u128>> {
    set_weight(n, set, party).ok_or_else(|| EngineError::internal("a point is no unit"))
}

/// One party's keys r_A of all sets that hold it. Wiped when dropped.
pub struct MaskKeys {
    pub n: usize,
    pub t: usize,
    pub party: u8,
    sets: Vec<SetKey>,
}

impl MaskKeys {
    /// Takes the 32-byte keys of the sets that hold `party`, sets in lexicographic order.
    pub fn new(n: usize, t: usize, party: u8, keys: &[&[u8]]) -> Result<Self> {
        let sets = held_keys(n, t, party, keys)?;
        Ok(Self { n, t, party, sets })
    }

    /// This party's shares of the masks of blocks 0 to `count` - 1 under a digest.
    pub(super) fn shares(&self, digest: &[u8; 32], count: usize) -> Words<u128> {
        let mut out = Zeroizing::new(vec![0u128; count * DEGREE]);
        let mut blocks = vec![Block::<Aes128Enc>::default(); 2 * count];
        for set in &self.sets {
            let cipher = derived(&set.cipher, digest);
            for (counter, block) in blocks.iter_mut().enumerate() {
                *block = (counter as u128).to_le_bytes().into();
            }
            cipher.encrypt_blocks(&mut blocks);
            for (pair, share) in blocks.chunks_exact(2).zip(out.chunks_exact_mut(DEGREE)) {
                let mask = bounded(&pair[0]).wrapping_add(bounded(&pair[1]));
                for (word, weight) in share.iter_mut().zip(&set.weight) {
                    *word = word.wrapping_add(weight.wrapping_mul(mask));
                }
            }
        }
        blocks.iter_mut().for_each(|block| block.as_mut_slice().zeroize());
        out
    }
}

/// The key of a use: K_A = AES-256(AES-256(D_hi) ⊕ D_lo) under r_A, as an AES-128 key.
pub(super) fn derived(cipher: &Aes256Enc, digest: &[u8; 32]) -> Aes128Enc {
    let (high, low) = digest.split_at(16);
    let mut block = Block::<Aes256Enc>::clone_from_slice(high);
    cipher.encrypt_block(&mut block);
    block.iter_mut().zip(low).for_each(|(byte, other)| *byte ^= other);
    cipher.encrypt_block(&mut block);
    let key = Aes128Enc::new(&block);
    block.as_mut_slice().zeroize();
    key
}

/// -2^110 + (block mod 2^111), modulo 2^128.
fn bounded(block: &Block<Aes128Enc>) -> u128 {
    let value = u128::from_le_bytes((*block).into()) & ((1 << (BOUND_BITS + 1)) - 1);
    value.wrapping_sub(1 << BOUND_BITS)
}

#[cfg(test)]
mod tests {
    use super::super::decode::open;
    use super::*;

    /// All parties' keys; the key of a set is its rank, repeated.
    fn keys(n: usize, t: usize) -> Vec<MaskKeys> {
        let sets = sets_of(n, t).unwrap();
        let of = |party: u8| {
            let held = sets.iter().enumerate().filter(|(_, set)| set.contains(&party));
            let keys: Vec<[u8; 32]> = held.map(|(rank, _)| [(rank % 251) as u8; 32]).collect();
            let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_slice()).collect();
            MaskKeys::new(n, t, party, &keys).unwrap()
        };
        (1..=n as u8).map(of).collect()
    }

    #[test]
    fn sets_are_lexicographic() {
        assert_eq!(sets_of(4, 1).unwrap(), [[1, 2, 3], [1, 2, 4], [1, 3, 4], [2, 3, 4]]);
        for (n, t) in [(4, 1), (7, 2), (10, 3), (13, 4), (5, 0)] {
            assert_eq!(sets_of(n, t).unwrap().len() as u128, set_count(n, t));
        }
        assert_eq!(set_count(13, 4), 715);
        assert!(sets_of(3, 1).is_err());
    }

    #[test]
    fn masks_are_small_scalars_of_both_signs() {
        for (n, t) in [(4, 1), (7, 2), (13, 4)] {
            let shares: Vec<_> = keys(n, t).iter().map(|keys| keys.shares(&[9; 32], 50)).collect();
            let shares: Vec<&[u128]> = shares.iter().map(|share| share.as_slice()).collect();
            let parties: Vec<u8> = (1..=n as u8).collect();
            let masks = open(t, &parties, &shares, t).unwrap().words;
            let bound = 2 * sets_of(n, t).unwrap().len() as u128 * (1 << BOUND_BITS);
            let scalars: Vec<i128> = masks.chunks(4).map(|element| element[0] as i128).collect();
            assert!(masks.chunks(4).all(|element| element[1..] == [0, 0, 0]), "scalars");
            assert!(scalars.iter().all(|mask| mask.unsigned_abs() <= bound), "bounded");
            assert!(scalars.iter().any(|mask| *mask < 0) && scalars.iter().any(|mask| *mask > 0), "both signs");
        }
    }

    #[test]
    fn masks_depend_on_the_whole_digest_and_not_on_the_count() {
        let keys = &keys(4, 1)[0];
        let long = keys.shares(&[9; 32], 8);
        assert_eq!(&long[..16], &keys.shares(&[9; 32], 4)[..]);
        for byte in [0, 15, 16, 31] {
            let mut other = [9; 32];
            other[byte] ^= 1;
            assert_ne!(&keys.shares(&other, 8)[..], &long[..], "byte {byte}");
        }
        assert!(MaskKeys::new(4, 1, 1, &[&[0; 32][..]; 2]).is_err());
        assert!(MaskKeys::new(4, 1, 5, &[&[0; 32][..]; 3]).is_err());
        assert!(MaskKeys::new(4, 1, 1, &[&[0; 31][..]; 3]).is_err());
    }
}
