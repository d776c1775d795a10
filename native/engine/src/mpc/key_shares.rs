//! One party's shares of the secret keys of a key set, and their stored form (docs/formats/private-objects.md).
//!
//! Secret: the shares. They are wiped when dropped; buffers are sized before they are filled.

use std::sync::OnceLock;

use zeroize::Zeroizing;

use super::prg::Prg;
use super::ring::{DEGREE, Word};
use super::shamir::{Words, share};
use super::share_key::{Packed, ShareKey};
use crate::errors::{EngineError, Result};
use crate::fhe::params::Params;
use crate::fhe::reader::{HEADER, Reader};

const NAME: &str = "arca::KeyShares";
const MAX_TAG_SIZE: usize = 64;
const MAX_METADATA_SIZE: usize = 1024 * 1024;
const ELEMENT_SIZE: usize = DEGREE * 16;

/// The secret keys of a key set, in the order of their generation. The numbers are part of the stored form and of the
/// digest of masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    PublicEncryption = 0,
    Compute = 1,
    Glwe = 2,
    Compression = 3,
    Squash = 4,
    SquashCompression = 5,
    Oprf = 6,
}

/// How many kinds there are.
pub const KINDS: usize = 7;

/// Where shares come from. Production refuses `Dealt` and `Developer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShareProvenance {
    Distributed = 0,
    Dealt = 1,
    Imported = 2,
    Developer = 3,
}

impl ShareProvenance {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Distributed, "distributed"),
        (Self::Dealt, "dealt"),
        (Self::Imported, "imported"),
        (Self::Developer, "developer"),
    ];

    pub fn parse(name: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|(_, other)| *other == name);
        found.map(|(provenance, _)| *provenance).ok_or_else(|| {
            EngineError::request("the provenance of shares is 'distributed', 'dealt', 'imported' or 'developer'")
        })
    }

    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    fn from_number(number: u32) -> Result<Self> {
        let found = Self::ALL.get(number as usize);
        found.map(|(provenance, _)| *provenance).ok_or_else(|| EngineError::key("unknown provenance of shares"))
    }
}

/// What all parties' shares of one sharing have in common.
#[derive(Clone)]
pub struct Sharing {
    pub params: Params,
    pub n: usize,
    pub t: usize,
    /// Digest of the ceremony that made the shares.
    pub id: [u8; 32],
    pub provenance: ShareProvenance,
    pub tag: Vec<u8>,
}

/// One party's shares. Wiped when dropped.
pub struct KeyShares {
    pub sharing: Sharing,
    pub party: u8,
    /// Opaque to this library: stored beside the shares.
    pub metadata: Vec<u8>,
    /// Elements of GR(2^128, 4), by kind. A kind that the key set lacks is empty.
    keys: [Words<u128>; KINDS],
    /// Bodies of the encryptions of zero under the keys of [`ZERO_KINDS`], the same at all parties; zeros if there are none.
    zeros: [u128; ZERO_KINDS.len()],
    squash: OnceLock<ShareKey>,
    squash_compression: OnceLock<ShareKey>,
}

/// Keys under which squashed ciphertexts are, for each of which a key set has an encryption of zero.
pub const ZERO_KINDS: [KeyKind; 2] = [KeyKind::Squash, KeyKind::SquashCompression];

/// Bits of the secret keys, by kind.
pub type KeyBits = [Words<u128>; KINDS];

impl KeyShares {
    fn new(
        sharing: Sharing,
        party: u8,
        metadata: Vec<u8>,
        keys: [Words<u128>; KINDS],
        zeros: [u128; ZERO_KINDS.len()],
    ) -> Result<Self> {
        let shape = sharing.params.shape();
        let sizes = [
            (KeyKind::Glwe, shape.big),
            (KeyKind::Compression, shape.compression.key_size()),
            (KeyKind::Squash, shape.squash),
            (KeyKind::SquashCompression, shape.squash_compression.key_size()),
        ];
        if sizes.iter().any(|(kind, size)| keys[*kind as usize].len() != size * DEGREE) {
            return Err(EngineError::key("the share of a key has another size than the parameters"));
        }
        super::ring::check_parties(sharing.n, sharing.t).map_err(|error| EngineError::key(error.message))?;
        if party == 0 || party as usize > sharing.n {
            return Err(EngineError::key(format!("party {party} is not one of {}", sharing.n)));
        }
        let [squash, squash_compression] = Default::default();
        Ok(Self { sharing, party, metadata, keys, zeros, squash, squash_compression })
    }

    /// Shares of all parties of secret keys that are known whole.
    pub fn split(sharing: &Sharing, bits: &KeyBits, prg: &mut Prg) -> Result<Vec<Self>> {
        super::ring::check_parties(sharing.n, sharing.t)?;
        let mut parts: Vec<Vec<Words<u128>>> = vec![Vec::with_capacity(KINDS); sharing.n];
        for bits in bits {
            let mut secret = Zeroizing::new(vec![0u128; bits.len() * DEGREE]);
            secret.iter_mut().step_by(DEGREE).zip(bits.iter()).for_each(|(word, bit)| *word = *bit);
            for (part, share) in parts.iter_mut().zip(share(prg, &secret, sharing.n, sharing.t)) {
                part.push(share);
            }
        }
        let zeros = ZERO_KINDS.map(|kind| zero_body(&sharing.id, kind, &bits[kind as usize], prg));
        let all = parts.into_iter().zip(1u8..);
        all.map(|(keys, party)| {
            let keys = keys.try_into().map_err(|_| EngineError::internal("a sharing has too few keys"))?;
            Self::new(sharing.clone(), party, Vec::new(), keys, zeros)
        })
        .collect()
    }

    /// Coefficients of the share of a key.
    pub fn dimension(&self, kind: KeyKind) -> usize {
        self.keys[kind as usize].len() / DEGREE
    }

    /// Elements of the share of a key.
    pub fn elements(&self, kind: KeyKind) -> &[u128] {
        &self.keys[kind as usize]
    }

    /// The key of expanded squashed ciphertexts.
    pub fn squash(&self) -> &ShareKey {
        self.squash.get_or_init(|| ShareKey::from_elements(self.elements(KeyKind::Squash), None))
    }

    /// The key of packed squashed ciphertexts.
    pub fn squash_compression(&self) -> &ShareKey {
        self.squash_compression.get_or_init(|| {
            let packing = &self.sharing.params.shape().squash_compression;
            let packed = Packed { polynomials: packing.glwe_dimension, size: packing.polynomial_size };
            ShareKey::from_elements(self.elements(KeyKind::SquashCompression), Some(packed))
        })
    }

    /// Whether encryptions of zero came with the shares: none do with those that another system made.
    pub fn has_zeros(&self) -> bool {
        self.zeros.iter().any(|body| *body != 0)
    }

    /// The encryption of zero under a key: masks before the body, as bytes.
    pub fn zero_sample(&self, kind: KeyKind) -> Vec<u8> {
        let mut sample = zero_mask(&self.sharing.id, kind, self.dimension(kind));
        let body = ZERO_KINDS.iter().zip(self.zeros).find(|(of, _)| **of == kind).map_or(0, |(_, body)| body);
        sample.extend_from_slice(&body.to_le_bytes());
        sample
    }

    /// Writes the stored form. The result holds the shares.
    pub fn encode(&self, metadata: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        if metadata.len() > MAX_METADATA_SIZE {
            return Err(EngineError::request(format!("metadata has at most {MAX_METADATA_SIZE} bytes")));
        }
        let Sharing { params, n, t, id, provenance, tag } = &self.sharing;
        let keys: usize = self.keys.iter().map(|key| 8 + key.len() * 16).sum();
        let size =
            HEADER.len() + 8 + NAME.len() + 6 * 4 + 32 + 16 + tag.len() + metadata.len() + keys + self.zeros.len() * 16;
        let mut out = Zeroizing::new(Vec::with_capacity(size));
        out.extend_from_slice(HEADER);
        put_bytes(&mut out, NAME.as_bytes());
        for number in [0, *params as u32, *n as u32, *t as u32, u32::from(self.party), *provenance as u32] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(id);
        put_bytes(&mut out, tag);
        put_bytes(&mut out, metadata);
        for key in &self.keys {
            out.extend_from_slice(&((key.len() / DEGREE) as u64).to_le_bytes());
            key.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
        }
        self.zeros.iter().for_each(|body| out.extend_from_slice(&body.to_le_bytes()));
        Ok(out)
    }

    /// Reads shares written by [`KeyShares::encode`].
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        read(bytes).map_err(|error| EngineError::key(format!("not an object of key shares: {}", error.message)))
    }
}

/// The masks of the encryption of zero under a key of a sharing, from its name alone.
fn zero_mask(sharing_id: &[u8; 32], kind: KeyKind, dimension: usize) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"arca-zero-1").update(sharing_id).update(&[kind as u8]);
    let mut mask = Vec::with_capacity((dimension + 1) * 16);
    mask.resize(dimension * 16, 0);
    hasher.finalize_xof().fill(&mut mask);
    mask
}

/// ⟨a, s⟩ + e with |e| ≤ 2^69, as large as the noise of a squashed ciphertext may be.
fn zero_body(sharing_id: &[u8; 32], kind: KeyKind, bits: &[u128], prg: &mut Prg) -> u128 {
    let noise = (prg.word::<u128>() >> 58).wrapping_sub(1 << 69);
    let mask = zero_mask(sharing_id, kind, bits.len());
    let terms = mask.chunks_exact(16).zip(bits);
    terms.fold(noise, |sum, (word, bit)| sum.wrapping_add(u128::load(word).wrapping_mul(*bit)))
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
impl KeyShares {
    /// As if these shares had come with the encryptions of zero of other ones.
    pub fn take_zeros_of(&mut self, other: &Self) {
        self.zeros = other.zeros;
    }

    /// Adds X^`coefficient` to every element of the share of a key.
    pub fn add_to_all(&mut self, kind: KeyKind, coefficient: usize) {
        self.keys[kind as usize]
            .chunks_exact_mut(DEGREE)
            .for_each(|element| element[coefficient] = element[coefficient].wrapping_add(1));
    }
}

fn read(bytes: &[u8]) -> Result<KeyShares> {
    let mut reader = Reader::open(bytes, NAME)?;
    reader.version("the object", 0)?;
    let params = Params::from_number(reader.u32()?)?;
    let (n, t, party) = (reader.u32()? as usize, reader.u32()? as usize, reader.u32()?);
    let provenance = ShareProvenance::from_number(reader.u32()?)?;
    let id = reader.array()?;
    let tag = reader.byte_string()?.to_vec();
    let metadata = reader.byte_string()?.to_vec();
    if tag.len() > MAX_TAG_SIZE || metadata.len() > MAX_METADATA_SIZE {
        return Err(EngineError::key("the tag or the metadata is too long"));
    }
    let mut keys: [Words<u128>; KINDS] = Default::default();
    for key in &mut keys {
        let count = usize::try_from(reader.u64()?).unwrap_or(usize::MAX);
        let size = count.checked_mul(ELEMENT_SIZE).ok_or_else(|| EngineError::key("a length overflows"))?;
        let words = reader.take(size)?;
        key.reserve_exact(count * DEGREE);
        key.extend(words.chunks_exact(16).map(u128::load));
    }
    let mut zeros = [0; ZERO_KINDS.len()];
    for body in &mut zeros {
        *body = u128::from_le_bytes(reader.array()?);
    }
    reader.finish()?;
    let party = u8::try_from(party).map_err(|_| EngineError::key("a party's number is at most 15"))?;
    KeyShares::new(Sharing { params, n, t, id, provenance, tag }, party, metadata, keys, zeros)
}
