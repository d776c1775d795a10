//! The Node-API face of threshold decryption: partial decryption for peers and for users, and opening.
//!
//! Ciphertexts are read where JavaScript has them. A mask never exists outside one call; a user's share leaves signed
//! and encrypted.

use std::sync::Arc;

use napi::bindgen_prelude::{AsyncTask, ClassInstance, Uint8Array, Uint8ArraySlice};
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
use crate::errors::{Result, guarded};
use crate::fhe::bind_decrypt::{CiphertextItem, Recipient, Seal, copy_out, fixed};
use crate::fhe::decrypt::recompose;
use crate::fhe::types::{FheType, Format};
use crate::task::{BytesJob, spawn_bytes};

/// What one party decrypts with, and the names that its masks are bound to.
#[napi(object, object_to_js = false)]
pub struct PartialInput<'e> {
    pub shares: ClassInstance<'e, NativeKeyShares>,
    pub masks: ClassInstance<'e, NativeMaskKeys>,
    pub squash: Option<ClassInstance<'e, NativeSquashKeys>>,
    pub context_id: Uint8Array,
    pub epoch_id: Uint8Array,
    pub key_id: Uint8Array,
}

/// Partial decryptions on the thread pool.
pub struct PartialDecryption {
    shares: Arc<KeyShares>,
    masks: Arc<MaskKeys>,
    squash: Option<Arc<SquashKeys>>,
    names: Names,
    items: Vec<CiphertextItem>,
    seal: Option<Seal>,
}

type Outputs = Vec<Zeroizing<Vec<u8>>>;

impl PartialDecryption {
    fn new(input: &PartialInput, items: Vec<CiphertextItem>, seal: Option<Seal>) -> Result<Self> {
        Ok(Self {
            shares: input.shares.get()?,
            masks: input.masks.get()?,
            squash: input.squash.as_ref().map(|keys| keys.get()).transpose()?,
            names: Names {
                context: fixed(&input.context_id, "the context id")?,
                epoch: fixed(&input.epoch_id, "the epoch id")?,
                key: fixed(&input.key_id, "the key id")?,
            },
            items,
            seal,
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
        self.items.iter().map(|item| self.one(item)).collect()
    }
}

impl<'task> ScopedTask<'task> for PartialDecryption {
    type Output = Outputs;
    type JsValue = Vec<Uint8ArraySlice<'task>>;

    fn compute(&mut self) -> napi::Result<Outputs> {
        Ok(guarded("partial decryption", || self.run())?)
    }

    fn resolve(&mut self, env: &'task Env, outputs: Outputs) -> napi::Result<Vec<Uint8ArraySlice<'task>>> {
        copy_out(env, outputs)
    }
}

/// This party's masked shares of ciphertexts, for the other parties.
#[napi]
pub fn partial_decrypt(input: PartialInput, items: Vec<CiphertextItem>) -> napi::Result<AsyncTask<PartialDecryption>> {
    Ok(AsyncTask::new(PartialDecryption::new(&input, items, None)?))
}

/// [`partial_decrypt`] on the calling thread.
#[napi]
pub fn partial_decrypt_sync<'e>(
    env: &'e Env,
    input: PartialInput,
    items: Vec<CiphertextItem>,
) -> napi::Result<Vec<Uint8ArraySlice<'e>>> {
    let decryption = PartialDecryption::new(&input, items, None)?;
    copy_out(env, guarded("partial decryption", || decryption.run())?)
}

/// [`user_shares`] on the calling thread.
#[napi]
pub fn user_shares_sync<'e>(
    env: &'e Env,
    input: PartialInput,
    node_key: &NativeNodeKey,
    items: Vec<CiphertextItem>,
    recipient: Recipient,
) -> napi::Result<Vec<Uint8ArraySlice<'e>>> {
    let outputs = guarded("partial decryption", || {
        let seal = Seal::new(node_key, &recipient)?;
        PartialDecryption::new(&input, items, Some(seal))?.run()
    })?;
    copy_out(env, outputs)
}

/// The same for one user: each share leaves signed and encrypted.
#[napi]
pub fn user_shares(
    input: PartialInput,
    node_key: &NativeNodeKey,
    items: Vec<CiphertextItem>,
    recipient: Recipient,
) -> napi::Result<AsyncTask<PartialDecryption>> {
    let seal = guarded("partial decryption", || Seal::new(node_key, &recipient))?;
    Ok(AsyncTask::new(PartialDecryption::new(&input, items, Some(seal))?))
}

/// This party's masked shares of the encryptions of zero of a key set, to be opened once an epoch.
#[napi]
pub fn zero_shares(input: PartialInput) -> napi::Result<AsyncTask<BytesJob>> {
    let job = PartialDecryption::new(&input, Vec::new(), None)?;
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
