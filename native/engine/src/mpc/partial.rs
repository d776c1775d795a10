//! Partial decryption of a request's ciphertexts: parse strictly, squash if small, then `masked.rs`.

use zeroize::Zeroizing;

use super::key_shares::KeyShares;
use super::masked::{Names, Samples, partial};
use super::masks::MaskKeys;
use super::squash::SquashKeys;
use crate::errors::{Code, EngineError, Result};
use crate::fhe::params::Params;
use crate::fhe::parse::{SquashState, big_compressed, big_expanded};
use crate::fhe::types::{FheType, Format};

/// This party's masked share of one ciphertext, elements encoded one after the other.
pub fn partial_decrypt(
    shares: &KeyShares,
    masks: &MaskKeys,
    names: &Names,
    squash: Option<&SquashKeys>,
    bytes: &[u8],
    fhe_type: FheType,
    format: Format,
) -> Result<Zeroizing<Vec<u8>>> {
    let params = shares.sharing.params;
    let elements = match format {
        Format::BigCompressed => {
            let ciphertexts = big_compressed(bytes, params, fhe_type)?;
            let samples = Samples::Packed(ciphertexts.iter().map(|glwe| (glwe.words, glwe.bodies)).collect());
            partial(shares, masks, names, format as u8, &samples)?
        }
        Format::BigExpanded => partial(shares, masks, names, format as u8, &expanded(bytes, params, fhe_type)?)?,
        Format::SmallCompressed | Format::SmallExpanded => {
            let missing = "the ciphertext's format needs the key set for squashing, which is not loaded";
            let keys = squash.ok_or_else(|| EngineError::new(Code::PreconditionFailed, missing))?;
            let squashed = keys.squash(params, bytes, fhe_type, format)?;
            partial(shares, masks, names, format as u8, &expanded(&squashed, params, fhe_type)?)?
        }
    };
    let mut out = Zeroizing::new(Vec::with_capacity(elements.len() * 16));
    elements.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
    Ok(out)
}

fn expanded(bytes: &[u8], params: Params, fhe_type: FheType) -> Result<Samples<'_>> {
    let (samples, state) = big_expanded(bytes, params, fhe_type)?;
    Ok(match state {
        SquashState::Normal => Samples::Expanded(samples),
        SquashState::PostDecompression => Samples::Unpacked(samples),
    })
}
