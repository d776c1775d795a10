//! Public objects made readable for older clients.

use super::reader::Reader;
use crate::errors::{EngineError, Result};

/// Rewrites a serialized `CompactPublicKey` so that tfhe 1.4.0-alpha.3, which published clients carry, reads it.
///
/// That version refuses `CompactCiphertextListExpansionKind` version 1, which 1.6 and later write, although the
/// variant in use, `RequiresCasting`, has the same bytes in version 0 (tfhe.md §3). The number is patched in place.
pub fn downgrade_public_key(bytes: &mut [u8]) -> Result<()> {
    let remaining = expansion_kind(bytes).map_err(|_| EngineError::internal("the public key has an unknown layout"))?;
    let at = bytes.len() - remaining;
    bytes[at..at + 4].copy_from_slice(&0u32.to_le_bytes());
    Ok(())
}

/// Bytes from the expansion kind's version number to the end.
fn expansion_kind(bytes: &[u8]) -> Result<usize> {
    let mut reader = Reader::open(bytes, "high_level_api::CompactPublicKey")?;
    for what in
        ["the public key", "the integer key", "the inner key", "the parametrized key", "the LWE key", "the GLWE key"]
    {
        reader.version(what, 1)?;
    }
    let words = reader.u64()?;
    reader.take(usize::try_from(words).unwrap_or(usize::MAX).saturating_mul(8))?;
    reader.wrapped_at_most("the polynomial size", 1 << 20)?;
    reader.expect_native_modulus(64)?;
    reader.version("the parameters", 1)?;
    reader.wrapped_at_most("the dimension", 1 << 20)?;
    reader.version("the noise", 0)?;
    reader.expect_variant("the noise", 1)?;
    reader.version("the uniform noise", 0)?;
    reader.u32()?;
    reader.expect_block_moduli()?;
    reader.expect_native_modulus(64)?;
    let remaining = reader.remaining();
    reader.version("the expansion kind", 1)?;
    reader.expect_variant("the expansion kind", 0)?;
    Ok(remaining)
}
