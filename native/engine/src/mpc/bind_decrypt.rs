//! The Node-API face of threshold decryption: partial decryption for peers and for users, and opening.
//!
//! Ciphertexts are read where JavaScript has them. A mask never exists outside one call; a user's share leaves signed
//! and encrypted.

use std::sync::Arc;

use napi::bindgen_prelude::{AsyncTask, ClassInstance, Either, Uint8Array, Uint8ArraySlice};
use napi::{Env, ScopedTask};
use napi_derive::napi;
use zeroize::Zeroizing;

use super::bind_keys::{NativeKeyShares, NativeMaskKeys, NativeSquashKeys};
use super::key_shares::KeyShares;
use super::masked::{self, Names};
use super::masks::MaskKeys;
use super::opening::{self, open_blocks};
use super::partial::partial_decrypt as partial_of;
use super::ring::DEGREE;
use super::squash::SquashKeys;
use super::vector::check_roles;
use crate::crypto::bindings::NativeNodeKey;
use crate::errors::{EngineError, Result, guarded};
use crate::fhe::bind_decrypt::{CiphertextItem, Recipient, Seal, copy_out, fixed};
use crate::fhe::decrypt::recompose;
use crate::fhe::types::{FheType, Format};
use crate::task::{BytesJob, spawn_bytes};

/// What one party decrypts, with what, and the names that its masks are bound to.
#[napi(object, object_to_js = false)]
pub struct PartialInput<'e> {
    pub shares: ClassInstance<'e, NativeKeyShares>,
    pub masks: ClassInstance<'e, NativeMaskKeys>,
    pub squash: Option<ClassInstance<'e, NativeSquashKeys>>,
    pub context_id: Uint8ArraySlice<'e>,
    pub epoch_id: Uint8ArraySlice<'e>,
    pub key_id: Uint8ArraySlice<'e>,
    pub items: Vec<CiphertextItem>,
    pub seal: Option<SealInput<'e>>,
}

/// Who shares are sealed for, if they are for a user, and the key that signs them.
#[napi(object, object_to_js = false)]
pub struct SealInput<'e> {
    pub node_key: ClassInstance<'e, NativeNodeKey>,
    pub recipient: Recipient,
}

/// One request's partial decryption.
struct PartialDecryption {
    shares: Arc<KeyShares>,
    masks: Arc<MaskKeys>,
    squash: Option<Arc<SquashKeys>>,
    names: Names,
    items: Vec<CiphertextItem>,
    seal: Option<Seal>,
}

type Outputs = Vec<Zeroizing<Vec<u8>>>;

impl PartialDecryption {
    fn new(input: PartialInput) -> Result<Self> {
        Ok(Self {
            shares: input.shares.get()?,
            masks: input.masks.get()?,
            squash: input.squash.as_ref().map(|keys| keys.get()).transpose()?,
            names: Names {
                context: fixed(&input.context_id, "the context id")?,
                epoch: fixed(&input.epoch_id, "the epoch id")?,
                key: fixed(&input.key_id, "the key id")?,
            },
            items: input.items,
            seal: input.seal.map(|seal| Seal::new(&seal.node_key, &seal.recipient)).transpose()?,
        })
    }

    fn one(&self, item: &CiphertextItem) -> Result<Zeroizing<Vec<u8>>> {
        let (fhe_type, format) = (FheType::parse(item.fhe_type)?, Format::parse(item.format)?);
        let elements = partial_of(
            &self.shares,
            &self.masks,
            &self.names,
            self.squash.as_deref(),
            &item.ciphertext,
            fhe_type,
            format,
        )?;
        let Some(seal) = &self.seal else { return Ok(elements) };
        // bincode of a vector of elements: their number, then each.
        let mut payload = Zeroizing::new(Vec::with_capacity(8 + elements.len()));
        payload.extend_from_slice(&((elements.len() / (DEGREE * 16)) as u64).to_le_bytes());
        payload.extend_from_slice(&elements);
        seal.signcrypt(&payload, fhe_type)
    }

    fn run(&self) -> Result<Outputs> {
        guarded("partial decryption", || self.items.iter().map(|item| self.one(item)).collect())
    }
}

/// Partial decryptions of several requests, on one thread of the pool: the key stays in its cache from one to the next.
pub struct PartialDecryptions(Vec<Result<PartialDecryption>>);

/// A request's shares, or `CODE: message`.
type Outcome<'e> = Either<Vec<Uint8ArraySlice<'e>>, String>;

impl<'task> ScopedTask<'task> for PartialDecryptions {
    type Output = Vec<Result<Outputs>>;
    type JsValue = Vec<Outcome<'task>>;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        // Ciphertexts stay in `self`: JavaScript's references to them are given back on its own thread.
        let run = |request: &Result<PartialDecryption>| request.as_ref().map_err(EngineError::clone)?.run();
        Ok(self.0.iter().map(run).collect())
    }

    fn resolve(&mut self, env: &'task Env, outputs: Self::Output) -> napi::Result<Self::JsValue> {
        let outcome = |output| match output {
            Ok(shares) => Ok(Either::A(copy_out(env, shares)?)),
            Err(error) => Ok(Either::B(napi::Error::from(error).reason)),
        };
        outputs.into_iter().map(outcome).collect()
    }
}

/// This party's masked shares of the ciphertexts of some requests: for the other parties, or sealed for a user. A
/// request that fails leaves the others alone.
#[napi]
pub fn partial_decryptions(requests: Vec<PartialInput>) -> AsyncTask<PartialDecryptions> {
    let new = |input| guarded("partial decryption", || PartialDecryption::new(input));
    AsyncTask::new(PartialDecryptions(requests.into_iter().map(new).collect()))
}

/// [`partial_decryptions`] of one request, on the calling thread.
#[napi]
pub fn partial_decryption_sync<'e>(env: &'e Env, request: PartialInput) -> napi::Result<Vec<Uint8ArraySlice<'e>>> {
    copy_out(env, guarded("partial decryption", || PartialDecryption::new(request))?.run()?)
}

/// This party's masked shares of the encryptions of zero of a key set, to be opened once an epoch.
#[napi]
pub fn zero_shares(input: PartialInput) -> napi::Result<AsyncTask<BytesJob>> {
    let job = PartialDecryption::new(input)?;
    Ok(spawn_bytes("an opening of zero", move || {
        let words = masked::zero_shares(&job.shares, &job.masks, &job.names)?;
        Ok(words.iter().flat_map(|word| word.to_le_bytes()).collect())
    }))
}

/// Opens encryptions of zero; gives the parties that lied, or null while more contributions are needed.
#[napi]
pub fn open_zeros(n: u32, t: u32, parties: Vec<u32>, contributions: Vec<Uint8Array>) -> napi::Result<Option<Vec<u32>>> {
    let parties = check_roles(&parties)?;
    let pairs: Vec<(u8, &[u8])> = parties.into_iter().zip(contributions.iter().map(|bytes| bytes.as_ref())).collect();
    let liars = guarded("an opening of zero", || opening::open_zeros(n as usize, t as usize, &pairs))?;
    Ok(liars.map(|liars| liars.into_iter().map(u32::from).collect()))
}

/// An opened decryption.
pub struct OpenedPlaintext {
    plaintext: Zeroizing<Vec<u8>>,
    liars: Vec<u8>,
}

/// What [`open_decryption`] gives.
#[napi(object, object_from_js = false)]
pub struct OpenedDecryption<'e> {
    pub plaintext: Uint8ArraySlice<'e>,
    pub liars: Vec<u32>,
}

/// An opening on the thread pool.
pub struct Opening {
    n: usize,
    t: usize,
    fhe_type: FheType,
    format: Format,
    parties: Vec<u8>,
    contributions: Vec<Uint8Array>,
}

impl Opening {
    fn run(&self) -> Result<Option<OpenedPlaintext>> {
        let contributions: Vec<(u8, &[u8])> =
            self.parties.iter().copied().zip(self.contributions.iter().map(|bytes| bytes.as_ref())).collect();
        let opened = open_blocks(self.n, self.t, self.fhe_type.packed_blocks(), &contributions)?;
        Ok(opened.map(|opened| {
            // Whatever the format, what is opened are squashed blocks of four bits.
            let squashed = match self.format {
                Format::SmallCompressed | Format::SmallExpanded => Format::BigExpanded,
                big => big,
            };
            let plaintext = recompose(&Zeroizing::new(opened.blocks), 4, self.fhe_type, squashed);
            OpenedPlaintext { plaintext, liars: opened.liars }
        }))
    }
}

impl<'task> ScopedTask<'task> for Opening {
    type Output = Option<OpenedPlaintext>;
    type JsValue = Option<OpenedDecryption<'task>>;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        Ok(guarded("opening", || self.run())?)
    }

    fn resolve(&mut self, env: &'task Env, output: Self::Output) -> napi::Result<Self::JsValue> {
        hand_out(env, output)
    }
}

fn hand_out(env: &Env, output: Option<OpenedPlaintext>) -> napi::Result<Option<OpenedDecryption<'_>>> {
    let wrap = |opened: OpenedPlaintext| {
        let liars = opened.liars.iter().copied().map(u32::from).collect();
        Ok(OpenedDecryption { plaintext: Uint8ArraySlice::copy_from(env, opened.plaintext.as_slice())?, liars })
    };
    output.map(wrap).transpose()
}

impl Opening {
    fn new(
        (n, t): (u32, u32),
        (fhe_type, format): (i32, i32),
        parties: &[u32],
        contributions: Vec<Uint8Array>,
    ) -> Result<Self> {
        let (n, t) = (n as usize, t as usize);
        super::ring::check_parties(n, t)?;
        let (fhe_type, format) = (FheType::parse(fhe_type)?, Format::parse(format)?);
        Ok(Self { n, t, fhe_type, format, parties: check_roles(parties)?, contributions })
    }
}

/// Opens a public decryption; gives null while more contributions are needed.
#[napi]
pub fn open_decryption(
    n: u32,
    t: u32,
    fhe_type: i32,
    format: i32,
    parties: Vec<u32>,
    contributions: Vec<Uint8Array>,
) -> napi::Result<AsyncTask<Opening>> {
    Ok(AsyncTask::new(Opening::new((n, t), (fhe_type, format), &parties, contributions)?))
}

/// [`open_decryption`] on the calling thread.
#[napi]
pub fn open_decryption_sync<'e>(
    env: &'e Env,
    n: u32,
    t: u32,
    fhe_type: i32,
    format: i32,
    parties: Vec<u32>,
    contributions: Vec<Uint8Array>,
) -> napi::Result<Option<OpenedDecryption<'e>>> {
    let opening = Opening::new((n, t), (fhe_type, format), &parties, contributions)?;
    hand_out(env, guarded("opening", || opening.run())?)
}
