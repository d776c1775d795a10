//! The public face: evaluation keys, encryption. Anyone may load it; nothing here knows a secret key.

use napi::bindgen_prelude::{AsyncTask, Uint8Array};
use napi_derive::napi;

use super::encrypt;
use super::evaluation::Evaluation;
use super::types::{FheType, Format};
use crate::errors::{EngineError, Result};
use crate::task::{Job, spawn};

/// Public key and server key of one key set.
#[napi]
pub struct EvaluationKeysHandle {
    keys: Option<Evaluation>,
}

impl EvaluationKeysHandle {
    pub fn get(&self) -> Result<&Evaluation> {
        self.keys.as_ref().ok_or_else(|| EngineError::internal("these keys were disposed of"))
    }
}

#[napi]
impl EvaluationKeysHandle {
    /// Encrypts a little-endian value of the type's width.
    #[napi]
    pub fn encrypt(&self, value: Uint8Array, fhe_type: i32, format: i32) -> napi::Result<AsyncTask<Job<Uint8Array>>> {
        let keys = self.get()?.clone();
        let (fhe_type, format) = (FheType::parse(fhe_type)?, Format::parse(format)?);
        let value = value.to_vec();
        Ok(spawn("encryption", move || Ok(Uint8Array::new(encrypt::encrypt(&keys, &value, fhe_type, format)?))))
    }

    #[napi]
    pub fn dispose(&mut self) {
        self.keys = None;
    }
}

/// Loads and decompresses a `CompressedXofKeySet` file.
#[napi]
pub fn load_key_set(path: String) -> AsyncTask<Job<EvaluationKeysHandle>> {
    spawn("reading a key set", move || Ok(EvaluationKeysHandle { keys: Some(Evaluation::from_key_set(&path)?) }))
}

/// Loads a `ServerKey` and a `CompactPublicKey` file.
#[napi]
pub fn load_server_key(server_key_path: String, public_key_path: String) -> AsyncTask<Job<EvaluationKeysHandle>> {
    spawn("reading a server key", move || {
        Ok(EvaluationKeysHandle { keys: Some(Evaluation::from_keys(&server_key_path, &public_key_path)?) })
    })
}
