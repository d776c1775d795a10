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

#[cfg(test)]
mod tests {
    use ml_kem::kem::Decapsulate;
    use ml_kem::{EncodedSizeUser, KemCore, MlKem512};

    use super::*;
    use crate::crypto::enc_key::PREFIX;
    use crate::crypto::hash::sha256;
    use crate::crypto::secp;

    #[test]
    fn opens_to_the_signed_message() {
        let node = NodeKeyInner::from_bytes(&[7; 32]).unwrap();
        let (secret, public) = MlKem512::generate_deterministic(&[1; 32].into(), &[2; 32].into());
        let ek = EncKey::parse(&[&PREFIX[..], &public.as_bytes()].concat()).unwrap();
        let out = signcrypt(&node, &[5; 8], 5, &[6; 32], &[9; 20], &ek).unwrap();

        let (nonce, rest) = out.split_at(NONCE_SIZE);
        assert_eq!(&rest[..8], &768u64.to_le_bytes());
        let shared = secret.decapsulate(&rest[8..776].try_into().unwrap()).unwrap();
        assert_eq!(&rest[776..784], &((rest.len() - 784) as u64).to_le_bytes());
        let (sealed, tag) = rest[784..].split_at(rest.len() - 784 - AEAD_TAG_SIZE);
        let mut inner = sealed.to_vec();
        let cipher = Aes256Gcm::new_from_slice(&shared).unwrap();
        cipher.decrypt_in_place_detached(nonce.into(), &[], &mut inner, tag.into()).unwrap();

        let message = [&8u64.to_le_bytes()[..], &[5; 8], &5i32.to_le_bytes(), &32u64.to_le_bytes(), &[6; 32]].concat();
        let (signed, signer) = inner.split_at(inner.len() - 32);
        assert_eq!(signer, node.signcryption_digest());
        assert_eq!(&signed[..message.len()], &message);
        let digest = sha256(&[TAG, &message, &[9; 20], ek.signcryption_digest()]);
        assert!(secp::verify(&node.public().serialize(), digest, &signed[message.len()..]).unwrap());
    }

    #[test]
    fn refuses_a_plaintext_as_long_as_a_key() {
        let node = NodeKeyInner::from_bytes(&[7; 32]).unwrap();
        let (_, public) = MlKem512::generate_deterministic(&[1; 32].into(), &[2; 32].into());
        let ek = EncKey::parse(&[&PREFIX[..], &public.as_bytes()].concat()).unwrap();
        for size in KEY_SIZES {
            assert!(signcrypt(&node, &vec![0; size], 5, &[0; 32], &[0; 20], &ek).is_err(), "{size}");
        }
    }
}
