//! The node's identity: one secp256k1 scalar, and what follows from it publicly.
//!
//! The scalar is secret: it is held in one heap place, erased when the last user lets go of it.

use secp256k1::{PublicKey, SecretKey};
use zeroize::Zeroizing;

use super::hash::{sha256, shake256};
use super::{fill_random, secp};
use crate::errors::{EngineError, Result};

/// A signing key with its public parts computed once.
pub struct NodeKeyInner {
    secret: Box<SecretKey>,
    public: PublicKey,
    address: [u8; 20],
    signcryption_digest: [u8; 32],
}

impl NodeKeyInner {
    /// A fresh key from the operating system's generator.
    pub fn generate() -> Result<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        loop {
            fill_random(&mut bytes[..])?;
            // Zero or at least the group order: one in 2^128.
            if let Ok(key) = Self::from_bytes(&bytes[..]) {
                return Ok(key);
            }
        }
    }

    /// Reads a 32-byte big-endian scalar in `[1, n)`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let invalid = || EngineError::key("a signing key is a 32-byte scalar between 1 and n - 1");
        let scalar = Zeroizing::new(<[u8; 32]>::try_from(bytes).map_err(|_| invalid())?);
        let secret = Box::new(SecretKey::from_byte_array(*scalar).map_err(|_| invalid())?);
        let public = secret.public_key(secp::context());
        let signcryption_digest = shake256(&[b"SIGNCRYP", &33u64.to_le_bytes(), &public.serialize()]);
        Ok(Self { address: secp::address(&public), secret, public, signcryption_digest })
    }

    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub fn address(&self) -> &[u8; 20] {
        &self.address
    }

    /// `D_vk` of spec 5.3: how a signcrypted plaintext names its signer.
    pub fn signcryption_digest(&self) -> &[u8; 32] {
        &self.signcryption_digest
    }

    /// The scalar, for the vault alone.
    pub fn secret_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.secret.secret_bytes())
    }

    /// `r || s` over SHA-256 of the parts.
    pub fn sign_sha256(&self, parts: &[&[u8]]) -> [u8; 64] {
        secp::sign(&self.secret, sha256(parts))
    }

    /// `r || s || v` over a digest.
    pub fn sign_digest(&self, digest: [u8; 32]) -> [u8; 65] {
        secp::sign_recoverable(&self.secret, digest)
    }

    /// Signs answers that lie one after the other, `lengths` bytes each: a digest and then tagged bytes.
    ///
    /// Gives for each `r || s || v` over the digest and `r || s` over SHA-256 of the tagged bytes.
    pub fn sign_answers(&self, mut answers: &[u8], lengths: &[u32]) -> Result<Vec<u8>> {
        let mut signatures = Vec::with_capacity(lengths.len() * (65 + 64));
        for &length in lengths {
            let cut =
                || EngineError::request("an answer to sign must be a digest of 32 bytes and what it is tagged with");
            let (answer, rest) = answers.split_at_checked(length as usize).ok_or_else(cut)?;
            let (digest, tagged) = answer.split_first_chunk::<32>().ok_or_else(cut)?;
            signatures.extend_from_slice(&self.sign_digest(*digest));
            signatures.extend_from_slice(&self.sign_sha256(&[tagged]));
            answers = rest;
        }
        Ok(signatures)
    }

    /// DER over a digest.
    pub fn sign_der(&self, digest: [u8; 32]) -> Vec<u8> {
        secp::sign_der(&self.secret, digest)
    }
}

impl Drop for NodeKeyInner {
    fn drop(&mut self) {
        self.secret.non_secure_erase();
    }
}
