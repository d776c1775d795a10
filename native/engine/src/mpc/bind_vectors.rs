//! The Node-API face of ring vectors and sharings. Types are checked by `share-vector.ts` before they come here.

use std::cell::RefCell;
use std::sync::Arc;

use napi::Env;
use napi::bindgen_prelude::{AsyncTask, ClassInstance, Uint8Array, Uint8ArraySlice};
use napi_derive::napi;

use super::vector::{ShareVec, check_roles};
use crate::errors::{EngineError, Result};
use crate::task::{Job, spawn};

/// A vector of ring elements. JavaScript sees ring and length; `encode` alone brings elements over.
#[napi]
pub struct NativeShareVector {
    vector: RefCell<Option<Arc<ShareVec>>>,
}

type Vectors<'e> = Vec<ClassInstance<'e, NativeShareVector>>;

impl NativeShareVector {
    pub fn new(vector: ShareVec) -> Self {
        Self { vector: RefCell::new(Some(Arc::new(vector))) }
    }

    fn get(&self) -> Result<Arc<ShareVec>> {
        self.vector.borrow().clone().ok_or_else(|| EngineError::internal("this vector was disposed of"))
    }
}

fn get_all(vectors: &Vectors) -> Result<Vec<Arc<ShareVec>>> {
    vectors.iter().map(|vector| vector.get()).collect()
}

fn refs(vectors: &[Arc<ShareVec>]) -> Vec<&ShareVec> {
    vectors.iter().map(Arc::as_ref).collect()
}

fn wrap_all(vectors: Vec<ShareVec>) -> Vec<NativeShareVector> {
    vectors.into_iter().map(NativeShareVector::new).collect()
}

#[napi]
impl NativeShareVector {
    #[napi(factory, catch_unwind)]
    pub fn random(ring: u32, length: u32) -> napi::Result<Self> {
        Ok(Self::new(ShareVec::random(ring, length as usize)?))
    }

    #[napi(factory, catch_unwind)]
    pub fn from_bytes(ring: u32, bytes: &[u8]) -> napi::Result<Self> {
        Ok(Self::new(ShareVec::from_bytes(ring, bytes)?))
    }

    #[napi(getter)]
    pub fn ring(&self) -> napi::Result<u32> {
        Ok(self.get()?.ring())
    }

    #[napi(getter)]
    pub fn length(&self) -> napi::Result<u32> {
        Ok(self.get()?.length() as u32)
    }

    #[napi(catch_unwind)]
    pub fn encode<'e>(&self, env: &'e Env) -> napi::Result<Uint8ArraySlice<'e>> {
        Uint8ArraySlice::copy_from(env, &*self.get()?.encode())
    }

    #[napi(catch_unwind)]
    pub fn add(&self, other: &NativeShareVector) -> napi::Result<NativeShareVector> {
        Ok(Self::new(self.get()?.plus(&*other.get()?)?))
    }

    #[napi(catch_unwind)]
    pub fn sub(&self, other: &NativeShareVector) -> napi::Result<NativeShareVector> {
        Ok(Self::new(self.get()?.minus(&*other.get()?)?))
    }

    #[napi(catch_unwind)]
    pub fn mul(&self, other: &NativeShareVector) -> napi::Result<NativeShareVector> {
        Ok(Self::new(self.get()?.times(&*other.get()?)?))
    }

    #[napi(catch_unwind)]
    pub fn equals(&self, other: &NativeShareVector) -> napi::Result<bool> {
        Ok(self.get()?.equals(&*other.get()?)?)
    }

    #[napi(catch_unwind)]
    pub fn slice(&self, from: u32, to: u32) -> napi::Result<NativeShareVector> {
        Ok(Self::new(self.get()?.slice(from as usize, to as usize)?))
    }

    /// Forgets the vector; it is wiped as soon as no running call uses it.
    #[napi]
    pub fn dispose(&self) {
        self.vector.replace(None);
    }
}

#[napi(catch_unwind)]
pub fn concat_shares(vectors: Vectors) -> napi::Result<NativeShareVector> {
    Ok(NativeShareVector::new(ShareVec::concat(&refs(&get_all(&vectors)?))?))
}

#[napi(catch_unwind)]
pub fn combine_shares(vectors: Vectors, weights: Vec<Uint8Array>) -> napi::Result<NativeShareVector> {
    let weights: Vec<&[u8]> = weights.iter().map(|weight| weight.as_ref()).collect();
    Ok(NativeShareVector::new(ShareVec::combine(&refs(&get_all(&vectors)?), &weights)?))
}

#[napi(catch_unwind)]
pub fn shamir_share(secret: &NativeShareVector, n: u32, t: u32) -> napi::Result<Vec<NativeShareVector>> {
    Ok(wrap_all(secret.get()?.share(n as usize, t as usize)?))
}

/// Coefficient vectors by party.
#[napi(object, object_from_js = false)]
pub struct BivariateShares {
    pub rows: Vec<Vec<NativeShareVector>>,
    pub columns: Vec<Vec<NativeShareVector>>,
}

#[napi(catch_unwind)]
pub fn bivariate_share(secret: &NativeShareVector, n: u32, t: u32) -> napi::Result<BivariateShares> {
    let dealing = secret.get()?.deal(n as usize, t as usize)?;
    let wrap = |lists: Vec<Vec<ShareVec>>| lists.into_iter().map(wrap_all).collect();
    Ok(BivariateShares { rows: wrap(dealing.rows), columns: wrap(dealing.columns) })
}

/// A party, or 0 for the secret's point.
fn point_of(party: u32) -> Result<u8> {
    if party == 0 { Ok(0) } else { Ok(check_roles(&[party])?[0]) }
}

#[napi(catch_unwind)]
pub fn evaluate_shares(coefficients: Vectors, party: u32) -> napi::Result<NativeShareVector> {
    Ok(NativeShareVector::new(ShareVec::evaluate(&refs(&get_all(&coefficients)?), point_of(party)?)?))
}

#[napi(catch_unwind)]
pub fn extract_shares(vectors: Vectors, t: u32) -> napi::Result<Vec<NativeShareVector>> {
    Ok(wrap_all(ShareVec::extract(&refs(&get_all(&vectors)?), t as usize)?))
}

#[napi(catch_unwind)]
pub fn lagrange_weights<'e>(
    env: &'e Env,
    ring: u32,
    parties: Vec<u32>,
    at: u32,
) -> napi::Result<Vec<Uint8ArraySlice<'e>>> {
    let weights = ShareVec::lagrange(ring, &check_roles(&parties)?, point_of(at)?)?;
    weights.iter().map(|weight| Uint8ArraySlice::copy_from(env, weight)).collect()
}

/// What robust opening gives.
#[napi(object, object_from_js = false)]
pub struct OpenedShares {
    pub value: NativeShareVector,
    pub liars: Vec<u32>,
}

/// Opens on the thread pool; gives null if the values do not decode.
#[napi(catch_unwind)]
pub fn open_robust(
    degree: u32,
    parties: Vec<u32>,
    shares: Vectors,
    max_errors: u32,
) -> napi::Result<AsyncTask<Job<Option<OpenedShares>>>> {
    let parties = check_roles(&parties)?;
    let shares = get_all(&shares)?;
    Ok(spawn("opening", move || {
        let opened = ShareVec::open(degree as usize, &parties, &refs(&shares), max_errors as usize)?;
        Ok(opened.map(|(vector, liars)| OpenedShares {
            value: NativeShareVector::new(vector),
            liars: liars.into_iter().map(u32::from).collect(),
        }))
    }))
}
