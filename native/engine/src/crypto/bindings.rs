//! The Node-API face of this folder: arguments in, bytes or a named error out, nothing decided here.
//!
//! Types are checked by `crypto.ts` before they come here. The key stays behind `NativeNodeKey`.

use std::cell::RefCell;
use std::sync::Arc;

use napi::bindgen_prelude::{AsyncTask, Uint8Array, Uint8ArraySlice};
use napi::{Env, Result};
use napi_derive::napi;

use super::derived::{self, Scheme};
use super::enc_key::EncKey;
use super::hash::{self, SharedDigest};
use super::node_key::NodeKeyInner;
use super::purpose;
use super::secp;
use crate::errors::{EngineError, Result as Checked};
use crate::task::{BytesJob, Job, spawn, spawn_bytes};

fn fixed<const N: usize>(bytes: &[u8], what: &str) -> Checked<[u8; N]> {
    let wrong = |_| EngineError::request(format!("{what} must be {N} bytes, is {}", bytes.len()));
    bytes.try_into().map_err(wrong)
}

/// A signing key that JavaScript can use but not read, except through `secret_bytes`.
#[napi]
pub struct NativeNodeKey {
    inner: RefCell<Option<Arc<NodeKeyInner>>>,
}

impl NativeNodeKey {
    /// The key, for the other modules of this crate.
    pub fn inner(&self) -> Checked<Arc<NodeKeyInner>> {
        self.inner.borrow().clone().ok_or_else(|| EngineError::key("this signing key was disposed"))
    }

    fn of(inner: NodeKeyInner) -> Self {
        Self { inner: RefCell::new(Some(Arc::new(inner))) }
    }
}

#[napi]
impl NativeNodeKey {
    #[napi(factory, catch_unwind)]
    pub fn generate() -> Result<Self> {
        Ok(Self::of(NodeKeyInner::generate()?))
    }

    #[napi(factory, catch_unwind)]
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Ok(Self::of(NodeKeyInner::from_bytes(bytes)?))
    }

    #[napi(catch_unwind)]
    pub fn public_key<'e>(&self, env: &'e Env) -> Result<Uint8ArraySlice<'e>> {
        Uint8ArraySlice::copy_from(env, self.inner()?.public().serialize())
    }

    #[napi(catch_unwind)]
    pub fn public_key_uncompressed<'e>(&self, env: &'e Env) -> Result<Uint8ArraySlice<'e>> {
        Uint8ArraySlice::copy_from(env, self.inner()?.public().serialize_uncompressed())
    }

    #[napi(catch_unwind)]
    pub fn address<'e>(&self, env: &'e Env) -> Result<Uint8ArraySlice<'e>> {
        Uint8ArraySlice::copy_from(env, self.inner()?.address())
    }

    #[napi(catch_unwind)]
    pub fn secret_bytes<'e>(&self, env: &'e Env) -> Result<Uint8ArraySlice<'e>> {
        Uint8ArraySlice::copy_from(env, &self.inner()?.secret_bytes()[..])
    }

    #[napi(catch_unwind)]
    pub fn sign_digest<'e>(&self, env: &'e Env, digest: &[u8]) -> Result<Uint8ArraySlice<'e>> {
        Uint8ArraySlice::copy_from(env, self.inner()?.sign_digest(fixed(digest, "a digest")?))
    }

    #[napi(catch_unwind)]
    pub fn sign_sha256<'e>(&self, env: &'e Env, data: &[u8]) -> Result<Uint8ArraySlice<'e>> {
        Uint8ArraySlice::copy_from(env, self.inner()?.sign_sha256(&[data]))
    }

    #[napi(catch_unwind)]
    pub fn sign_der<'e>(&self, env: &'e Env, digest: &[u8]) -> Result<Uint8ArraySlice<'e>> {
        Uint8ArraySlice::copy_from(env, self.inner()?.sign_der(fixed(digest, "a digest")?))
    }

    #[napi(catch_unwind)]
    pub fn derived_public_key<'e>(&self, env: &'e Env, scheme: u32) -> Result<Uint8ArraySlice<'e>> {
        Uint8ArraySlice::copy_from(env, derived::public_key(&*self.inner()?, Scheme::from_number(scheme)?))
    }

    #[napi(catch_unwind)]
    pub fn sign_scheme<'e>(&self, env: &'e Env, scheme: u32, data: &[u8]) -> Result<Uint8ArraySlice<'e>> {
        Uint8ArraySlice::copy_from(env, derived::sign(&*self.inner()?, Scheme::from_number(scheme)?, data)?)
    }

    #[napi(catch_unwind)]
    pub fn purpose_public_key<'e>(&self, env: &'e Env, purpose: String) -> Result<Uint8ArraySlice<'e>> {
        Uint8ArraySlice::copy_from(env, purpose::public_key(&*self.inner()?, &purpose)?)
    }

    #[napi(catch_unwind)]
    pub fn sign_purpose<'e>(&self, env: &'e Env, purpose: String, data: &[u8]) -> Result<Uint8ArraySlice<'e>> {
        Uint8ArraySlice::copy_from(env, purpose::sign(&*self.inner()?, &purpose, data)?)
    }

    /// Lets go of the scalar; it is erased when the last call that uses it ends. Such a call holds a shared borrow.
    #[napi(catch_unwind)]
    pub fn dispose(&self) {
        self.inner.replace(None);
    }
}

/// Signs answers on a thread of the pool: of each its digest and the SHA-256 of its tagged bytes.
///
/// `answers` holds them one after the other, each the digest and then the tagged bytes; `lengths` says how long each is.
/// Gives 65 and 64 bytes for each. All of it is public, and copied before this returns.
#[napi(catch_unwind)]
pub fn sign_answers(key: &NativeNodeKey, answers: &[u8], lengths: Vec<u32>) -> Result<AsyncTask<BytesJob>> {
    let (key, answers) = (key.inner()?, answers.to_vec());
    Ok(spawn_bytes("signing", move || key.sign_answers(&answers, &lengths)))
}

#[napi(catch_unwind)]
pub fn check_enc_key(enc_key: &[u8]) -> Result<()> {
    EncKey::parse(enc_key)?;
    Ok(())
}

#[napi(catch_unwind)]
pub fn keccak256<'e>(env: &'e Env, bytes: &[u8]) -> Result<Uint8ArraySlice<'e>> {
    Uint8ArraySlice::copy_from(env, hash::keccak256(bytes))
}

#[napi(catch_unwind)]
pub fn sha256<'e>(env: &'e Env, bytes: &[u8]) -> Result<Uint8ArraySlice<'e>> {
    Uint8ArraySlice::copy_from(env, hash::sha256(&[bytes]))
}

#[napi(catch_unwind)]
pub fn blake3<'e>(env: &'e Env, bytes: &[u8]) -> Result<Uint8ArraySlice<'e>> {
    Uint8ArraySlice::copy_from(env, hash::blake3(bytes))
}

#[napi(catch_unwind)]
pub fn recover_signer<'e>(env: &'e Env, digest: &[u8], signature: &[u8]) -> Result<Uint8ArraySlice<'e>> {
    Uint8ArraySlice::copy_from(env, secp::recover(fixed(digest, "a digest")?, signature)?)
}

#[napi(catch_unwind)]
pub fn verify_signature(public_key: &[u8], digest: &[u8], signature: &[u8]) -> Result<bool> {
    Ok(secp::verify(public_key, fixed(digest, "a digest")?, signature)?)
}

#[napi(catch_unwind)]
pub fn address_of<'e>(env: &'e Env, public_key: &[u8]) -> Result<Uint8ArraySlice<'e>> {
    Uint8ArraySlice::copy_from(env, secp::address(&secp::parse_public(public_key)?))
}

/// An incremental SHAKE256.
#[napi]
#[derive(Default)]
pub struct NativeDigest {
    state: SharedDigest,
}

fn finished() -> EngineError {
    EngineError::internal("this digest was finished already")
}

#[napi]
impl NativeDigest {
    #[napi(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    #[napi(catch_unwind)]
    pub fn update(&self, bytes: &[u8]) -> Result<()> {
        if self.state.update(bytes) { Ok(()) } else { Err(finished().into()) }
    }

    /// The same on a thread of the pool; the caller leaves the buffer alone until the promise settles.
    #[napi(catch_unwind)]
    pub fn update_async(&self, bytes: Uint8Array) -> AsyncTask<Job<()>> {
        let state = self.state.clone();
        spawn("hashing", move || if state.update(&bytes) { Ok(()) } else { Err(finished()) })
    }

    #[napi(catch_unwind)]
    pub fn digest<'e>(&self, env: &'e Env) -> Result<Uint8ArraySlice<'e>> {
        Uint8ArraySlice::copy_from(env, self.state.finish().ok_or_else(finished)?)
    }
}
