//! The secret face: handles to whole keys, generation, decryption. Only the engine process loads it.

use std::sync::Arc;

use napi::bindgen_prelude::{AsyncTask, Uint8Array};
use napi_derive::napi;

use super::generate::{self, Layout, Objects};
use super::key::FheSecretKey;
use super::params::Params;
use super::types::{FheType, Format};
use crate::bytes::NativeBytes;
use crate::errors::{EngineError, Result, guarded};
use crate::task::{Job, spawn};

/// A whole FHE secret key. JavaScript sees its parameters and tag, never its bits.
#[napi]
pub struct FheKeyHandle {
    key: Option<Arc<FheSecretKey>>,
}

impl FheKeyHandle {
    fn new(key: FheSecretKey) -> Self {
        Self { key: Some(Arc::new(key)) }
    }

    pub fn get(&self) -> Result<&Arc<FheSecretKey>> {
        self.key.as_ref().ok_or_else(|| EngineError::internal("this key was disposed of"))
    }
}

#[napi]
impl FheKeyHandle {
    #[napi(getter)]
    pub fn params(&self) -> napi::Result<&'static str> {
        Ok(self.get()?.params.name())
    }

    #[napi(getter)]
    pub fn tag(&self) -> napi::Result<Uint8Array> {
        Ok(Uint8Array::with_data_copied(&self.get()?.tag))
    }

    /// Forgets the key. It is wiped as soon as no running decryption uses it.
    #[napi]
    pub fn dispose(&mut self) {
        self.key = None;
    }
}

/// One public object of a generation.
#[napi(object, object_from_js = false)]
pub struct GeneratedObject {
    pub kind: String,
    pub bytes: NativeBytes,
}

/// What a key generation gives.
#[napi(object, object_from_js = false)]
pub struct GeneratedKeySet {
    pub key: FheKeyHandle,
    pub objects: Vec<GeneratedObject>,
}

fn wrap(objects: Objects) -> Vec<GeneratedObject> {
    objects
        .into_iter()
        .map(|(kind, bytes)| GeneratedObject { kind: kind.to_owned(), bytes: NativeBytes::from_vec(bytes) })
        .collect()
}

/// Makes a key set; with `existing`, new public objects for that secret key.
#[napi]
pub fn generate_key_set(
    params: String,
    tag: Uint8Array,
    layout: String,
    existing: Option<&FheKeyHandle>,
) -> napi::Result<AsyncTask<Job<GeneratedKeySet>>> {
    let (params, layout) = (Params::parse(&params)?, Layout::parse(&layout)?);
    let existing = existing.map(|handle| handle.get().cloned()).transpose()?;
    let tag = tag.to_vec();
    Ok(spawn("key generation", move || {
        let (key, objects) = generate::key_set(params, tag, layout, existing.as_deref())?;
        Ok(GeneratedKeySet { key: FheKeyHandle::new(key), objects: wrap(objects) })
    }))
}

/// Makes the key that turns lists compressed under `from` into ciphertexts under `to`.
#[napi]
pub fn generate_decompression_key(
    from: &FheKeyHandle,
    to: &FheKeyHandle,
) -> napi::Result<AsyncTask<Job<NativeBytes>>> {
    let (from, to) = (from.get()?.clone(), to.get()?.clone());
    Ok(spawn("key generation", move || Ok(NativeBytes::from_vec(generate::decompression_key(&from, &to)?))))
}

/// Makes a CRS for proofs over at most `max_num_bits` bits.
#[napi]
pub fn generate_crs(params: String, max_num_bits: u32) -> napi::Result<AsyncTask<Job<NativeBytes>>> {
    let params = Params::parse(&params)?;
    Ok(spawn("CRS generation", move || Ok(NativeBytes::from_vec(generate::crs(params, max_num_bits)?))))
}

/// One ciphertext of a request. The bytes are borrowed until the promise settles.
#[napi(object, object_to_js = false)]
pub struct CiphertextItem {
    pub ciphertext: Uint8Array,
    pub fhe_type: i32,
    pub format: i32,
}

fn decrypt_all(key: &FheSecretKey, items: &[CiphertextItem]) -> Result<Vec<Uint8Array>> {
    items
        .iter()
        .map(|item| {
            let (fhe_type, format) = (FheType::parse(item.fhe_type)?, Format::parse(item.format)?);
            let plaintext = key.decryption.decrypt(&item.ciphertext, fhe_type, format)?;
            Ok(Uint8Array::with_data_copied(&*plaintext))
        })
        .collect()
}

/// Decrypts on the thread pool.
#[napi]
pub fn public_decrypt(
    key: &FheKeyHandle,
    items: Vec<CiphertextItem>,
) -> napi::Result<AsyncTask<Job<Vec<Uint8Array>>>> {
    let key = key.get()?.clone();
    Ok(spawn("decryption", move || decrypt_all(&key, &items)))
}

/// Decrypts on the calling thread.
#[napi]
pub fn public_decrypt_sync(key: &FheKeyHandle, items: Vec<CiphertextItem>) -> napi::Result<Vec<Uint8Array>> {
    let key = key.get()?;
    Ok(guarded("decryption", || decrypt_all(key, &items))?)
}
