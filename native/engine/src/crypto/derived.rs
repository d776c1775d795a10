//! The keys derived from the node's scalar for the other signature schemes (spec 4.7).
//!
//! `seed = SHAKE256("SIGKDERV" || i32le(scheme) || 0x01 || scalar)[..32]`. Ed25519 takes the seed as private key,
//! ML-DSA as FIPS-204 key generation seed. Signatures are deterministic; ML-DSA uses an empty context and rnd = 0.

use ed25519_dalek::Signer as _;
use fips204::traits::{KeyGen, SerDes, Signer as _};
use fips204::{ml_dsa_44, ml_dsa_65, ml_dsa_87};
use sha3::Shake256;
use sha3::digest::{ExtendableOutput, Update, XofReader};
use zeroize::Zeroizing;

use super::node_key::NodeKeyInner;
use crate::errors::{EngineError, Result};

/// A scheme of the published `SigningSchemeType` other than secp256k1 ECDSA (number 0).
#[derive(Clone, Copy)]
pub enum Scheme {
    Ed25519 = 1,
    MlDsa44 = 2,
    MlDsa65 = 3,
    MlDsa87 = 4,
}

impl Scheme {
    pub fn from_number(number: u32) -> Result<Self> {
        match number {
            1 => Ok(Self::Ed25519),
            2 => Ok(Self::MlDsa44),
            3 => Ok(Self::MlDsa65),
            4 => Ok(Self::MlDsa87),
            _ => Err(EngineError::request(format!("no derived key for signing scheme {number}, only 1 to 4"))),
        }
    }
}

fn seed(key: &NodeKeyInner, scheme: Scheme) -> Zeroizing<[u8; 32]> {
    let mut hasher = Shake256::default();
    hasher.update(b"SIGKDERV");
    hasher.update(&(scheme as i32).to_le_bytes());
    hasher.update(&[1]);
    hasher.update(&key.secret_bytes()[..]);
    let mut out = Zeroizing::new([0; 32]);
    hasher.finalize_xof().read(&mut out[..]);
    out
}

/// The encoded public key: 32, 1312, 1952 or 2592 bytes.
pub fn public_key(key: &NodeKeyInner, scheme: Scheme) -> Vec<u8> {
    let seed = seed(key, scheme);
    match scheme {
        Scheme::Ed25519 => ed25519_dalek::SigningKey::from_bytes(&seed).verifying_key().to_bytes().to_vec(),
        Scheme::MlDsa44 => ml_dsa_44::KG::keygen_from_seed(&seed).0.into_bytes().to_vec(),
        Scheme::MlDsa65 => ml_dsa_65::KG::keygen_from_seed(&seed).0.into_bytes().to_vec(),
        Scheme::MlDsa87 => ml_dsa_87::KG::keygen_from_seed(&seed).0.into_bytes().to_vec(),
    }
}

/// Signs `message` itself (no digest): 64, 2420, 3309 or 4627 bytes.
pub fn sign(key: &NodeKeyInner, scheme: Scheme, message: &[u8]) -> Result<Vec<u8>> {
    const DETERMINISTIC: [u8; 32] = [0; 32];
    let failed = |_| EngineError::internal("an ML-DSA signature could not be made");
    let seed = seed(key, scheme);
    Ok(match scheme {
        Scheme::Ed25519 => ed25519_dalek::SigningKey::from_bytes(&seed).sign(message).to_bytes().to_vec(),
        Scheme::MlDsa44 => {
            let secret = ml_dsa_44::KG::keygen_from_seed(&seed).1;
            secret.try_sign_with_seed(&DETERMINISTIC, message, &[]).map_err(failed)?.to_vec()
        }
        Scheme::MlDsa65 => {
            let secret = ml_dsa_65::KG::keygen_from_seed(&seed).1;
            secret.try_sign_with_seed(&DETERMINISTIC, message, &[]).map_err(failed)?.to_vec()
        }
        Scheme::MlDsa87 => {
            let secret = ml_dsa_87::KG::keygen_from_seed(&seed).1;
            secret.try_sign_with_seed(&DETERMINISTIC, message, &[]).map_err(failed)?.to_vec()
        }
    })
}
