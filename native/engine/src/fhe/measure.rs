//! How many bytes a library object takes at the start of others: vaults of the published layout put objects one after the
//! other and write no lengths (kms-service.md §6.4).
//!
//! Secret: client keys, which are wiped. Everything else that is measured is public.

use std::io::Cursor;

use bincode::Options;
use tfhe::integer::compression_keys::DecompressionKey;
use tfhe::integer::noise_squashing::NoiseSquashingKey;
use tfhe::shortint::ClassicPBSParameters;
use tfhe::shortint::parameters::list_compression::CompressionParameters;
use tfhe::xof_key_set::CompressedXofKeySet;
use tfhe::{ClientKey, Unversionize};

use super::key::wipe;
use crate::errors::{EngineError, Result};

/// Bytes that the object of this kind takes at the start of `bytes`, in this or an older version of the library.
pub fn measure(kind: &str, bytes: &[u8]) -> Result<usize> {
    match kind {
        "ClientKey" => {
            let (versioned, size) = versioned::<ClientKey>(bytes)?;
            wipe(ClientKey::unversionize(versioned).map_err(|_| unreadable())?);
            Ok(size)
        }
        "ServerKey" => public::<tfhe::integer::ServerKey>(bytes),
        "NoiseSquashingKey" => public::<NoiseSquashingKey>(bytes),
        "DecompressionKey" => public::<DecompressionKey>(bytes),
        "CompressedXofKeySet" => public::<CompressedXofKeySet>(bytes),
        "PbsParameters" => public::<ClassicPBSParameters>(bytes),
        "CompressionParameters" => public::<CompressionParameters>(bytes),
        _ => Err(EngineError::request("objects of this kind are not measured")),
    }
}

fn public<T: Unversionize>(bytes: &[u8]) -> Result<usize> {
    Ok(versioned::<T>(bytes)?.1)
}

fn versioned<T: Unversionize>(bytes: &[u8]) -> Result<(T::VersionedOwned, usize)> {
    // The limit bounds what a length that lies can make the reader allocate.
    let format = bincode::DefaultOptions::new().with_fixint_encoding().allow_trailing_bytes();
    let mut cursor = Cursor::new(bytes);
    let object = format
        .with_limit(bytes.len() as u64)
        .deserialize_from::<_, T::VersionedOwned>(&mut cursor)
        .map_err(|_| unreadable())?;
    Ok((object, cursor.position() as usize))
}

fn unreadable() -> EngineError {
    EngineError::key("not an object that this version of the library reads")
}
