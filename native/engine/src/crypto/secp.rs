//! ECDSA over secp256k1 by libsecp256k1: deterministic (RFC 6979), low-s, 64-byte `r || s` and 65-byte `r || s || v`.
//!
//! The scalar is secret; libsecp256k1 works on it in constant time, behind a context blinded at first use.
//! Spec: kms-service 4.1 to 4.3.

use std::sync::OnceLock;

use secp256k1::ecdsa::{RecoverableSignature, RecoveryId, Signature};
use secp256k1::{All, Message, PublicKey, Secp256k1, SecretKey};

use super::{fill_random, hash::keccak256};
use crate::errors::{EngineError, Result};

/// The process-wide context. Blinding is a second line of defence, so a failing generator does not stop it.
pub fn context() -> &'static Secp256k1<All> {
    static CONTEXT: OnceLock<Secp256k1<All>> = OnceLock::new();
    CONTEXT.get_or_init(|| {
        let mut context = Secp256k1::new();
        let mut seed = zeroize::Zeroizing::new([0; 32]);
        if fill_random(&mut seed[..]).is_ok() {
            context.seeded_randomize(&seed);
        }
        context
    })
}

/// Signs a 32-byte digest; `r || s`.
pub fn sign(secret: &SecretKey, digest: [u8; 32]) -> [u8; 64] {
    context().sign_ecdsa(Message::from_digest(digest), secret).serialize_compact()
}

/// Signs a 32-byte digest for Ethereum: `r || s || v` with v 27 or 28.
pub fn sign_recoverable(secret: &SecretKey, digest: [u8; 32]) -> [u8; 65] {
    let (id, compact) = context().sign_ecdsa_recoverable(Message::from_digest(digest), secret).serialize_compact();
    let mut out = [0; 65];
    out[..64].copy_from_slice(&compact);
    out[64] = 27 + (i32::from(id) as u8 & 1);
    out
}

/// Signs a 32-byte digest; ASN.1 DER, for certificates.
pub fn sign_der(secret: &SecretKey, digest: [u8; 32]) -> Vec<u8> {
    context().sign_ecdsa(Message::from_digest(digest), secret).serialize_der().to_vec()
}

/// Whether `signature` (`r || s`, low-s only) is `key`'s over `digest`.
///
/// An unreadable key is an error, an unreadable or high-s signature is merely not valid.
pub fn verify(key: &[u8], digest: [u8; 32], signature: &[u8]) -> Result<bool> {
    let key = parse_public(key)?;
    let Ok(signature) = Signature::from_compact(signature) else { return Ok(false) };
    Ok(context().verify_ecdsa(Message::from_digest(digest), &signature, &key).is_ok())
}

/// The Ethereum address that signed `digest`. Takes v 27 or 28 and low-s only, as Solidity libraries do.
pub fn recover(digest: [u8; 32], signature: &[u8]) -> Result<[u8; 20]> {
    let invalid = |what: &str| EngineError::request(format!("signature {what}"));
    if signature.len() != 65 {
        return Err(invalid(&format!("must be 65 bytes, is {}", signature.len())));
    }
    let id = match signature[64] {
        27 => RecoveryId::Zero,
        28 => RecoveryId::One,
        _ => return Err(invalid("must end in v = 27 or 28")),
    };
    let parsed = RecoverableSignature::from_compact(&signature[..64], id).map_err(|_| invalid("is out of range"))?;
    let standard = parsed.to_standard();
    let mut normalized = standard;
    normalized.normalize_s();
    if normalized != standard {
        return Err(invalid("has a high s"));
    }
    let key = context()
        .recover_ecdsa(Message::from_digest(digest), &parsed)
        .map_err(|_| invalid("does not belong to any key"))?;
    Ok(address(&key))
}

/// Reads a compressed (33-byte) or uncompressed (65-byte) public key.
pub fn parse_public(bytes: &[u8]) -> Result<PublicKey> {
    PublicKey::from_slice(bytes).map_err(|_| EngineError::key("not a secp256k1 public key"))
}

/// Last 20 bytes of Keccak-256 over the uncompressed point without its prefix.
pub fn address(key: &PublicKey) -> [u8; 20] {
    let mut out = [0; 20];
    out.copy_from_slice(&keccak256(&key.serialize_uncompressed()[1..])[12..]);
    out
}
