//! The Node-API face of pseudorandom sharings.

use std::cell::RefCell;
use std::sync::Arc;

use napi::Env;
use napi::bindgen_prelude::{BigInt, Uint8Array, Uint8ArraySlice};
use napi_derive::napi;

use super::bind_vectors::NativeShareVector;
use super::prss::{Family, PrssKeys, weights};
use super::ring::{Element, Word, reduce};
use super::vector::{Ring, ShareVec, check_roles};
use crate::errors::{EngineError, Result, guarded};
use crate::fhe::bind_decrypt::fixed;

/// One party's functions of one session. Only values of draws that are thrown away can be read.
#[napi]
pub struct NativePrssKeys {
    ring: u32,
    keys: RefCell<Option<Arc<PrssKeys>>>,
}

fn counter_of(counter: &BigInt) -> Result<u128> {
    let (negative, value, lossless) = counter.get_u128();
    if negative || !lossless { Err(EngineError::request("a counter is no number below 2^104")) } else { Ok(value) }
}

fn draw<W: Ring>(keys: &PrssKeys, family: Family, counter: u128, count: usize) -> Result<ShareVec> {
    Ok(W::wrap(keys.shares(family, counter, count)?))
}

fn values<W: Ring>(keys: &PrssKeys, family: Family, counter: u128) -> Result<Vec<ShareVec>> {
    Ok(keys.values::<W>(family, counter)?.into_iter().map(W::wrap).collect())
}

/// Most sharings of one call.
const MAX_DRAW: u32 = 1 << 20;

impl NativePrssKeys {
    fn get(&self) -> Result<Arc<PrssKeys>> {
        self.keys.borrow().clone().ok_or_else(|| EngineError::internal("these keys were disposed of"))
    }
}

#[napi]
impl NativePrssKeys {
    #[napi(factory)]
    pub fn from_keys(
        ring: u32,
        n: u32,
        t: u32,
        party: u32,
        session_id: &[u8],
        keys: Vec<Uint8Array>,
    ) -> napi::Result<Self> {
        if ring != 64 && ring != 128 {
            return Err(EngineError::request("a ring has words of 64 or 128 bits").into());
        }
        let (party, session) = (check_roles(&[party])?[0], fixed(session_id, "a session id")?);
        let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_ref()).collect();
        let keys = guarded("reading keys of sets", || PrssKeys::new(n as usize, t as usize, party, &session, &keys))?;
        Ok(Self { ring, keys: RefCell::new(Some(Arc::new(keys))) })
    }

    #[napi(catch_unwind)]
    pub fn draw(&self, family: String, counter: BigInt, count: u32) -> napi::Result<NativeShareVector> {
        if count > MAX_DRAW {
            return Err(EngineError::request(format!("a call draws at most {MAX_DRAW} sharings")).into());
        }
        let (keys, family, counter) = (self.get()?, Family::parse(&family)?, counter_of(&counter)?);
        let vector = match self.ring {
            64 => draw::<u64>(&keys, family, counter, count as usize)?,
            _ => draw::<u128>(&keys, family, counter, count as usize)?,
        };
        Ok(NativeShareVector::new(vector))
    }

    #[napi(catch_unwind)]
    pub fn values<'e>(&self, env: &'e Env, family: String, counter: BigInt) -> napi::Result<Vec<Uint8ArraySlice<'e>>> {
        let (keys, family, counter) = (self.get()?, Family::parse(&family)?, counter_of(&counter)?);
        let values = match self.ring {
            64 => values::<u64>(&keys, family, counter)?,
            _ => values::<u128>(&keys, family, counter)?,
        };
        values.iter().map(|value| Uint8ArraySlice::copy_from(env, &*value.encode())).collect()
    }

    #[napi]
    pub fn dispose(&self) {
        self.keys.replace(None);
    }
}

fn encoded<W: Word>(weight: &Element<u128>) -> Vec<u8> {
    let mut out = vec![0; 4 * W::SIZE];
    reduce::<W>(weight).iter().zip(out.chunks_exact_mut(W::SIZE)).for_each(|(word, bytes)| word.store(bytes));
    out
}

/// For each set that holds a party the public weights with which its values make the party's share.
#[napi(catch_unwind)]
pub fn prss_weights<'e>(
    env: &'e Env,
    ring: u32,
    n: u32,
    t: u32,
    party: u32,
    family: String,
) -> napi::Result<Vec<Vec<Uint8ArraySlice<'e>>>> {
    let weights = weights(Family::parse(&family)?, n as usize, t as usize, check_roles(&[party])?[0])?;
    let encode = if ring == 64 { encoded::<u64> } else { encoded::<u128> };
    let one =
        |set: &Vec<Element<u128>>| set.iter().map(|weight| Uint8ArraySlice::copy_from(env, encode(weight))).collect();
    weights.iter().map(one).collect()
}
