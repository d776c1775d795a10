//! The secret face: decryption for the public and for one user.
//!
//! Ciphertexts are read where JavaScript has them, without a copy; its references are given back on its own thread.
//! Plaintexts of a public decryption are copied out and wiped here; those of a user decryption never leave in clear.

use std::sync::Arc;

use napi::bindgen_prelude::{AsyncTask, Uint8Array, Uint8ArraySlice};
use napi::{Env, ScopedTask};
use napi_derive::napi;
use zeroize::Zeroizing;

use super::bind_secret::FheKeyHandle;
use super::key::FheSecretKey;
use super::types::{FheType, Format};
use crate::crypto::bindings::NativeNodeKey;
use crate::crypto::enc_key::EncKey;
use crate::crypto::node_key::NodeKeyInner;
use crate::crypto::signcrypt::signcrypt;
use crate::errors::{EngineError, Result, guarded};

/// One ciphertext of a request. The bytes are borrowed until the promise settles.
#[napi(object, object_to_js = false)]
pub struct CiphertextItem {
    pub ciphertext: Uint8Array,
    pub fhe_type: i32,
    pub format: i32,
}

/// Who a user decryption is for.
#[napi(object, object_to_js = false)]
pub struct Recipient {
    pub enc_key: Uint8Array,
    pub client_address: Uint8Array,
    pub link: Uint8Array,
}

/// [`Recipient`], checked, and the key that signs.
pub struct Seal {
    node_key: Arc<NodeKeyInner>,
    enc_key: EncKey,
    client_address: [u8; 20],
    link: [u8; 32],
}

impl Seal {
    pub fn new(node_key: &NativeNodeKey, recipient: &Recipient) -> Result<Self> {
        Ok(Self {
            node_key: node_key.inner()?,
            enc_key: EncKey::parse(&recipient.enc_key)?,
            client_address: fixed(&recipient.client_address, "the client address")?,
            link: fixed(&recipient.link, "the link")?,
        })
    }

    /// Signs and encrypts one plaintext or share.
    pub fn signcrypt(&self, plaintext: &[u8], fhe_type: FheType) -> Result<Zeroizing<Vec<u8>>> {
        let Self { node_key, enc_key, client_address, link } = self;
        signcrypt(node_key, plaintext, fhe_type.number(), link, client_address, enc_key).map(Zeroizing::new)
    }
}

/// A decryption on the thread pool.
pub struct Decryption {
    key: Arc<FheSecretKey>,
    items: Vec<CiphertextItem>,
    seal: Option<Seal>,
}

type Outputs = Vec<Zeroizing<Vec<u8>>>;

impl Decryption {
    fn run(&self) -> Result<Outputs> {
        self.items.iter().map(|item| self.one(item)).collect()
    }

    fn one(&self, item: &CiphertextItem) -> Result<Zeroizing<Vec<u8>>> {
        let (fhe_type, format) = (FheType::parse(item.fhe_type)?, Format::parse(item.format)?);
        let plaintext = self.key.decryption.decrypt(&item.ciphertext, fhe_type, format)?;
        match &self.seal {
            None => Ok(plaintext),
            Some(seal) => seal.signcrypt(&plaintext, fhe_type),
        }
    }
}

/// Copies plaintexts or shares out; they are wiped here.
pub fn copy_out<'e>(env: &'e Env, outputs: Outputs) -> napi::Result<Vec<Uint8ArraySlice<'e>>> {
    outputs.iter().map(|bytes| Uint8ArraySlice::copy_from(env, bytes.as_slice())).collect()
}

impl<'task> ScopedTask<'task> for Decryption {
    type Output = Outputs;
    type JsValue = Vec<Uint8ArraySlice<'task>>;

    fn compute(&mut self) -> napi::Result<Outputs> {
        Ok(guarded("decryption", || self.run())?)
    }

    fn resolve(&mut self, env: &'task Env, outputs: Outputs) -> napi::Result<Vec<Uint8ArraySlice<'task>>> {
        copy_out(env, outputs)
    }
}

/// Decrypts on the thread pool.
#[napi]
pub fn public_decrypt(key: &FheKeyHandle, items: Vec<CiphertextItem>) -> napi::Result<AsyncTask<Decryption>> {
    Ok(AsyncTask::new(Decryption { key: key.get()?, items, seal: None }))
}

/// Decrypts on the calling thread.
#[napi]
pub fn public_decrypt_sync<'e>(
    env: &'e Env,
    key: &FheKeyHandle,
    items: Vec<CiphertextItem>,
) -> napi::Result<Vec<Uint8ArraySlice<'e>>> {
    let decryption = Decryption { key: key.get()?, items, seal: None };
    copy_out(env, guarded("decryption", || decryption.run())?)
}

/// Bytes of one length.
pub fn fixed<const N: usize>(bytes: &[u8], what: &str) -> Result<[u8; N]> {
    bytes.try_into().map_err(|_| EngineError::request(format!("{what} has {} bytes and should have {N}", bytes.len())))
}

fn user_decryption(
    key: &FheKeyHandle,
    node_key: &NativeNodeKey,
    items: Vec<CiphertextItem>,
    recipient: &Recipient,
) -> Result<Decryption> {
    let seal = Seal::new(node_key, recipient)?;
    Ok(Decryption { key: key.get()?, items, seal: Some(seal) })
}

/// Decrypts for one user on the thread pool: plaintexts leave signed and encrypted, never in clear.
#[napi]
pub fn user_decrypt(
    key: &FheKeyHandle,
    node_key: &NativeNodeKey,
    items: Vec<CiphertextItem>,
    recipient: Recipient,
) -> napi::Result<AsyncTask<Decryption>> {
    let decryption = guarded("decryption", || user_decryption(key, node_key, items, &recipient))?;
    Ok(AsyncTask::new(decryption))
}

/// [`user_decrypt`] on the calling thread.
#[napi]
pub fn user_decrypt_sync<'e>(
    env: &'e Env,
    key: &FheKeyHandle,
    node_key: &NativeNodeKey,
    items: Vec<CiphertextItem>,
    recipient: Recipient,
) -> napi::Result<Vec<Uint8ArraySlice<'e>>> {
    let outputs = guarded("decryption", || user_decryption(key, node_key, items, &recipient)?.run())?;
    copy_out(env, outputs)
}
