//! Evaluation keys: what a coprocessor holds. Used for encryption, squashing and expansion by clients, tests, demos.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use tfhe::named::Named;
use tfhe::xof_key_set::CompressedXofKeySet;
use tfhe::{CompactPublicKey, DeserializationConfig, ServerKey, Unversionize};

use crate::errors::{Code, EngineError, Result};

/// Largest public object that is read.
const MAX_OBJECT_SIZE: u64 = 2 * 1024 * 1024 * 1024;

/// Public key and server key of one key set. Cheap to clone.
#[derive(Clone)]
pub struct Evaluation {
    pub public_key: CompactPublicKey,
    pub server_key: ServerKey,
}

impl Evaluation {
    pub fn from_key_set(path: &str) -> Result<Self> {
        let set: CompressedXofKeySet = read_file(path)?;
        let (public_key, server_key) = set.decompress().into_raw_parts();
        Ok(Self { public_key, server_key })
    }

    pub fn from_keys(server_key_path: &str, public_key_path: &str) -> Result<Self> {
        Ok(Self { public_key: read_file(public_key_path)?, server_key: read_file(server_key_path)? })
    }
}

/// Reads one safe-serialized public object from a file, streaming; nothing may follow it.
pub fn read_file<T>(path: &str) -> Result<T>
where
    T: serde::de::DeserializeOwned + Unversionize + Named,
{
    let file = File::open(Path::new(path))
        .map_err(|error| EngineError::new(Code::NotFound, format!("cannot open {path}: {}", error.kind())))?;
    read(BufReader::with_capacity(1 << 20, file))
}

/// Reads one safe-serialized public object; nothing may follow it.
pub fn read<T>(mut reader: impl Read) -> Result<T>
where
    T: serde::de::DeserializeOwned + Unversionize + Named,
{
    let object = DeserializationConfig::new(MAX_OBJECT_SIZE)
        .disable_conformance()
        .deserialize_from::<T>(&mut reader)
        .map_err(|_| EngineError::key(format!("not a {} that this version reads", T::NAME)))?;
    let mut rest = [0u8; 1];
    match reader.read(&mut rest) {
        Ok(0) => Ok(object),
        _ => Err(EngineError::key(format!("bytes follow the {}", T::NAME))),
    }
}
