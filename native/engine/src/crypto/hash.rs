//! Keccak-256, SHA-256 and the 32-byte SHAKE256 hashes of the published formats (spec 3.4), and BLAKE3 for ours.
//!
//! A domain hash is `SHAKE256(8-byte tag || data)` cut to 32 bytes. Everything hashed here is public.

use std::sync::{Arc, Mutex};

use sha2::Sha256;
use sha3::digest::{ExtendableOutput, Update, XofReader};
use sha3::{Digest, Keccak256, Shake256};

/// Keccak-256 as Ethereum uses it (the original padding, not SHA3-256).
pub fn keccak256(bytes: &[u8]) -> [u8; 32] {
    Keccak256::digest(bytes).into()
}

/// SHA-256 of the parts one after another.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        Digest::update(&mut hasher, part);
    }
    hasher.finalize().into()
}

/// BLAKE3, 32 bytes.
pub fn blake3(bytes: &[u8]) -> [u8; 32] {
    blake3::hash(bytes).into()
}

/// SHAKE256 of the parts one after another, first 32 bytes; with a tag as first part this is a domain hash.
pub fn shake256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Shake256::default();
    for part in parts {
        hasher.update(part);
    }
    finish(hasher)
}

fn finish(hasher: Shake256) -> [u8; 32] {
    let mut out = [0; 32];
    hasher.finalize_xof().read(&mut out);
    out
}

/// A SHAKE256 state that several threads may feed, one after another; `None` once it was finished.
#[derive(Clone)]
pub struct SharedDigest(Arc<Mutex<Option<Shake256>>>);

impl Default for SharedDigest {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Some(Shake256::default()))))
    }
}

impl SharedDigest {
    /// Absorbs `bytes`; false if the digest was finished already.
    pub fn update(&self, bytes: &[u8]) -> bool {
        let mut state = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match state.as_mut() {
            Some(hasher) => {
                hasher.update(bytes);
                true
            }
            None => false,
        }
    }

    /// The 32 bytes of everything absorbed; `None` if the digest was finished already.
    pub fn finish(&self) -> Option<[u8; 32]> {
        let mut state = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        state.take().map(finish)
    }
}
