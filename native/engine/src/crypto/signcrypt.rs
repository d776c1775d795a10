//! Signs, then encrypts one plaintext for one user (spec 5.3 and 5.4).
//!
//! Secret: the plaintext, the signing scalar, the shared secret and the randomness; all copies made here are wiped.

use aes_gcm::{AeadInPlace, Aes256Gcm, KeyInit};
use zeroize::Zeroizing;

use super::enc_key::{EncKey, KEM_CIPHERTEXT_SIZE};
use super::fill_random;
use super::node_key::NodeKeyInner;
use crate::errors::{EngineError, Result};

const TAG: &[u8; 8] = b"USER_DEC";
const NONCE_SIZE: usize = 12;
const AEAD_TAG_SIZE: usize = 16;
/// Length of a signer's compressed key, and of the `verification_key` field that holds it with a length before it.
const KEY_SIZES: [usize; 2] = [33, 41];

/// Returns `nonce || u64 768 || kem ciphertext || u64 length || AES-256-GCM ciphertext and tag`.
///
/// Draws 44 bytes from the operating system: the encapsulation randomness, then the nonce.
pub fn signcrypt(
    node_key: &NodeKeyInner,
    plaintext: &[u8],
    fhe_type: i32,
    link: &[u8; 32],
    client_address: &[u8; 20],
    ek: &EncKey,
) -> Result<Vec<u8>> {
    let mut message = Zeroizing::new([0; 32]);
    let mut nonce = [0; NONCE_SIZE];
    fill_random(&mut message[..])?;
    fill_random(&mut nonce)?;
    let inner = signed(node_key, plaintext, fhe_type, link, client_address, ek)?;
    encrypt(inner, ek, &message, nonce)
}

/// `msg || signature || digest of the signer's key`, in a buffer wiped when dropped.
fn signed(
    node_key: &NodeKeyInner,
    plaintext: &[u8],
    fhe_type: i32,
    link: &[u8; 32],
    client_address: &[u8; 20],
    ek: &EncKey,
) -> Result<Zeroizing<Vec<u8>>> {
    // The response's own signature has the same tag and starts with the length of a key: no plaintext may be that long.
    if KEY_SIZES.contains(&plaintext.len()) {
        return Err(EngineError::internal("a plaintext may not have the length of a verification key"));
    }
    let capacity = 8 + plaintext.len() + 4 + 8 + link.len() + 64 + 32;
    let mut inner = Zeroizing::new(Vec::with_capacity(capacity));
    inner.extend_from_slice(&(plaintext.len() as u64).to_le_bytes());
    inner.extend_from_slice(plaintext);
    inner.extend_from_slice(&fhe_type.to_le_bytes());
    inner.extend_from_slice(&(link.len() as u64).to_le_bytes());
    inner.extend_from_slice(link);
    let signature = node_key.sign_sha256(&[TAG, &inner, client_address, ek.signcryption_digest()]);
    inner.extend_from_slice(&signature);
    inner.extend_from_slice(node_key.signcryption_digest());
    Ok(inner)
}

fn encrypt(mut inner: Zeroizing<Vec<u8>>, ek: &EncKey, message: &[u8; 32], nonce: [u8; NONCE_SIZE]) -> Result<Vec<u8>> {
    let (kem_ciphertext, secret) = ek.encapsulate(message)?;
    let tag = Aes256Gcm::new((&*secret).into())
        .encrypt_in_place_detached(&nonce.into(), &[], &mut inner)
        .map_err(|_| EngineError::internal("AES-256-GCM refused a plaintext"))?;
    let mut out = Vec::with_capacity(NONCE_SIZE + 8 + KEM_CIPHERTEXT_SIZE + 8 + inner.len() + AEAD_TAG_SIZE);
    out.extend_from_slice(&nonce);
    out.extend_from_slice(&(KEM_CIPHERTEXT_SIZE as u64).to_le_bytes());
    out.extend_from_slice(&kem_ciphertext);
    out.extend_from_slice(&((inner.len() + AEAD_TAG_SIZE) as u64).to_le_bytes());
    out.extend_from_slice(&inner);
    out.extend_from_slice(&tag);
    Ok(out)
}
