//! The keys derived from the node's scalar for Arca's own signatures, one per purpose (docs/security/signatures.md).
//!
//! `seed = SHAKE256("ARCAKEYS" || u64le(len(purpose)) || purpose || 0x01 || scalar)[..32]`, the private key of Ed25519.
//! No seed leaves this file; published keys come from another tag (`derived.rs`), so no two seeds can be equal.

use ed25519_dalek::{Signer as _, SigningKey};
use sha3::Shake256;
use sha3::digest::{ExtendableOutput, Update, XofReader};
use zeroize::Zeroizing;

use super::node_key::NodeKeyInner;
use crate::errors::{EngineError, Result};

/// The purposes that exist; a key for any other would be one that no table names.
const PURPOSES: [&str; 4] = ["mesh", "manifest", "object", "record"];

fn signing_key(key: &NodeKeyInner, purpose: &str) -> Result<SigningKey> {
    if !PURPOSES.contains(&purpose) {
        return Err(EngineError::request("no key is derived for this purpose, only mesh, manifest, object and record"));
    }
    let mut hasher = Shake256::default();
    hasher.update(b"ARCAKEYS");
    hasher.update(&(purpose.len() as u64).to_le_bytes());
    hasher.update(purpose.as_bytes());
    hasher.update(&[1]);
    hasher.update(&key.secret_bytes()[..]);
    let mut seed = Zeroizing::new([0; 32]);
    hasher.finalize_xof().read(&mut seed[..]);
    Ok(SigningKey::from_bytes(&seed))
}

/// The public key of a purpose.
pub fn public_key(key: &NodeKeyInner, purpose: &str) -> Result<[u8; 32]> {
    Ok(signing_key(key, purpose)?.verifying_key().to_bytes())
}

/// Signs `message` itself (no digest) with the key of a purpose.
pub fn sign(key: &NodeKeyInner, purpose: &str, message: &[u8]) -> Result<[u8; 64]> {
    Ok(signing_key(key, purpose)?.sign(message).to_bytes())
}
