//! Partial decryption of parsed samples: product, mask and packing in one place (threshold-protocols §3.2, §3.5).
//!
//! The only caller of the mask PRF. The digest is taken here, from the buffers that the products read, so no mask is
//! ever made for anything but the numbers it hides, and no group of a ciphertext leaves with fewer than four masks.

use super::fast;
use super::key_shares::{KeyKind, KeyShares, ZERO_KINDS};
use super::masks::MaskKeys;
use super::ring::{DEGREE, Word, add, at, times_x};
use super::shamir::Words;
use super::share_key::{Packed, ShareKey};
use crate::errors::{EngineError, Result};
use zeroize::Zeroizing;

const LABEL: &[u8] = b"arca-mask-1";
const RING_BITS: u8 = 128;

/// Names that a mask is bound to, besides the sharing's.
pub struct Names {
    pub context: [u8; 32],
    pub epoch: [u8; 32],
    pub key: [u8; 32],
}

/// Parsed samples of one ciphertext: words little endian, masks before bodies.
pub enum Samples<'a> {
    /// Packed GLWE ciphertexts and how many samples each has.
    Packed(Vec<(&'a [u8], usize)>),
    /// Samples under the key of expanded squashed ciphertexts.
    Expanded(Vec<&'a [u8]>),
    /// Expanded samples under the key of packed ones.
    Unpacked(Vec<&'a [u8]>),
}

impl Samples<'_> {
    /// Blocks of the ciphertext.
    pub fn count(&self) -> usize {
        match self {
            Self::Packed(ciphertexts) => ciphertexts.iter().map(|(_, bodies)| bodies).sum(),
            Self::Expanded(samples) | Self::Unpacked(samples) => samples.len(),
        }
    }

    fn kind(&self) -> KeyKind {
        match self {
            Self::Packed(_) | Self::Unpacked(_) => KeyKind::SquashCompression,
            Self::Expanded(_) => KeyKind::Squash,
        }
    }

    fn digest(&self, shares: &KeyShares, names: &Names, format: u8) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for part in [LABEL, &names.context, &names.epoch, &shares.sharing.id, &names.key] {
            hasher.update(part);
        }
        hasher.update(&[self.kind() as u8, RING_BITS, format]);
        hasher.update(&(self.count() as u32).to_le_bytes());
        match self {
            Self::Packed(ciphertexts) => ciphertexts.iter().for_each(|(words, _)| {
                hasher.update(words);
            }),
            Self::Expanded(samples) | Self::Unpacked(samples) => samples.iter().for_each(|words| {
                hasher.update(words);
            }),
        }
        hasher.finalize().into()
    }
}

/// Adds b - ⟨a, s⟩ of one sample to a block: a public constant is shared as itself.
fn add_phase(block: &mut [u128], body: &[u8], product: &[u128]) {
    block[0] = block[0].wrapping_add(u128::load(body));
    block.iter_mut().zip(product).for_each(|(word, product)| *word = word.wrapping_sub(*product));
}

fn add_packed(blocks: &mut [u128], key: &ShareKey, packed: Packed, words: &[u8], bodies: usize) {
    let (mask, body) = words.split_at(key.dimension * 16);
    let products = fast::packed_products(key, packed, mask, bodies);
    let parts = blocks.chunks_exact_mut(DEGREE).zip(body.chunks_exact(16)).zip(products.chunks_exact(DEGREE));
    parts.for_each(|((block, body), product)| add_phase(block, body, product));
}

fn add_expanded(blocks: &mut [u128], key: &ShareKey, samples: &[&[u8]]) {
    for (block, words) in blocks.chunks_exact_mut(DEGREE).zip(samples) {
        let (mask, body) = words.split_at(key.dimension * 16);
        add_phase(block, body, &fast::product(key, mask));
    }
}

/// The format's number in the digest of encryptions of zero that open unpacked: none of a ciphertext.
const ZERO_FORMAT: u8 = 0xff;

/// This party's masked shares of the encryptions of zero that came with its key shares, one element each, unpacked: what
/// opens has coefficients 1 to 3, which a packed opening cannot show (threshold-protocols §3.5 (d)).
///
/// The one place where a block leaves without company: its samples are fixed by the sharing, so there is one a key and
/// epoch, and nobody can choose it.
pub fn zero_shares(shares: &KeyShares, masks: &MaskKeys, names: &Names) -> Result<Words<u128>> {
    require_same_sharing(shares, masks)?;
    let mut out = Zeroizing::new(Vec::with_capacity(ZERO_KINDS.len() * DEGREE));
    for kind in ZERO_KINDS {
        let sample = shares.zero_sample(kind);
        let (samples, key) = match kind {
            KeyKind::Squash => (Samples::Expanded(vec![&sample]), shares.squash()),
            _ => (Samples::Unpacked(vec![&sample]), shares.squash_compression()),
        };
        let mut block = masks.shares(&samples.digest(shares, names, ZERO_FORMAT), 1);
        add_expanded(&mut block, key, &[&sample]);
        out.extend_from_slice(&block);
    }
    Ok(out)
}

fn require_same_sharing(shares: &KeyShares, masks: &MaskKeys) -> Result<()> {
    let sharing = &shares.sharing;
    if (masks.n, masks.t, masks.party) != (sharing.n, sharing.t, shares.party) {
        return Err(EngineError::request("the mask keys and the key shares are of different parties or thresholds"));
    }
    Ok(())
}

/// This party's masked share of a ciphertext: ⌈blocks / 4⌉ elements Σ p_{4e+j}·X^j.
///
/// `format` is the number of the ciphertext's format as the request has it.
pub fn partial(
    shares: &KeyShares,
    masks: &MaskKeys,
    names: &Names,
    format: u8,
    samples: &Samples,
) -> Result<Words<u128>> {
    require_same_sharing(shares, masks)?;
    let count = samples.count();
    let mut blocks = masks.shares(&samples.digest(shares, names, format), count.next_multiple_of(DEGREE));
    match samples {
        Samples::Packed(ciphertexts) => {
            let key = shares.squash_compression();
            let packed = key.packed.ok_or_else(|| EngineError::internal("the packing key is not packed"))?;
            let mut rest = &mut blocks[..];
            for (words, bodies) in ciphertexts {
                let (these, others) = rest.split_at_mut(bodies * DEGREE);
                add_packed(these, key, packed, words, *bodies);
                rest = others;
            }
        }
        Samples::Expanded(samples) => add_expanded(&mut blocks, shares.squash(), samples),
        Samples::Unpacked(samples) => add_expanded(&mut blocks, shares.squash_compression(), samples),
    }
    Ok(pack(&blocks))
}

fn pack(blocks: &[u128]) -> Words<u128> {
    let mut out = Zeroizing::new(Vec::with_capacity(blocks.len() / DEGREE));
    for group in blocks.chunks_exact(DEGREE * DEGREE) {
        // Horner: p₀ + X·(p₁ + X·(p₂ + X·p₃)).
        let element = (0..DEGREE).rev().fold([0; DEGREE], |sum, block| add(&times_x(&sum), &at(group, block)));
        out.extend_from_slice(&element);
    }
    out
}
