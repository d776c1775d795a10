//! A user's ML-KEM-512 encapsulation key as a request carries it (spec 5.1).
//!
//! Stricter than the peer: exactly 869 bytes, the exact prefix, and every coefficient canonical (below q).

use ml_kem::array::Array;
use ml_kem::{EncapsulateDeterministic, EncodedSizeUser, MlKem512Params};
use zeroize::{Zeroize, Zeroizing};

use super::hash::shake256;
use crate::errors::{EngineError, Result};

/// Length of a request's `enc_key`.
pub const ENC_KEY_SIZE: usize = PREFIX.len() + RAW_SIZE;
/// Length of an ML-KEM-512 ciphertext.
pub const KEM_CIPHERTEXT_SIZE: usize = 768;

const RAW_SIZE: usize = 800;
/// The coefficients; the last 32 bytes are the matrix seed, of which every value is allowed.
const PACKED_SIZE: usize = 768;
const Q: u16 = 3329;

/// Safe serialization header of `UnifiedPublicEncKey`, version 0, variant ML-KEM-512, length 800.
pub(super) const PREFIX: &[u8; 69] =
    b"\x03\0\0\0\0\0\0\x000.5\0\0\0\0\x03\0\0\0\0\0\0\x000.1\x13\0\0\0\0\0\0\0UnifiedPublicEncKey\
    \0\0\0\0\0\0\0\0\x20\x03\0\0\0\0\0\0";

/// A checked encapsulation key.
#[derive(Debug)]
pub struct EncKey {
    key: ml_kem::kem::EncapsulationKey<MlKem512Params>,
    signcryption_digest: [u8; 32],
}

impl EncKey {
    /// Reads and checks a request's `enc_key`.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let invalid = |what: String| EngineError::key(format!("enc_key {what}"));
        if bytes.len() != ENC_KEY_SIZE {
            return Err(invalid(format!("must be {ENC_KEY_SIZE} bytes, is {}", bytes.len())));
        }
        let (prefix, raw) = bytes.split_at(PREFIX.len());
        if prefix != PREFIX {
            return Err(invalid("is not a safe-serialized ML-KEM-512 UnifiedPublicEncKey".into()));
        }
        if !canonical(&raw[..PACKED_SIZE]) {
            return Err(invalid(format!("has a coefficient of {Q} or more")));
        }
        let encoded = Array::try_from(raw).map_err(|_| invalid(format!("must hold {RAW_SIZE} key bytes")))?;
        Ok(Self {
            key: ml_kem::kem::EncapsulationKey::from_bytes(&encoded),
            signcryption_digest: shake256(&[b"SIGNCRYP", &(RAW_SIZE as u64).to_le_bytes(), raw]),
        })
    }

    /// `D_ek` of spec 5.3: how a signature binds the receiver's key.
    pub fn signcryption_digest(&self) -> &[u8; 32] {
        &self.signcryption_digest
    }

    /// Encapsulates a secret from 32 fresh random bytes; the secret is wiped when dropped.
    pub fn encapsulate(&self, randomness: &[u8; 32]) -> Result<([u8; KEM_CIPHERTEXT_SIZE], Zeroizing<[u8; 32]>)> {
        let mut message = Array::from(*randomness);
        let result = self.key.encapsulate_deterministic(&message);
        message.as_mut_slice().zeroize();
        let (ciphertext, mut shared) = result.map_err(|()| EngineError::internal("ML-KEM-512 encapsulation failed"))?;
        let mut secret = Zeroizing::new([0; 32]);
        secret.copy_from_slice(shared.as_slice());
        shared.as_mut_slice().zeroize();
        let mut out = [0; KEM_CIPHERTEXT_SIZE];
        out.copy_from_slice(ciphertext.as_slice());
        Ok((out, secret))
    }
}

/// Whether all 12-bit little-endian packed coefficients are below q (FIPS 203, 7.2).
fn canonical(packed: &[u8]) -> bool {
    packed.chunks_exact(3).all(|three| {
        let low = u16::from(three[0]) | (u16::from(three[1] & 0x0f) << 8);
        let high = u16::from(three[1] >> 4) | (u16::from(three[2]) << 4);
        low < Q && high < Q
    })
}
