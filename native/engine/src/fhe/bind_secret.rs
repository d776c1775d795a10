//! The secret face: handles to whole keys, generation, decryption. Only the engine process loads it.

use std::sync::Arc;

use napi::bindgen_prelude::{AsyncTask, Uint8Array};
use napi_derive::napi;

use super::generate::{self, Layout, Objects};
use super::key::FheSecretKey;
use super::params::Params;
use super::private_object::{self, Provenance};
use super::types::{FheType, Format};
use crate::bytes::NativeBytes;
use crate::crypto::bindings::NativeNodeKey;
use crate::crypto::enc_key::EncKey;
use crate::crypto::node_key::NodeKeyInner;
use crate::crypto::signcrypt::signcrypt;
use crate::errors::{EngineError, Result, guarded};
use crate::task::{Job, spawn};

/// A whole FHE secret key. JavaScript sees its parameters and tag, never its bits.
#[napi]
pub struct FheKeyHandle {
    key: Option<Arc<FheSecretKey>>,
    provenance: Provenance,
    metadata: Vec<u8>,
}

impl FheKeyHandle {

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

    #[napi(getter)]
    pub fn provenance(&self) -> &'static str {
        self.provenance.name()
    }

    #[napi(getter)]
    pub fn metadata(&self) -> Uint8Array {
        Uint8Array::with_data_copied(&self.metadata)
    }

    /// The stored form, secret bits included, in a buffer of its own that the caller wipes.
    #[napi]
    pub fn encode(&self, metadata: Uint8Array) -> napi::Result<Uint8Array> {
        let object = private_object::encode(self.get()?, self.provenance, &metadata)?;
        Ok(Uint8Array::with_data_copied(&*object))
    }

    /// Forgets the key. It is wiped as soon as no running decryption uses it.
    #[napi]
    pub fn dispose(&mut self) {
        self.key = None;
    }
}

/// Reads the stored form of a key.
#[napi]
pub fn decode_fhe_key(bytes: Uint8Array) -> napi::Result<FheKeyHandle> {
    let object = guarded("reading a key", || private_object::decode(&bytes))?;
    Ok(FheKeyHandle { key: Some(Arc::new(object.key)), provenance: object.provenance, metadata: object.metadata })
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
    provenance: String,
    existing: Option<&FheKeyHandle>,
) -> napi::Result<AsyncTask<Job<GeneratedKeySet>>> {
    let (params, layout, provenance) =
        (Params::parse(&params)?, Layout::parse(&layout)?, Provenance::parse(&provenance)?);
    let existing = existing.map(|handle| handle.get().cloned()).transpose()?;
    let tag = tag.to_vec();
    Ok(spawn("key generation", move || {
        let (key, objects) = generate::key_set(params, tag, layout, existing.as_deref())?;
        let key = FheKeyHandle { key: Some(Arc::new(key)), provenance, metadata: Vec::new() };
        Ok(GeneratedKeySet { key, objects: wrap(objects) })
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

/// Who a user decryption is for.
#[napi(object, object_to_js = false)]
pub struct Recipient {
    pub enc_key: Uint8Array,
    pub client_address: Uint8Array,
    pub link: Uint8Array,
}

/// [`Recipient`], checked.
struct Receiver {
    enc_key: EncKey,
    client_address: [u8; 20],
    link: [u8; 32],
}

fn fixed<const N: usize>(bytes: &[u8], what: &str) -> Result<[u8; N]> {
    bytes.try_into().map_err(|_| EngineError::request(format!("{what} has {} bytes and should have {N}", bytes.len())))
}

impl Receiver {
    fn parse(recipient: &Recipient) -> Result<Self> {
        Ok(Self {
            enc_key: EncKey::parse(&recipient.enc_key)?,
            client_address: fixed(&recipient.client_address, "the client address")?,
            link: fixed(&recipient.link, "the link")?,
        })
    }
}

fn signcrypt_all(
    key: &FheSecretKey,
    node_key: &NodeKeyInner,
    items: &[CiphertextItem],
    receiver: &Receiver,
) -> Result<Vec<Uint8Array>> {
    items
        .iter()
        .map(|item| {
            let (fhe_type, format) = (FheType::parse(item.fhe_type)?, Format::parse(item.format)?);
            let plaintext = key.decryption.decrypt(&item.ciphertext, fhe_type, format)?;
            let Receiver { enc_key, client_address, link } = receiver;
            let bytes = signcrypt(node_key, &plaintext, fhe_type.number(), link, client_address, enc_key)?;
            Ok(Uint8Array::new(bytes))
        })
        .collect()
}

/// Decrypts for one user on the thread pool: plaintexts leave signed and encrypted, never in clear.
#[napi]
pub fn user_decrypt(
    key: &FheKeyHandle,
    node_key: &NativeNodeKey,
    items: Vec<CiphertextItem>,
    recipient: Recipient,
) -> napi::Result<AsyncTask<Job<Vec<Uint8Array>>>> {
    let (key, node_key) = (key.get()?.clone(), node_key.inner()?.clone());
    Ok(spawn("decryption", move || signcrypt_all(&key, &node_key, &items, &Receiver::parse(&recipient)?)))
}
