//! Generation of key sets, decryption-side helper keys and CRSs.
//!
//! Randomness is the operating system's: a 256-bit private seed, from which the crate draws the 128-bit public seed.
//! One generation runs at a time. It uses all cores, at a lower priority than decryptions, which go on meanwhile.

use std::sync::Mutex;

use tfhe::core_crypto::commons::math::random::RandomGenerator;
use tfhe::core_crypto::prelude::{DefaultRandomGenerator, LweCiphertextCount};
use tfhe::integer::compression_keys::DecompressionKey;
use tfhe::named::Named;
use tfhe::prelude::Tagged;
use tfhe::shortint::client_key::atomic_pattern::AtomicPatternClientKey;
use tfhe::xof_key_set::CompressedXofKeySet;
use tfhe::zk::{CompactPkeCrs, ZkMSBZeroPaddingBitCount};
use tfhe::{CompactPublicKey, SerializationConfig, Tag, Versionize, XofSeed};
use zeroize::Zeroize;

use super::key::{FheSecretKey, take_compression_key, wipe};
use super::object::downgrade_public_key;
use super::params::Params;
use crate::errors::{Code, EngineError, Result};

/// Security level of the public seed, in bits.
const SECURITY_BITS: u32 = 128;

/// Public objects of one generation: type names of kms-service §6.1 and stored bytes.
pub type Objects = Vec<(&'static str, Vec<u8>)>;

/// How the server-side key is published.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One `CompressedXofKeySet`.
    Compressed,
    /// One expanded `ServerKey`.
    Uncompressed,
}

impl Layout {
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "compressed" => Ok(Self::Compressed),
            "uncompressed" => Ok(Self::Uncompressed),
            _ => Err(EngineError::request("the layout is 'compressed' or 'uncompressed'")),
        }
    }
}

static GENERATION: Mutex<()> = Mutex::new(());

/// Runs one generation alone; a second one is refused at once.
fn alone<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let _turn = match GENERATION.try_lock() {
        Ok(turn) => turn,
        Err(std::sync::TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(std::sync::TryLockError::WouldBlock) => {
            return Err(EngineError::new(Code::PreconditionFailed, "another generation is running"));
        }
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .thread_name(|index| format!("generation-{index}"))
        .start_handler(|_| step_back())
        .build()
        .map_err(|_| EngineError::internal("no threads for a generation"))?;
    pool.install(work)
}

/// Lowers the calling thread's priority. Failing to do so only costs latency elsewhere.
#[cfg(target_os = "linux")]
fn step_back() {
    unsafe extern "C" {
        safe fn setpriority(which: i32, who: u32, priority: i32) -> i32;
    }
    const PRIO_PROCESS: i32 = 0;
    const NICENESS: i32 = 10;
    // On Linux `who` 0 means the calling thread alone.
    let _ = setpriority(PRIO_PROCESS, 0, NICENESS);
}

#[cfg(not(target_os = "linux"))]
fn step_back() {}

fn private_seed() -> Result<Vec<u8>> {
    let mut seed = vec![0u8; 32];
    getrandom::fill(&mut seed).map_err(|_| EngineError::internal("the operating system gives no randomness"))?;
    Ok(seed)
}

/// Serializes a public object as the crate does, into a vector of exactly its size.
pub fn serialize<T: serde::Serialize + Versionize + Named>(object: &T) -> Result<Vec<u8>> {
    let config = SerializationConfig::new_with_unlimited_size();
    let failed = |_| EngineError::internal("an object cannot be serialized");
    let size = config.serialized_size(object).map_err(failed)?;
    let mut bytes = Vec::with_capacity(size as usize);
    config.serialize_into(object, &mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// A public key as clients from tfhe 1.4.0-alpha.3 on read it.
pub fn serialize_public_key(key: &CompactPublicKey) -> Result<Vec<u8>> {
    let mut bytes = serialize(key)?;
    downgrade_public_key(&mut bytes)?;
    Ok(bytes)
}

/// Makes a key set: a new secret key, or new public objects for `existing`.
pub fn key_set(
    params: Params,
    tag: Vec<u8>,
    layout: Layout,
    existing: Option<&FheSecretKey>,
) -> Result<(FheSecretKey, Objects)> {
    alone(|| {
        let mut named = Tag::default();
        named.set_data(&tag);
        let (client_key, set) = match existing {
            None => CompressedXofKeySet::generate(
                params.config(),
                private_seed()?,
                SECURITY_BITS,
                params.hamming_bound(),
                named,
            ),
            Some(key) => {
                if key.params != params {
                    return Err(EngineError::request("the existing key has other parameters"));
                }
                let mut client_key = key.client_key()?;
                *client_key.tag_mut() = named;
                let mut public_seed = vec![0u8; SECURITY_BITS as usize / 8];
                getrandom::fill(&mut public_seed)
                    .map_err(|_| EngineError::internal("the operating system gives no randomness"))?;
                let private =
                    RandomGenerator::<DefaultRandomGenerator>::new(XofSeed::new(private_seed()?, *b"TFHEKGen"));
                let public = XofSeed::new(public_seed, *b"TFHE_GEN");
                CompressedXofKeySet::generate_with_pre_seeded_generator(public, &client_key, private)
                    .map(|set| (client_key, set))
            }
        }
        .map_err(|_| EngineError::internal("key generation failed"))?;
        let objects = publish(set, layout);
        let key = FheSecretKey::from_client_key(params, client_key)?;
        Ok((key, objects?))
    })
}

/// Makes the key set that a 32-byte private seed determines, all of it, byte for byte. The caller wipes the client key.
pub fn key_set_from_seed(
    params: Params,
    tag: Vec<u8>,
    layout: Layout,
    seed: Vec<u8>,
) -> Result<(tfhe::ClientKey, Objects)> {
    alone(|| {
        let mut named = Tag::default();
        named.set_data(&tag);
        let (client_key, set) =
            CompressedXofKeySet::generate(params.config(), seed, SECURITY_BITS, params.hamming_bound(), named)
                .map_err(|_| EngineError::internal("key generation failed"))?;
        match publish(set, layout) {
            Ok(objects) => Ok((client_key, objects)),
            Err(error) => {
                wipe(client_key);
                Err(error)
            }
        }
    })
}

fn publish(set: CompressedXofKeySet, layout: Layout) -> Result<Objects> {
    match layout {
        Layout::Compressed => {
            // The public key is the first in the key set's stream, so it can be expanded on its own.
            let (seed, public_key, server_key) = set.into_raw_parts();
            let expanded = serialize_public_key(&public_key.decompress())?;
            let set = CompressedXofKeySet::from_raw_parts(seed, public_key, server_key);
            Ok(vec![("PublicKey", expanded), ("CompressedXofKeySet", serialize(&set)?)])
        }
        Layout::Uncompressed => {
            let expanded = set.decompress();
            drop(set);
            let (public_key, server_key) = expanded.into_raw_parts();
            Ok(vec![("PublicKey", serialize_public_key(&public_key)?), ("ServerKey", serialize(&server_key)?)])
        }
    }
}

/// Makes the key that opens lists compressed under `from` to ciphertexts under `to`.
pub fn decompression_key(from: &FheSecretKey, to: &FheSecretKey) -> Result<Vec<u8>> {
    alone(|| {
        let packing = take_compression_key(from.client_key()?)?;
        let target = to.client_key()?;
        let key = match &AsRef::<tfhe::shortint::ClientKey>::as_ref(AsRef::<tfhe::integer::ClientKey>::as_ref(&target))
            .atomic_pattern
        {
            AtomicPatternClientKey::Standard(pattern) => Ok(pattern.new_decompression_key(&packing)),
            AtomicPatternClientKey::KeySwitch32(_) => Err(EngineError::key("the key has another atomic pattern")),
        };
        packing.post_packing_ks_key.into_container().zeroize();
        wipe(target);
        serialize(&DecompressionKey::from_raw_parts(key?))
    })
}

/// Makes a CRS for proofs over at most `max_bits` encrypted bits. The trapdoor never leaves this call.
///
/// With a seed, which whoever knows the trapdoor knows, it is determined by it, byte for byte.
pub fn crs(params: Params, max_bits: u32, seed: Option<&[u8; 32]>) -> Result<Vec<u8>> {
    if max_bits == 0 {
        return Err(EngineError::request("a CRS is for at least one bit"));
    }
    alone(|| {
        let made = match seed {
            None => CompactPkeCrs::from_config(params.config(), max_bits as usize),
            Some(seed) => crs_from_seed(params, max_bits, seed),
        };
        serialize(&made.map_err(|_| EngineError::request("no CRS can be made for so many bits"))?)
    })
}

/// `CompactPkeCrs::from_config` with randomness of our own. The parameters are those of the crate's own function.
fn crs_from_seed(params: Params, max_bits: u32, seed: &[u8; 32]) -> tfhe::Result<CompactPkeCrs> {
    let public_key = params.config().public_key_encryption_parameters()?;
    let block_values = public_key.message_modulus.0 * public_key.carry_modulus.0;
    let slots = (max_bits as usize).div_ceil(block_values.ilog2() as usize);
    let mut random = RandomGenerator::<DefaultRandomGenerator>::new(XofSeed::new(seed.to_vec(), *b"ARCA_CRS"));
    CompactPkeCrs::new(
        public_key.encryption_lwe_dimension,
        LweCiphertextCount(slots),
        public_key.encryption_noise_distribution,
        public_key.ciphertext_modulus,
        2 * block_values,
        ZkMSBZeroPaddingBitCount(1),
        &mut random,
    )
}
