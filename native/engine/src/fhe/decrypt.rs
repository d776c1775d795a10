//! Decryption of all four ciphertext forms with the secret keys alone: no form needs a server key.
//!
//! A centralized engine holds the whole key, so a packed small ciphertext is opened with the packing key instead of
//! being decompressed by a bootstrap. Gives what the crate's own decryption gives (tested against it).

use zeroize::Zeroizing;

use super::params::{Packing, Params};
use super::parse::{PackedGlwe, SquashState, big_compressed, big_expanded, small_compressed, small_expanded};
use super::secret::{Mask, decode_big, decode_packed_small, decode_small, lwe_phase, packed_phases};
use super::types::{FheType, Format};
use crate::errors::Result;

/// The secret keys that decryption needs, ready for use. Wiped when dropped.
pub struct DecryptionKeys {
    pub params: Params,
    pub big: Mask,
    pub compression: Mask,
    pub squash: Mask,
    pub squash_compression: Mask,
}

/// A plaintext, little endian, of exactly the type's width. Wiped when dropped.
pub type Plaintext = Zeroizing<Vec<u8>>;

impl DecryptionKeys {
    /// Decrypts one ciphertext.
    pub fn decrypt(&self, bytes: &[u8], fhe_type: FheType, format: Format) -> Result<Plaintext> {
        // Sized before it is filled: a vector that grows leaves copies behind.
        let mut blocks = Zeroizing::new(Vec::with_capacity(fhe_type.blocks()));
        let bits = match format {
            Format::SmallCompressed => self.open_small_compressed(bytes, fhe_type, &mut blocks)?,
            Format::SmallExpanded => self.open_small_expanded(bytes, fhe_type, &mut blocks)?,
            Format::BigCompressed => self.open_big_compressed(bytes, fhe_type, &mut blocks)?,
            Format::BigExpanded => self.open_big_expanded(bytes, fhe_type, &mut blocks)?,
        };
        Ok(recompose(&blocks, bits, fhe_type, format))
    }

    fn open_small_compressed(&self, bytes: &[u8], fhe_type: FheType, blocks: &mut Vec<u32>) -> Result<usize> {
        let packing = &self.params.shape().compression;
        for glwe in small_compressed(bytes, self.params, fhe_type)? {
            let phases = packed_phases(&unpack(&glwe, packing), &self.compression, packing, glwe.bodies);
            blocks.extend(phases.iter().copied().map(decode_packed_small));
        }
        Ok(2)
    }

    fn open_small_expanded(&self, bytes: &[u8], fhe_type: FheType, blocks: &mut Vec<u32>) -> Result<usize> {
        let samples = small_expanded(bytes, self.params, fhe_type)?;
        blocks.extend(samples.iter().map(|sample| decode_small(lwe_phase(sample, &self.big))));
        Ok(2)
    }

    fn open_big_compressed(&self, bytes: &[u8], fhe_type: FheType, blocks: &mut Vec<u32>) -> Result<usize> {
        let packing = &self.params.shape().squash_compression;
        for glwe in big_compressed(bytes, self.params, fhe_type)? {
            let phases = packed_phases(glwe.words, &self.squash_compression, packing, glwe.bodies);
            blocks.extend(phases.iter().copied().map(decode_big));
        }
        Ok(4)
    }

    fn open_big_expanded(&self, bytes: &[u8], fhe_type: FheType, blocks: &mut Vec<u32>) -> Result<usize> {
        let (samples, state) = big_expanded(bytes, self.params, fhe_type)?;
        let packing = &self.params.shape().squash_compression;
        let mut forwards = Zeroizing::new(Vec::new());
        let key: &[u64] = match state {
            SquashState::Normal => &self.squash,
            SquashState::PostDecompression => {
                // The packing key is kept backwards, one polynomial at a time; an expanded sample wants it forwards.
                forwards.extend_from_slice(&self.squash_compression);
                forwards.chunks_mut(packing.polynomial_size).for_each(<[u64]>::reverse);
                &forwards
            }
        };
        blocks.extend(samples.iter().map(|sample| decode_big(lwe_phase(sample, key))));
        Ok(4)
    }
}

/// Unpacks coefficients of `stored_bits` bits into the high bits of 64-bit words.
fn unpack(glwe: &PackedGlwe, packing: &Packing) -> Vec<u8> {
    let bits = packing.stored_bits;
    let word = |index: usize| {
        glwe.words.get(index * 8..index * 8 + 8).map_or(0, |bytes| {
            let mut word = [0u8; 8];
            word.copy_from_slice(bytes);
            u64::from_le_bytes(word)
        })
    };
    (0..packing.key_size() + glwe.bodies)
        .flat_map(|index| {
            let (at, shift) = (index * bits / 64, index * bits % 64);
            let both = u128::from(word(at)) | u128::from(word(at + 1)) << 64;
            (((both >> shift) as u64) << (64 - bits)).to_le_bytes()
        })
        .collect()
}

/// Adds the blocks up, low block first, and keeps the type's width. A block's carry goes to the next, as in the crate.
pub fn recompose(blocks: &[u32], bits: usize, fhe_type: FheType, format: Format) -> Plaintext {
    if fhe_type.is_bool() {
        let block = blocks.first().copied().unwrap_or(0);
        let value = if matches!(format, Format::SmallExpanded) { block & 3 } else { block };
        return Zeroizing::new(vec![u8::from(value != 0)]);
    }
    let mut out = Zeroizing::new(vec![0u8; fhe_type.plaintext_size()]);
    let (mut sum, mut filled, mut at) = (0u64, 0usize, 0usize);
    for block in blocks {
        sum += u64::from(*block) << filled;
        filled += bits;
        while filled >= 8 && at < out.len() {
            out[at] = sum as u8;
            at += 1;
            sum >>= 8;
            filled -= 8;
        }
    }
    if at < out.len() {
        out[at] = sum as u8 & ((1u16 << (fhe_type.bits() % 8)) - 1) as u8;
    }
    out
}
