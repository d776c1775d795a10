//! Opening of partial decryptions: robust decoding, the check of §3.5 (d), rounding (threshold-protocols §3.2 (5)).
//!
//! What comes out is the plaintext of a public decryption. Contributions are hostile.

use super::decode::{Opened, open};
use super::key_shares::ZERO_KINDS;
use super::masks::{BOUND_BITS, set_count};
use super::ring::{DEGREE, Word, check_parties};
use crate::errors::{Code, EngineError, Result};

/// Δ = 2^123: four bits of message and carry under one padding bit.
const SHIFT: u32 = 123;
const BLOCK_VALUES: u128 = 16;
/// log₂ of the bound on the noise of a squashed ciphertext.
const NOISE_BITS: u32 = 70;

/// Opened blocks and the parties that sent something else than their share.
pub struct OpenedBlocks {
    pub blocks: Vec<u32>,
    pub liars: Vec<u8>,
}

/// Opens a ciphertext of `count` blocks from its contributions, one a party. Nothing while more of them are needed.
///
/// A value counts only if 2t + 1 contributions agree on it: then t + 1 honest parties stand behind it.
///
/// Errors: `ABORTED` if what opens is no masked block, as when parties mask with keys of different set-ups.
pub fn open_blocks(n: usize, t: usize, count: usize, contributions: &[(u8, &[u8])]) -> Result<Option<OpenedBlocks>> {
    check_parties(n, t)?;
    let bound = bound(n, t);
    let Some(opened) = decode(t, count.div_ceil(DEGREE), contributions) else { return Ok(None) };
    let mut blocks = Vec::with_capacity(opened.words.len());
    for (index, word) in opened.words.iter().enumerate() {
        let block = word.wrapping_add(1 << (SHIFT - 1)) >> SHIFT;
        let off = word.wrapping_sub(block << SHIFT) as i128;
        let filler = index >= count;
        if off.unsigned_abs() > bound || block >= BLOCK_VALUES || (filler && block != 0) {
            return Err(inconsistent("what opens is no masked block of this ciphertext"));
        }
        blocks.push(block as u32);
    }
    blocks.truncate(count);
    Ok(Some(OpenedBlocks { blocks, liars: opened.liars }))
}

/// Opens the unpacked encryptions of zero of a key set; gives the liars. Nothing while more contributions are needed.
///
/// Errors: `ABORTED` unless each opens to a small scalar: shares of something else than bits, or masks of other keys.
pub fn open_zeros(n: usize, t: usize, contributions: &[(u8, &[u8])]) -> Result<Option<Vec<u8>>> {
    check_parties(n, t)?;
    let Some(opened) = decode(t, ZERO_KINDS.len(), contributions) else { return Ok(None) };
    let small = |element: &[u128]| (element[0] as i128).unsigned_abs() <= bound(n, t) && element[1..] == [0, 0, 0];
    if !opened.words.chunks_exact(DEGREE).all(small) {
        return Err(inconsistent("an encryption of zero does not open to zero"));
    }
    Ok(Some(opened.liars))
}

/// What all masks of a block and its noise add up to at most.
fn bound(n: usize, t: usize) -> u128 {
    2 * set_count(n, t) * (1 << BOUND_BITS) + (1 << NOISE_BITS)
}

fn inconsistent(why: &str) -> EngineError {
    EngineError::new(Code::Aborted, format!("inconsistent epoch: {why}"))
}

/// Decodes vectors of `elements` elements; who sent another number of them is a liar.
fn decode(t: usize, elements: usize, contributions: &[(u8, &[u8])]) -> Option<Opened<u128>> {
    let size = elements * DEGREE * 16;
    let (whole, cut): (Vec<_>, Vec<_>) = contributions.iter().partition(|(_, bytes)| bytes.len() == size);
    let errors = whole.len().checked_sub(2 * t + 1)?;
    let parties: Vec<u8> = whole.iter().map(|(party, _)| *party).collect();
    let words: Vec<Vec<u128>> =
        whole.iter().map(|(_, bytes)| bytes.chunks_exact(16).map(u128::load).collect()).collect();
    let shares: Vec<&[u128]> = words.iter().map(|words| words.as_slice()).collect();
    let mut opened = open(t, &parties, &shares, errors.min(t))?;
    opened.liars.extend(cut.iter().map(|(party, _)| *party));
    opened.liars.sort_unstable();
    Some(opened)
}
