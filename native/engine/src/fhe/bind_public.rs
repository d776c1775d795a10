//! The public face: evaluation keys, encryption. Anyone may load it; nothing here knows a secret key.

use std::cell::RefCell;
use std::io::Cursor;
use std::sync::Arc;

use napi::bindgen_prelude::{AsyncTask, Uint8Array};
use napi_derive::napi;
use tfhe::CompactPublicKey;
use tfhe::zk::CompactPkeCrs;

use super::evaluation::{Evaluation, read, read_file};
use super::types::{FheType, Format};
use super::{encrypt, input};
use crate::errors::{EngineError, Result};
use crate::task::{BytesJob, Job, spawn, spawn_bytes};

/// Public key and server key of one key set.
#[napi]
pub struct EvaluationKeysHandle {
    keys: RefCell<Option<Evaluation>>,
}

impl EvaluationKeysHandle {
    fn get(&self) -> Result<Evaluation> {
        self.keys.borrow().clone().ok_or_else(|| EngineError::internal("these keys were disposed of"))
    }
}

#[napi]
impl EvaluationKeysHandle {
    /// Encrypts a little-endian value of the type's width.
    #[napi]
    pub fn encrypt(&self, value: Uint8Array, fhe_type: i32, format: i32) -> napi::Result<AsyncTask<BytesJob>> {
        let keys = self.get()?;
        let (fhe_type, format) = (FheType::parse(fhe_type)?, Format::parse(format)?);
        let value = value.to_vec();
        Ok(spawn_bytes("encryption", move || encrypt::encrypt(&keys, &value, fhe_type, format)))
    }

    /// Verifies a proven list and expands its elements.
    #[napi]
    pub fn verify_and_expand(
        &self,
        crs: &CrsHandle,
        list: Uint8Array,
        metadata: Uint8Array,
    ) -> napi::Result<AsyncTask<Job<Vec<ExpandedInput>>>> {
        let (keys, crs) = (self.get()?, crs.get()?);
        let (list, metadata) = (list.to_vec(), metadata.to_vec());
        Ok(spawn("input verification", move || {
            let elements = input::verify_and_expand(&keys, &crs, &list, &metadata)?;
            Ok(elements
                .into_iter()
                .map(|(fhe_type, bytes)| ExpandedInput {
                    fhe_type: fhe_type.number(),
                    ciphertext: Uint8Array::new(bytes),
                })
                .collect())
        }))
    }

    #[napi]
    pub fn dispose(&self) {
        self.keys.replace(None);
    }
}

/// One element of a verified list, in the `SmallExpanded` form.
#[napi(object, object_from_js = false)]
pub struct ExpandedInput {
    pub fhe_type: i32,
    pub ciphertext: Uint8Array,
}

/// A common reference string.
#[napi]
pub struct CrsHandle {
    crs: RefCell<Option<Arc<CompactPkeCrs>>>,
}

impl CrsHandle {
    fn get(&self) -> Result<Arc<CompactPkeCrs>> {
        self.crs.borrow().clone().ok_or_else(|| EngineError::internal("this CRS was disposed of"))
    }
}

#[napi]
impl CrsHandle {
    #[napi]
    pub fn dispose(&self) {
        self.crs.replace(None);
    }
}

/// Loads a CRS file.
#[napi]
pub fn load_crs(path: String) -> AsyncTask<Job<CrsHandle>> {
    spawn("reading a CRS", move || Ok(CrsHandle { crs: RefCell::new(Some(Arc::new(read_file(&path)?))) }))
}

/// A value to encrypt: little-endian bytes of the type's width.
#[napi(object, object_to_js = false)]
pub struct InputValue {
    pub value: Uint8Array,
    pub fhe_type: i32,
}

/// Encrypts and proves a list under the serialized public key.
#[napi]
pub fn prove_input(
    public_key: Uint8Array,
    crs: &CrsHandle,
    values: Vec<InputValue>,
    metadata: Uint8Array,
) -> napi::Result<AsyncTask<BytesJob>> {
    let crs = crs.get()?;
    let values = values
        .iter()
        .map(|item| Ok((item.value.to_vec(), FheType::parse(item.fhe_type)?)))
        .collect::<Result<Vec<_>>>()?;
    let (public_key, metadata) = (public_key.to_vec(), metadata.to_vec());
    Ok(spawn_bytes("proving", move || {
        let public_key: CompactPublicKey = read(Cursor::new(public_key))?;
        input::prove(&public_key, &crs, &values, &metadata)
    }))
}

/// Loads and decompresses a `CompressedXofKeySet` file.
#[napi]
pub fn load_key_set(path: String) -> AsyncTask<Job<EvaluationKeysHandle>> {
    spawn("reading a key set", move || {
        Ok(EvaluationKeysHandle { keys: RefCell::new(Some(Evaluation::from_key_set(&path)?)) })
    })
}

/// Loads a `ServerKey` and a `CompactPublicKey` file.
#[napi]
pub fn load_server_key(server_key_path: String, public_key_path: String) -> AsyncTask<Job<EvaluationKeysHandle>> {
    spawn("reading a server key", move || {
        let keys = Evaluation::from_keys(&server_key_path, &public_key_path)?;
        Ok(EvaluationKeysHandle { keys: RefCell::new(Some(keys)) })
    })
}
