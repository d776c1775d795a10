//! Large byte strings that stay in native memory: JavaScript reads them chunk by chunk and hashes them in place.

use std::cell::RefCell;
use std::sync::Arc;

use napi::Env;
use napi::bindgen_prelude::{AsyncTask, Uint8Array, Uint8ArraySlice};
use napi_derive::napi;
use sha3::Shake256;
use sha3::digest::{ExtendableOutput, Update, XofReader};

use crate::errors::{EngineError, Result};
use crate::task::{BytesJob, spawn_bytes};

/// Public bytes (keys, CRS) of up to some gigabytes.
#[napi]
pub struct NativeBytes {
    bytes: RefCell<Option<Arc<Vec<u8>>>>,
}

impl NativeBytes {
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        Self { bytes: RefCell::new(Some(Arc::new(bytes))) }
    }

    fn get(&self) -> Result<Arc<Vec<u8>>> {
        self.bytes.borrow().clone().ok_or_else(|| EngineError::internal("these bytes were disposed of"))
    }
}

#[napi]
impl NativeBytes {
    /// Length in bytes, 0 once disposed of.
    #[napi(getter)]
    pub fn size(&self) -> f64 {
        self.bytes.borrow().as_ref().map_or(0.0, |bytes| bytes.len() as f64)
    }

    /// Copies out `size` bytes from `offset`, fewer at the end.
    #[napi]
    pub fn chunk<'e>(&self, env: &'e Env, offset: f64, size: f64) -> napi::Result<Uint8ArraySlice<'e>> {
        let bytes = self.get()?;
        let start = (offset as usize).min(bytes.len());
        let end = start.saturating_add(size as usize).min(bytes.len());
        Uint8ArraySlice::copy_from(env, &bytes[start..end])
    }

    /// SHAKE256(tag ‖ bytes), 32 bytes.
    #[napi]
    pub fn digest(&self, tag: Uint8Array) -> napi::Result<AsyncTask<BytesJob>> {
        let bytes = self.get()?;
        let tag = tag.to_vec();
        Ok(spawn_bytes("hashing", move || Ok(shake(&tag, &bytes).to_vec())))
    }

    #[napi]
    pub fn dispose(&self) {
        self.bytes.replace(None);
    }
}

fn shake(tag: &[u8], bytes: &[u8]) -> [u8; 32] {
    let mut hasher = Shake256::default();
    hasher.update(tag);
    hasher.update(bytes);
    let mut out = [0u8; 32];
    hasher.finalize_xof().read(&mut out);
    out
}
