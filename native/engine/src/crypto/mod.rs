//! Signatures, hashes and user-decryption encryption: everything of the hot path that is not FHE.
//!
//! Secret inputs are the node's signing scalar (`NodeKeyInner`), the plaintexts handed to `signcrypt` and the
//! shared secrets made there. All of them are wiped; none of them has a printable form.

pub mod bindings;
pub mod derived;
pub mod enc_key;
pub mod hash;
pub mod node_key;
pub mod purpose;
pub mod secp;
pub mod signcrypt;

use crate::errors::{EngineError, Result};

/// Fills `out` from the operating system's generator, the one source of randomness in this crate's cryptography.
pub fn fill_random(out: &mut [u8]) -> Result<()> {
    getrandom::fill(out).map_err(|_| EngineError::internal("the operating system's random generator failed"))
}
