//! Squashing of small ciphertexts with the public key set, so that they can be decrypted by a quorum
//! (threshold-protocols §3.1). Everything here is public.

use std::io::Cursor;

use tfhe::prelude::SquashNoise;
use tfhe::{
    CompressedCiphertextList, FheBool, FheUint4, FheUint8, FheUint16, FheUint32, FheUint64, FheUint128, FheUint160,
    FheUint256, FheUint512, FheUint1024, FheUint2048, ServerKey, with_server_key_as_context,
};

use crate::errors::{EngineError, Result};
use crate::fhe::evaluation::{Evaluation, read};
use crate::fhe::generate::serialize;
use crate::fhe::params::Params;
use crate::fhe::parse::{small_compressed, small_expanded};
use crate::fhe::types::{FheType, Format};

/// What squashing needs of a key set.
pub struct SquashKeys {
    server_key: ServerKey,
}

fn failed(_: tfhe::Error) -> EngineError {
    EngineError::ciphertext("the ciphertext cannot be squashed with the key set")
}

macro_rules! squashed {
    ($bytes:expr, $format:expr, $kind:ty) => {{
        let value: $kind = match $format {
            Format::SmallCompressed => {
                use tfhe::prelude::CiphertextList;
                let list: CompressedCiphertextList = read(Cursor::new($bytes))?;
                let missing = || EngineError::ciphertext("the list has no element of this type");
                list.get(0).map_err(failed)?.ok_or_else(missing)?
            }
            _ => read(Cursor::new($bytes))?,
        };
        serialize(&value.squash_noise().map_err(failed)?)
    }};
}

impl SquashKeys {
    pub fn from_key_set(path: &str) -> Result<Self> {
        Ok(Self { server_key: Evaluation::from_key_set(path)?.server_key })
    }

    pub fn from_server_key(path: &str, public_key_path: &str) -> Result<Self> {
        Ok(Self { server_key: Evaluation::from_keys(path, public_key_path)?.server_key })
    }

    /// The expanded squashed form of a small ciphertext, which is checked first.
    pub fn squash(&self, params: Params, bytes: &[u8], fhe_type: FheType, format: Format) -> Result<Vec<u8>> {
        match format {
            Format::SmallCompressed => small_compressed(bytes, params, fhe_type).map(drop)?,
            Format::SmallExpanded => small_expanded(bytes, params, fhe_type).map(drop)?,
            Format::BigCompressed | Format::BigExpanded => {
                return Err(EngineError::internal("the ciphertext is squashed already"));
            }
        }
        with_server_key_as_context(self.server_key.clone(), || match fhe_type.number() {
            0 => squashed!(bytes, format, FheBool),
            1 => squashed!(bytes, format, FheUint4),
            2 => squashed!(bytes, format, FheUint8),
            3 => squashed!(bytes, format, FheUint16),
            4 => squashed!(bytes, format, FheUint32),
            5 => squashed!(bytes, format, FheUint64),
            6 => squashed!(bytes, format, FheUint128),
            7 => squashed!(bytes, format, FheUint160),
            8 => squashed!(bytes, format, FheUint256),
            9 => squashed!(bytes, format, FheUint512),
            10 => squashed!(bytes, format, FheUint1024),
            _ => squashed!(bytes, format, FheUint2048),
        })
    }
}
