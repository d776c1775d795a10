//! The secret face: handles to whole keys, generation, decryption. Only the engine process loads it.

use std::cell::RefCell;
use std::sync::Arc;

use napi::Env;
use napi::bindgen_prelude::{AsyncTask, Uint8Array, Uint8ArraySlice};
use napi_derive::napi;
use zeroize::Zeroizing;

use super::bind_decrypt::fixed;
use super::generate::{self, Layout, Objects};
use super::key::FheSecretKey;
use super::measure::measure;
use super::params::Params;
use super::private_object::{self, Provenance};
use crate::bytes::NativeBytes;
use crate::errors::{EngineError, Result, guarded};
use crate::task::{Job, spawn};

/// A whole FHE secret key. JavaScript sees its parameters and tag, never its bits.
#[napi]
pub struct FheKeyHandle {
    key: RefCell<Option<Arc<FheSecretKey>>>,
    provenance: Provenance,
    metadata: Vec<u8>,
}

impl FheKeyHandle {
    fn new(key: FheSecretKey, provenance: Provenance, metadata: Vec<u8>) -> Self {
        Self { key: RefCell::new(Some(Arc::new(key))), provenance, metadata }
    }

    pub fn get(&self) -> Result<Arc<FheSecretKey>> {
        self.key.borrow().clone().ok_or_else(|| EngineError::internal("this key was disposed of"))
    }
}

#[napi]
impl FheKeyHandle {
    #[napi(getter)]
    pub fn params(&self) -> napi::Result<&'static str> {
        Ok(self.get()?.params.name())
    }

    #[napi(getter)]
    pub fn tag<'e>(&self, env: &'e Env) -> napi::Result<Uint8ArraySlice<'e>> {
        Uint8ArraySlice::copy_from(env, &self.get()?.tag)
    }

    #[napi(getter)]
    pub fn provenance(&self) -> &'static str {
        self.provenance.name()
    }

    #[napi(getter)]
    pub fn metadata<'e>(&self, env: &'e Env) -> napi::Result<Uint8ArraySlice<'e>> {
        Uint8ArraySlice::copy_from(env, &self.metadata)
    }

    /// The stored form, secret bits included, in a buffer of its own that the caller wipes.
    #[napi]
    pub fn encode<'e>(&self, env: &'e Env, metadata: Uint8Array) -> napi::Result<Uint8ArraySlice<'e>> {
        let key = self.get()?;
        let object = guarded("writing a key", || private_object::encode(&key, self.provenance, &metadata))?;
        Uint8ArraySlice::copy_from(env, &*object)
    }

    /// Forgets the key. It is wiped as soon as no running decryption uses it.
    #[napi]
    pub fn dispose(&self) {
        self.key.replace(None);
    }
}

/// Reads the stored form of a key.
#[napi]
pub fn decode_fhe_key(bytes: Uint8Array) -> napi::Result<FheKeyHandle> {
    let object = guarded("reading a key", || private_object::decode(&bytes))?;
    Ok(FheKeyHandle::new(object.key, object.provenance, object.metadata))
}

/// Bytes that a library object takes at the start of others; a client key that is read for that is wiped.
#[napi]
pub fn measure_object(kind: String, bytes: &[u8]) -> napi::Result<f64> {
    Ok(guarded("measuring an object", || measure(&kind, bytes))? as f64)
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

/// Hands generated objects to JavaScript.
pub fn wrap(objects: Objects) -> Vec<GeneratedObject> {
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
    provenance: String,
    existing: Option<&FheKeyHandle>,
) -> napi::Result<AsyncTask<Job<GeneratedKeySet>>> {
    let (params, layout, provenance) =
        (Params::parse(&params)?, Layout::parse(&layout)?, Provenance::parse(&provenance)?);
    let existing = existing.map(|handle| handle.get()).transpose()?;
    let tag = tag.to_vec();
    Ok(spawn("key generation", move || {
        let (key, objects) = generate::key_set(params, tag, layout, existing.as_deref())?;
        let key = FheKeyHandle::new(key, provenance, Vec::new());
        Ok(GeneratedKeySet { key, objects: wrap(objects) })
    }))
}

/// Makes the key that turns lists compressed under `from` into ciphertexts under `to`.
#[napi]
pub fn generate_decompression_key(from: &FheKeyHandle, to: &FheKeyHandle) -> napi::Result<AsyncTask<Job<NativeBytes>>> {
    let (from, to) = (from.get()?, to.get()?);
    Ok(spawn("key generation", move || Ok(NativeBytes::from_vec(generate::decompression_key(&from, &to)?))))
}

/// Makes a CRS for proofs over at most `max_num_bits` bits; with a seed of 32 bytes, the one that it determines.
#[napi]
pub fn generate_crs(
    params: String,
    max_num_bits: u32,
    seed: Option<Uint8Array>,
) -> napi::Result<AsyncTask<Job<NativeBytes>>> {
    let params = Params::parse(&params)?;
    let seed = seed.map(|bytes| fixed::<32>(&bytes, "the seed")).transpose()?.map(Zeroizing::new);
    Ok(spawn("CRS generation", move || {
        Ok(NativeBytes::from_vec(generate::crs(params, max_num_bits, seed.as_deref())?))
    }))
}
