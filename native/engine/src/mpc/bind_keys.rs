//! The Node-API face of key shares, mask keys and squashing keys.

use std::cell::RefCell;
use std::sync::Arc;

use napi::Env;
use napi::bindgen_prelude::{AsyncTask, Uint8Array, Uint8ArraySlice};
use napi_derive::napi;
use zeroize::Zeroizing;

use super::deal;
use super::key_shares::{KeyShares, ShareProvenance, Sharing};
use super::masks::{MaskKeys, sets_of};
use super::squash::SquashKeys;
use super::vector::check_roles;
use crate::errors::{EngineError, Result, guarded};
use crate::fhe::bind_secret::{FheKeyHandle, GeneratedObject, wrap};
use crate::fhe::generate::Layout;
use crate::fhe::params::Params;
use crate::task::{Job, spawn};

/// One party's shares of a key set. JavaScript sees what they are of, never an element.
#[napi]
pub struct NativeKeyShares {
    shares: RefCell<Option<Arc<KeyShares>>>,
}

impl NativeKeyShares {
    fn new(shares: KeyShares) -> Self {
        Self { shares: RefCell::new(Some(Arc::new(shares))) }
    }

    pub fn get(&self) -> Result<Arc<KeyShares>> {
        self.shares.borrow().clone().ok_or_else(|| EngineError::internal("these key shares were disposed of"))
    }
}

#[napi]
impl NativeKeyShares {
    #[napi(factory)]
    pub fn from_bytes(bytes: &[u8]) -> napi::Result<Self> {
        Ok(Self::new(guarded("reading key shares", || KeyShares::decode(bytes))?))
    }

    /// The stored form, shares included, in a buffer of its own that the caller wipes.
    #[napi]
    pub fn encode<'e>(&self, env: &'e Env, metadata: &[u8]) -> napi::Result<Uint8ArraySlice<'e>> {
        let shares = self.get()?;
        Uint8ArraySlice::copy_from(env, &*guarded("writing key shares", || shares.encode(metadata))?)
    }

    #[napi(getter)]
    pub fn params(&self) -> napi::Result<&'static str> {
        Ok(self.get()?.sharing.params.name())
    }

    #[napi(getter)]
    pub fn n(&self) -> napi::Result<u32> {
        Ok(self.get()?.sharing.n as u32)
    }

    #[napi(getter)]
    pub fn t(&self) -> napi::Result<u32> {
        Ok(self.get()?.sharing.t as u32)
    }

    #[napi(getter)]
    pub fn party(&self) -> napi::Result<u32> {
        Ok(u32::from(self.get()?.party))
    }

    #[napi(getter)]
    pub fn provenance(&self) -> napi::Result<&'static str> {
        Ok(self.get()?.sharing.provenance.name())
    }

    #[napi(getter)]
    pub fn has_zeros(&self) -> napi::Result<bool> {
        Ok(self.get()?.has_zeros())
    }

    #[napi(getter)]
    pub fn sharing_id<'e>(&self, env: &'e Env) -> napi::Result<Uint8ArraySlice<'e>> {
        Uint8ArraySlice::copy_from(env, self.get()?.sharing.id)
    }

    #[napi(getter)]
    pub fn tag<'e>(&self, env: &'e Env) -> napi::Result<Uint8ArraySlice<'e>> {
        Uint8ArraySlice::copy_from(env, &self.get()?.sharing.tag)
    }

    #[napi(getter)]
    pub fn metadata<'e>(&self, env: &'e Env) -> napi::Result<Uint8ArraySlice<'e>> {
        Uint8ArraySlice::copy_from(env, &self.get()?.metadata)
    }

    /// Forgets the shares; they are wiped as soon as no running decryption uses them.
    #[napi]
    pub fn dispose(&self) {
        self.shares.replace(None);
    }
}

/// A whole key's shares for all parties: a dealer's work.
#[napi]
pub fn split_key(key: &FheKeyHandle, n: u32, t: u32, provenance: String) -> napi::Result<Vec<NativeKeyShares>> {
    let key = key.get()?;
    let provenance = ShareProvenance::parse(&provenance)?;
    let (n, t) = (n as usize, t as usize);
    let sharing = Sharing { params: key.params, n, t, id: [0; 32], provenance, tag: key.tag.clone() };
    let all = guarded("splitting a key", || deal::split(sharing, &key))?;
    Ok(all.into_iter().map(NativeKeyShares::new).collect())
}

/// What [`deal_key_set`] makes.
#[napi(object, object_to_js = false)]
pub struct DealOptions {
    pub params: String,
    pub seed: Uint8Array,
    pub tag: Uint8Array,
    pub layout: String,
    pub n: u32,
    pub t: u32,
    pub party: u32,
    pub provenance: String,
}

/// One party's shares and the public objects of a dealt key set.
#[napi(object, object_from_js = false)]
pub struct DealtKeySet {
    pub shares: NativeKeyShares,
    pub objects: Vec<GeneratedObject>,
}

/// Derives a key set from a common seed and keeps one party's shares.
#[napi]
pub fn deal_key_set(options: DealOptions) -> napi::Result<AsyncTask<Job<DealtKeySet>>> {
    let seed = <[u8; 32]>::try_from(options.seed.as_ref()).map_err(|_| EngineError::request("a seed has 32 bytes"))?;
    let seed = Zeroizing::new(seed);
    let sharing = Sharing {
        params: Params::parse(&options.params)?,
        n: options.n as usize,
        t: options.t as usize,
        id: [0; 32],
        provenance: ShareProvenance::parse(&options.provenance)?,
        tag: options.tag.to_vec(),
    };
    let (layout, party) = (Layout::parse(&options.layout)?, check_roles(&[options.party])?[0]);
    Ok(spawn("dealing a key set", move || {
        let (shares, objects) = deal::deal(sharing, &seed, layout, party)?;
        Ok(DealtKeySet { shares: NativeKeyShares::new(shares), objects: wrap(objects) })
    }))
}

/// One party's keys of the sets that hold it. Nothing of them can be read.
#[napi]
pub struct NativeMaskKeys {
    keys: RefCell<Option<Arc<MaskKeys>>>,
}

impl NativeMaskKeys {
    pub fn get(&self) -> Result<Arc<MaskKeys>> {
        self.keys.borrow().clone().ok_or_else(|| EngineError::internal("these mask keys were disposed of"))
    }
}

#[napi]
impl NativeMaskKeys {
    #[napi(factory)]
    pub fn from_keys(n: u32, t: u32, party: u32, keys: Vec<Uint8Array>) -> napi::Result<Self> {
        let party = check_roles(&[party])?[0];
        let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_ref()).collect();
        let keys = guarded("reading mask keys", || MaskKeys::new(n as usize, t as usize, party, &keys))?;
        Ok(Self { keys: RefCell::new(Some(Arc::new(keys))) })
    }

    #[napi]
    pub fn dispose(&self) {
        self.keys.replace(None);
    }
}

/// The (n - t)-subsets of the parties, in lexicographic order.
#[napi]
pub fn mask_sets(n: u32, t: u32) -> napi::Result<Vec<Vec<u32>>> {
    let sets = sets_of(n as usize, t as usize)?;
    Ok(sets.into_iter().map(|set| set.into_iter().map(u32::from).collect()).collect())
}

/// What squashing needs of a key set. Public.
#[napi]
pub struct NativeSquashKeys {
    keys: RefCell<Option<Arc<SquashKeys>>>,
}

impl NativeSquashKeys {
    pub fn get(&self) -> Result<Arc<SquashKeys>> {
        self.keys.borrow().clone().ok_or_else(|| EngineError::internal("these squashing keys were disposed of"))
    }
}

#[napi]
impl NativeSquashKeys {
    #[napi]
    pub fn dispose(&self) {
        self.keys.replace(None);
    }
}

/// Loads squashing keys from the file of a key set, or of a server key and its public key.
#[napi]
pub fn load_squash_keys(path: String, public_key_path: Option<String>) -> AsyncTask<Job<NativeSquashKeys>> {
    spawn("loading squashing keys", move || {
        let keys = match public_key_path {
            None => SquashKeys::from_key_set(&path)?,
            Some(public_key_path) => SquashKeys::from_server_key(&path, &public_key_path)?,
        };
        Ok(NativeSquashKeys { keys: RefCell::new(Some(Arc::new(keys))) })
    })
}
