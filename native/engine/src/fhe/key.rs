//! A whole FHE secret key in memory, and its passage to and from the crate's `ClientKey`.
//!
//! Secret: everything here but parameters, tag and metadata. The key is kept as its serialization (for generation and
//! storage) and as masks (for decryption); both are wiped when the last user is done.

use std::io::Cursor;

use tfhe::core_crypto::prelude::GlweSecretKeyOwned;
use tfhe::integer::CompactPrivateKey;
use tfhe::integer::oprf::OprfPrivateKey;
use tfhe::prelude::Tagged;
use tfhe::shortint::client_key::atomic_pattern::AtomicPatternClientKey;
use tfhe::shortint::list_compression::CompressionPrivateKeys;
use tfhe::shortint::oprf::AtomicPatternOprfPrivateKey;
use tfhe::shortint::parameters::ShortintKeySwitchingParameters;
use tfhe::{ClientKey, DeserializationConfig, SerializationConfig};
use zeroize::{Zeroize, Zeroizing};

use super::decrypt::DecryptionKeys;
use super::params::Params;
use super::secret::{mask, reversed_mask};
use crate::errors::{EngineError, Result};

/// Largest serialized client key; the real one has 221 kB.
const MAX_CLIENT_KEY_SIZE: u64 = 4 * 1024 * 1024;

type CompactKey = (CompactPrivateKey<Vec<u64>>, ShortintKeySwitchingParameters);

/// A whole secret key. Wiped when dropped.
pub struct FheSecretKey {
    pub params: Params,
    pub tag: Vec<u8>,
    /// The crate's safe serialization of the client key.
    pub serialized: Zeroizing<Vec<u8>>,
    pub decryption: DecryptionKeys,
}

impl FheSecretKey {
    /// Takes a client key apart; its containers that can be reached are wiped.
    pub fn from_client_key(params: Params, client_key: ClientKey) -> Result<Self> {
        // The size is asked for first: a vector that grows leaves copies behind.
        let config = SerializationConfig::new(MAX_CLIENT_KEY_SIZE);
        let size = config.serialized_size(&client_key).map_err(|_| EngineError::internal("the key has no size"))?;
        let mut serialized = Zeroizing::new(Vec::with_capacity(size as usize));
        config
            .serialize_into(&client_key, &mut *serialized)
            .map_err(|_| EngineError::internal("the key cannot be serialized"))?;
        let tag = client_key.tag().data().to_vec();
        let decryption = decryption_keys(params, client_key)?;
        Ok(Self { params, tag, serialized, decryption })
    }

    /// Reads a serialized client key of this or an older version of the crate.
    pub fn from_serialized(params: Params, serialized: &[u8]) -> Result<Self> {
        Self::from_client_key(params, read_client_key(serialized)?)
    }

    /// The crate's form, for generation under this key. The caller hands it to [`wipe`] when done.
    pub fn client_key(&self) -> Result<ClientKey> {
        read_client_key(&self.serialized)
    }
}

fn read_client_key(serialized: &[u8]) -> Result<ClientKey> {
    let mut cursor = Cursor::new(serialized);
    let key = DeserializationConfig::new(MAX_CLIENT_KEY_SIZE)
        .disable_conformance()
        .deserialize_from::<ClientKey>(&mut cursor)
        .map_err(|_| EngineError::key("not a serialized client key that this version reads"))?;
    if cursor.position() != serialized.len() as u64 {
        return Err(EngineError::key("bytes follow the client key"));
    }
    Ok(key)
}

/// Wipes every container of a client key.
pub fn wipe(client_key: ClientKey) {
    let (key, compact, compression, squash, squash_compression, _, oprf, _) = client_key.into_raw_parts();
    wipe_compute(key.into_raw_parts().atomic_pattern);
    wipe_helpers(compact, oprf);
    if let Some(compression) = compression {
        compression.into_raw_parts().post_packing_ks_key.into_container().zeroize();
    }
    if let Some(squash) = squash {
        squash.into_raw_parts().into_raw_parts().0.into_container().zeroize();
    }
    if let Some(packing) = squash_compression {
        packing.into_raw_parts().into_raw_parts().0.into_container().zeroize();
    }
}

fn wipe_compute(pattern: AtomicPatternClientKey) {
    match pattern {
        AtomicPatternClientKey::Standard(pattern) => {
            let (glwe, lwe, _, _) = pattern.into_raw_parts();
            glwe.into_container().zeroize();
            lwe.into_container().zeroize();
        }
        AtomicPatternClientKey::KeySwitch32(pattern) => {
            let (glwe, lwe, _) = pattern.into_raw_parts();
            glwe.into_container().zeroize();
            lwe.into_container().zeroize();
        }
    }
}

/// Wipes the keys that decryption has no use for.
fn wipe_helpers(compact: Option<CompactKey>, oprf: Option<OprfPrivateKey>) {
    if let Some((compact, _)) = compact {
        compact.into_raw_parts().into_raw_parts().0.into_container().zeroize();
    }
    match oprf.map(|key| key.into_raw_parts().into_raw_parts()) {
        Some(AtomicPatternOprfPrivateKey::Standard(key)) => key.into_container().zeroize(),
        Some(AtomicPatternOprfPrivateKey::KeySwitch32(key)) => key.into_container().zeroize(),
        None => {}
    }
}

/// Takes the key of packed small ciphertexts out of a client key and wipes the rest. The caller wipes the result.
pub fn take_compression_key(client_key: ClientKey) -> Result<CompressionPrivateKeys> {
    let (key, compact, compression, squash, packing, rerandomization, oprf, tag) = client_key.into_raw_parts();
    wipe(ClientKey::from_raw_parts(key, compact, None, squash, packing, rerandomization, oprf, tag));
    Ok(compression.ok_or_else(|| missing("compression"))?.into_raw_parts())
}

fn missing(what: &str) -> EngineError {
    EngineError::key(format!("the key has no {what} key"))
}

fn decryption_keys(params: Params, client_key: ClientKey) -> Result<DecryptionKeys> {
    let shape = params.shape();
    let (key, compact, compression, squash, squash_compression, _, oprf, _) = client_key.into_raw_parts();
    wipe_helpers(compact, oprf);
    let AtomicPatternClientKey::Standard(pattern) = key.into_raw_parts().atomic_pattern else {
        return Err(EngineError::key("the key has another atomic pattern than the parameters"));
    };
    let (glwe, lwe, _, _) = pattern.into_raw_parts();
    lwe.into_container().zeroize();
    let compression = compression.ok_or_else(|| missing("compression"))?.into_raw_parts().post_packing_ks_key;
    let squash = squash.ok_or_else(|| missing("noise squashing"))?.into_raw_parts().into_raw_parts().0;
    let packing = squash_compression.ok_or_else(|| missing("squash compression"))?.into_raw_parts().into_raw_parts().0;
    Ok(DecryptionKeys {
        params,
        big: take(glwe, shape.big, mask)?,
        compression: take(compression, shape.compression.key_size(), |bits| reversed_mask(bits, &shape.compression))?,
        squash: take(squash, shape.squash, mask)?,
        squash_compression: take(packing, shape.squash_compression.key_size(), |bits| {
            reversed_mask(bits, &shape.squash_compression)
        })?,
    })
}

/// Turns a secret key's bits into a mask and wipes them.
fn take<B>(
    key: GlweSecretKeyOwned<B>,
    size: usize,
    spread: impl FnOnce(&[B]) -> super::secret::Mask,
) -> Result<super::secret::Mask>
where
    B: tfhe::core_crypto::prelude::UnsignedInteger + Zeroize,
{
    let mut bits = key.into_container();
    let binary = bits.iter().fold(true, |all, bit| all & ((*bit == B::ZERO) | (*bit == B::ONE)));
    if bits.len() != size || !binary {
        bits.zeroize();
        return Err(EngineError::key("a secret key has another size than the parameters, or is not binary"));
    }
    let words = spread(&bits);
    bits.zeroize();
    Ok(words)
}
