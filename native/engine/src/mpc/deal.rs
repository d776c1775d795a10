//! Dealt key sets: from a common seed every party derives the same whole key set and keeps its own shares. Developer mode.
//!
//! Secret: the seed and everything derived from it but the public objects. Nothing here draws randomness.

use zeroize::Zeroizing;

use super::key_bits::take_bits;
use super::key_shares::{KeyShares, Sharing};
use super::prg::Prg;
use crate::errors::{EngineError, Result};
use crate::fhe::generate::{Layout, Objects, key_set_from_seed};
use crate::fhe::key::FheSecretKey;

/// 32 bytes for one use, bound to everything that the parties must agree on.
fn derive(seed: &[u8; 32], label: &str, sharing: &Sharing) -> Zeroizing<[u8; 32]> {
    let mut hasher = blake3::Hasher::new_keyed(seed);
    hasher.update(label.as_bytes());
    hasher.update(&[sharing.params as u8, sharing.n as u8, sharing.t as u8]);
    hasher.update(&sharing.tag);
    Zeroizing::new(hasher.finalize().into())
}

/// One party's shares of the key set of a seed, and the public objects, equal at all parties.
pub fn deal(mut sharing: Sharing, seed: &[u8; 32], layout: Layout, party: u8) -> Result<(KeyShares, Objects)> {
    super::ring::check_parties(sharing.n, sharing.t)?;
    let generation = derive(seed, "arca-deal-keys-1", &sharing);
    let (client_key, objects) = key_set_from_seed(sharing.params, sharing.tag.clone(), layout, generation.to_vec())?;
    sharing.id = *derive(seed, "arca-deal-id-1", &sharing);
    let mut prg = Prg::from_seed(&derive(seed, "arca-deal-shares-1", &sharing));
    let shares = KeyShares::split(&sharing, &take_bits(client_key)?, &mut prg)?;
    let own = shares.into_iter().find(|shares| shares.party == party);
    let own = own.ok_or_else(|| EngineError::request(format!("party {party} is not one of {}", sharing.n)))?;
    Ok((own, objects))
}

/// All parties' shares of a whole key: the dealer's work, for imports and tests.
pub fn split(mut sharing: Sharing, key: &FheSecretKey) -> Result<Vec<KeyShares>> {
    crate::crypto::fill_random(&mut sharing.id)?;
    KeyShares::split(&sharing, &take_bits(key.client_key()?)?, &mut Prg::fresh()?)
}
