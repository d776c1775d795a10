//! Reads the four ciphertext forms of tfhe.md §4 into views over the request's bytes.
//!
//! The bytes are hostile. Everything is checked against the key's parameters before a coefficient is touched: names,
//! versions, moduli, dimensions, counts, degrees; exactly one element; nothing after the object.

use super::params::{Packing, Params};
use super::reader::Reader;
use super::types::FheType;
use crate::errors::{EngineError, Result};

/// Largest ciphertext that is looked at.
pub const MAX_CIPHERTEXT_SIZE: usize = 66 * 1024 * 1024;

/// Which secret key opens expanded squashed samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SquashState {
    Normal,
    PostDecompression,
}

/// Coefficients of one packed GLWE ciphertext and how many samples it holds.
pub struct PackedGlwe<'a> {
    pub words: &'a [u8],
    pub bodies: usize,
}

fn wrong_type(fhe_type: FheType) -> EngineError {
    EngineError::ciphertext(format!("the ciphertext does not hold a value of FHE type {}", fhe_type.number()))
}

fn check_size(bytes: &[u8]) -> Result<()> {
    if bytes.len() > MAX_CIPHERTEXT_SIZE {
        return Err(EngineError::ciphertext(format!("a ciphertext has at most {MAX_CIPHERTEXT_SIZE} bytes")));
    }
    Ok(())
}

/// `DataKind`s of a list: exactly one, and the one that `fhe_type` has.
fn expect_kind(reader: &mut Reader, fhe_type: FheType) -> Result<()> {
    let count = reader.u64()?;
    if count != 1 {
        return Err(EngineError::ciphertext(format!("the list holds {count} elements and should hold one")));
    }
    reader.version("the data kind", 1)?;
    match (reader.u32()?, fhe_type.is_bool()) {
        (0, false) if reader.u64()? == fhe_type.blocks() as u64 => Ok(()),
        (2, true) => Ok(()),
        _ => Err(wrong_type(fhe_type)),
    }
}

/// Bits of packed words behind the last coefficient are reserved: nothing stands there.
fn expect_clear_behind(words: &[u8], used_bits: usize) -> Result<()> {
    let clear = words.iter().enumerate().skip(used_bits / 8).all(|(at, byte)| {
        let used = used_bits.saturating_sub(at * 8);
        u16::from(*byte) >> used == 0
    });
    if clear { Ok(()) } else { Err(EngineError::ciphertext("bits behind the last packed coefficient are set")) }
}

/// The GLWE ciphertexts of a list with `samples` samples, filled up one after the other.
fn glwe_list<'a>(
    reader: &mut Reader<'a>,
    packing: &Packing,
    samples: usize,
    torus_bits: usize,
) -> Result<Vec<PackedGlwe<'a>>> {
    let wanted = samples.div_ceil(packing.lwe_per_glwe);
    reader.expect_u64("the number of packed ciphertexts", wanted as u64)?;
    (0..wanted)
        .map(|index| {
            let bodies = packing.lwe_per_glwe.min(samples - index * packing.lwe_per_glwe);
            let coefficients = packing.key_size() + bodies;
            reader.version("the packed ciphertext", 0)?;
            reader.version("the packed integers", 0)?;
            let stored = (coefficients * packing.stored_bits).div_ceil(torus_bits);
            let words = reader.items("the number of packed words", stored, torus_bits / 8)?;
            expect_clear_behind(words, coefficients * packing.stored_bits)?;
            reader.expect_wrapped("the stored width", packing.stored_bits as u64)?;
            reader.expect_u64("the number of coefficients", coefficients as u64)?;
            reader.expect_wrapped("the GLWE dimension", packing.glwe_dimension as u64)?;
            reader.expect_wrapped("the polynomial size", packing.polynomial_size as u64)?;
            reader.expect_wrapped("the number of bodies", bodies as u64)?;
            reader.expect_native_modulus(torus_bits as u64)?;
            Ok(PackedGlwe { words, bodies })
        })
        .collect()
}

/// Format 0: the one `CompressedCiphertextList` element, as packed GLWE ciphertexts.
pub fn small_compressed(bytes: &[u8], params: Params, fhe_type: FheType) -> Result<Vec<PackedGlwe<'_>>> {
    check_size(bytes)?;
    let packing = &params.shape().compression;
    let mut reader = Reader::open(bytes, "high_level_api::CompressedCiphertextList")?;
    let outer = reader.version("the list", 3)?;
    reader.version("the integer list", 0)?;
    let inner = reader.version("the packed list", 2)?;
    let list = glwe_list(&mut reader, packing, fhe_type.blocks(), 64)?;
    if inner == 2 {
        reader.expect_some("the list's description")?;
        reader.version("the list's description", 0)?;
    }
    reader.expect_native_modulus(64)?;
    reader.expect_block_moduli()?;
    atomic_pattern(&mut reader, inner > 0)?;
    reader.expect_wrapped("the samples in a GLWE", packing.lwe_per_glwe as u64)?;
    if inner < 2 {
        reader.expect_wrapped("the number of samples", fhe_type.blocks() as u64)?;
    }
    expect_kind(&mut reader, fhe_type)?;
    if outer > 0 {
        reader.opaque("the tag")?;
    }
    if outer > 2 {
        reader.expect_u64("the number of metadata entries", 1)?;
        reader.opaque("the metadata")?;
    }
    reader.finish()?;
    Ok(list)
}

/// Format 1: the blocks of a `FheUint` or `FheBool`, each a mask and a body.
pub fn small_expanded(bytes: &[u8], params: Params, fhe_type: FheType) -> Result<Vec<&[u8]>> {
    check_size(bytes)?;
    let name = if fhe_type.is_bool() { "high_level_api::FheBool" } else { "high_level_api::FheUint" };
    let mut reader = Reader::open(bytes, name)?;
    let version = reader.version("the ciphertext", 2)?;
    reader.version("the inner ciphertext", 0)?;
    reader.version("the block vector", 0)?;
    if !fhe_type.is_bool() && reader.u64()? != fhe_type.blocks() as u64 {
        return Err(wrong_type(fhe_type));
    }
    let blocks = (0..fhe_type.blocks()).map(|_| small_block(&mut reader, params)).collect::<Result<Vec<_>>>()?;
    if version > 0 {
        reader.opaque("the tag")?;
    }
    if version > 1 {
        reader.opaque("the metadata")?;
    }
    reader.finish()?;
    Ok(blocks)
}

fn small_block<'a>(reader: &mut Reader<'a>, params: Params) -> Result<&'a [u8]> {
    let version = reader.version("a block", 1)?;
    reader.version("an LWE sample", 0)?;
    let data = reader.items("the length of an LWE sample", params.shape().big + 1, 8)?;
    reader.expect_native_modulus(64)?;
    reader.wrapped_at_most("a block's degree", 15)?;
    reader.wrapped_at_most("a block's noise level", 5)?;
    reader.expect_block_moduli()?;
    atomic_pattern(reader, version > 0)?;
    Ok(data)
}

/// `AtomicPatternKind::Standard(KeyswitchBootstrap)`, or the bare order of older versions.
fn atomic_pattern(reader: &mut Reader, wrapped: bool) -> Result<()> {
    if wrapped {
        reader.version("the atomic pattern", 0)?;
        reader.expect_variant("the atomic pattern", 0)?;
    }
    reader.version("the bootstrap order", 0)?;
    reader.expect_variant("the bootstrap order", 0)
}

/// Format 2: the one `CompressedSquashedNoiseCiphertextList` element, as packed GLWE ciphertexts.
pub fn big_compressed(bytes: &[u8], params: Params, fhe_type: FheType) -> Result<Vec<PackedGlwe<'_>>> {
    check_size(bytes)?;
    let packing = &params.shape().squash_compression;
    let mut reader = Reader::open(bytes, "high_level_api::CompressedSquashedNoiseCiphertextList")?;
    reader.version("the list", 0)?;
    reader.version("the integer list", 0)?;
    reader.version("the packed list", 0)?;
    let list = glwe_list(&mut reader, packing, fhe_type.packed_blocks(), 128)?;
    reader.expect_some("the list's description")?;
    reader.version("the list's description", 0)?;
    reader.expect_block_moduli()?;
    reader.expect_wrapped("the samples in a GLWE", packing.lwe_per_glwe as u64)?;
    expect_kind(&mut reader, fhe_type)?;
    reader.opaque("the tag")?;
    reader.finish()?;
    Ok(list)
}

/// Format 3: the blocks of a squashed ciphertext, each a mask and a body, and the key they are under.
pub fn big_expanded(bytes: &[u8], params: Params, fhe_type: FheType) -> Result<(Vec<&[u8]>, SquashState)> {
    check_size(bytes)?;
    let name = if fhe_type.is_bool() {
        "high_level_api::SquashedNoiseFheBool"
    } else {
        "high_level_api::SquashedNoiseFheUint"
    };
    let mut reader = Reader::open(bytes, name)?;
    let version = reader.version("the ciphertext", 1)?;
    reader.version("the inner ciphertext", 0)?;
    reader.version("the block vector", 0)?;
    let count = fhe_type.packed_blocks();
    if !fhe_type.is_bool() && reader.u64()? != count as u64 {
        return Err(wrong_type(fhe_type));
    }
    let shape = params.shape();
    let normal = shape.squash + 1;
    let packed = shape.squash_compression.key_size() + 1;
    let blocks = (0..count).map(|_| squashed_block(&mut reader, normal, packed)).collect::<Result<Vec<_>>>()?;
    if !fhe_type.is_bool() && reader.u64()? != fhe_type.blocks() as u64 {
        return Err(wrong_type(fhe_type));
    }
    let mut state = SquashState::Normal;
    if version > 0 {
        reader.version("the state", 0)?;
        state = match reader.u32()? {
            0 => SquashState::Normal,
            1 => SquashState::PostDecompression,
            other => return Err(EngineError::ciphertext(format!("the state is variant {other} and should be 0 or 1"))),
        };
    }
    reader.opaque("the tag")?;
    reader.finish()?;
    let wanted = 16 * if state == SquashState::Normal { normal } else { packed };
    if blocks.iter().any(|block| block.len() != wanted) {
        return Err(EngineError::ciphertext("a squashed sample has the wrong length for its state"));
    }
    Ok((blocks, state))
}

fn squashed_block<'a>(reader: &mut Reader<'a>, normal: usize, packed: usize) -> Result<&'a [u8]> {
    reader.version("a block", 0)?;
    reader.version("an LWE sample", 0)?;
    let length = reader.u64()?;
    if length != normal as u64 && length != packed as u64 {
        return Err(EngineError::ciphertext(format!("a squashed sample has {length} words, not {normal} or {packed}")));
    }
    let data = reader.take(length as usize * 16)?;
    reader.expect_native_modulus(128)?;
    reader.wrapped_at_most("a block's degree", 15)?;
    reader.expect_block_moduli()?;
    Ok(data)
}
