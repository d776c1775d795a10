//! Large byte strings that stay in native memory: JavaScript reads them chunk by chunk and hashes them in place.

use std::sync::Arc;

use napi::bindgen_prelude::{AsyncTask, Uint8Array};
use napi_derive::napi;
use sha3::Shake256;
use sha3::digest::{ExtendableOutput, Update, XofReader};

use crate::errors::{EngineError, Result};
use crate::task::{Job, spawn};

/// Public bytes (keys, CRS) of up to some gigabytes.
#[napi]
pub struct NativeBytes {
    bytes: Option<Arc<Vec<u8>>>,
}

impl NativeBytes {
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        Self { bytes: Some(Arc::new(bytes)) }
    }

    pub fn get(&self) -> Result<&Arc<Vec<u8>>> {
        self.bytes.as_ref().ok_or_else(|| EngineError::internal("these bytes were disposed of"))
    }
}

#[napi]
impl NativeBytes {
    /// Length in bytes, 0 once disposed of.
    #[napi(getter)]
    pub fn size(&self) -> f64 {
        self.bytes.as_ref().map_or(0.0, |bytes| bytes.len() as f64)
    }

    /// Copies out `size` bytes from `offset`, fewer at the end.
    #[napi]
    pub fn chunk(&self, offset: f64, size: f64) -> napi::Result<Uint8Array> {
        let bytes = self.get()?;
        let start = (offset as usize).min(bytes.len());
        let end = start.saturating_add(size as usize).min(bytes.len());
        Ok(Uint8Array::with_data_copied(&bytes[start..end]))
    }

    /// SHAKE256(tag ‖ bytes), 32 bytes.
    #[napi]
    pub fn digest(&self, tag: Uint8Array) -> napi::Result<AsyncTask<Job<Uint8Array>>> {
        let bytes = self.get()?.clone();
        let tag = tag.to_vec();
        Ok(spawn("hashing", move || Ok(Uint8Array::new(shake(&tag, &bytes).to_vec()))))
    }

    #[napi]
    pub fn dispose(&mut self) {
        self.bytes = None;
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
