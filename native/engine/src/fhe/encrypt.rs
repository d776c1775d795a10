//! Encryption under a public key, in the four ciphertext forms, the way the coprocessor makes them: a compact list,
//! expanded with the server key, then packed, squashed, or squashed and packed.

use tfhe::integer::bigint::U2048;
use tfhe::prelude::{CiphertextList, SquashNoise};
use tfhe::{
    CompactCiphertextList, CompactCiphertextListBuilder, CompactCiphertextListExpander,
    CompressedCiphertextListBuilder, CompressedSquashedNoiseCiphertextListBuilder, FheBool, FheUint4, FheUint8,
    FheUint16, FheUint32, FheUint64, FheUint128, FheUint160, FheUint256, FheUint512, FheUint1024, FheUint2048,
    with_server_key_as_context,
};

use super::evaluation::Evaluation;
use super::generate::serialize;
use super::types::{FheType, Format};
use crate::errors::{EngineError, Result};

fn failed(_: tfhe::Error) -> EngineError {
    EngineError::internal("the evaluation keys cannot make this ciphertext")
}

/// Adds a little-endian value of the type's width to a compact list.
pub fn push(builder: &mut CompactCiphertextListBuilder, value: &[u8], fhe_type: FheType) -> Result<()> {
    if value.len() != fhe_type.plaintext_size() {
        return Err(EngineError::request(format!("a value of this type has {} bytes", fhe_type.plaintext_size())));
    }
    if !fhe_type.bits().is_multiple_of(8) && value[0] >> fhe_type.bits() != 0 {
        return Err(EngineError::request(format!("the value has more than {} bits", fhe_type.bits())));
    }
    if fhe_type.is_bool() {
        builder.push(value[0] == 1);
        return Ok(());
    }
    let mut words = [0u64; 32];
    for (index, byte) in value.iter().enumerate() {
        words[index / 8] |= u64::from(*byte) << (index % 8 * 8);
    }
    builder.push_with_num_bits(U2048::from(words), fhe_type.bits()).map_err(failed)?;
    Ok(())
}

/// Encrypts one value.
pub fn encrypt(keys: &Evaluation, value: &[u8], fhe_type: FheType, format: Format) -> Result<Vec<u8>> {
    let mut builder = CompactCiphertextList::builder(&keys.public_key);
    push(&mut builder, value, fhe_type)?;
    let list = builder.build_packed();
    with_server_key_as_context(keys.server_key.clone(), || {
        let expander = list.expand().map_err(failed)?;
        extract(&expander, 0, fhe_type, format)
    })
}

macro_rules! forms {
    ($expander:expr, $index:expr, $format:expr, $kind:ty) => {{
        let missing = || EngineError::ciphertext("the list has no such element");
        let value: $kind = $expander
            .get($index)
            .map_err(|_| EngineError::ciphertext("the list's element has another type"))?
            .ok_or_else(missing)?;
        match $format {
            Format::SmallExpanded => serialize(&value),
            Format::SmallCompressed => {
                let mut builder = CompressedCiphertextListBuilder::new();
                builder.push(value);
                serialize(&builder.build().map_err(failed)?)
            }
            Format::BigExpanded => serialize(&value.squash_noise().map_err(failed)?),
            Format::BigCompressed => {
                let mut builder = CompressedSquashedNoiseCiphertextListBuilder::new();
                builder.push(value.squash_noise().map_err(failed)?);
                serialize(&builder.build().map_err(failed)?)
            }
        }
    }};
}

/// Takes element `index` out of an expanded list and writes it in `format`. The server key must be in context.
pub fn extract(
    expander: &CompactCiphertextListExpander,
    index: usize,
    fhe_type: FheType,
    format: Format,
) -> Result<Vec<u8>> {
    match fhe_type.number() {
        0 => forms!(expander, index, format, FheBool),
        1 => forms!(expander, index, format, FheUint4),
        2 => forms!(expander, index, format, FheUint8),
        3 => forms!(expander, index, format, FheUint16),
        4 => forms!(expander, index, format, FheUint32),
        5 => forms!(expander, index, format, FheUint64),
        6 => forms!(expander, index, format, FheUint128),
        7 => forms!(expander, index, format, FheUint160),
        8 => forms!(expander, index, format, FheUint256),
        9 => forms!(expander, index, format, FheUint512),
        10 => forms!(expander, index, format, FheUint1024),
        _ => forms!(expander, index, format, FheUint2048),
    }
}
