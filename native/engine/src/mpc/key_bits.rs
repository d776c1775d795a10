//! The bits of all secret keys of a whole client key, for a dealer. Secret; everything passed through is wiped.

use tfhe::ClientKey;
use tfhe::shortint::client_key::atomic_pattern::AtomicPatternClientKey;
use tfhe::shortint::oprf::AtomicPatternOprfPrivateKey;
use zeroize::{Zeroize, Zeroizing};

use super::key_shares::KeyBits;
use super::shamir::Words;
use crate::errors::{EngineError, Result};

/// Widens the bits of a key and wipes it.
fn widened<B: Copy + Into<u128> + Zeroize>(mut key: Vec<B>) -> Words<u128> {
    let mut bits = Zeroizing::new(Vec::with_capacity(key.len()));
    bits.extend(key.iter().map(|bit| (*bit).into()));
    key.zeroize();
    bits
}

/// Takes a client key apart. A kind that it lacks is empty.
pub fn take_bits(client_key: ClientKey) -> Result<KeyBits> {
    let (key, compact, compression, squash, packing, _, oprf, _) = client_key.into_raw_parts();
    let public_encryption =
        compact.map(|(key, _)| widened(key.into_raw_parts().into_raw_parts().0.into_container())).unwrap_or_default();
    let other_pattern = || EngineError::key("the key has another atomic pattern than the parameters");
    let AtomicPatternClientKey::Standard(pattern) = key.into_raw_parts().atomic_pattern else {
        return Err(other_pattern());
    };
    let (glwe, lwe, _, _) = pattern.into_raw_parts();
    let oprf = match oprf.map(|key| key.into_raw_parts().into_raw_parts()) {
        None => Words::default(),
        Some(AtomicPatternOprfPrivateKey::Standard(key)) => widened(key.into_container()),
        Some(AtomicPatternOprfPrivateKey::KeySwitch32(_)) => return Err(other_pattern()),
    };
    let bits: KeyBits = [
        public_encryption,
        widened(lwe.into_container()),
        widened(glwe.into_container()),
        compression.map(|key| widened(key.into_raw_parts().post_packing_ks_key.into_container())).unwrap_or_default(),
        squash.map(|key| widened(key.into_raw_parts().into_raw_parts().0.into_container())).unwrap_or_default(),
        packing.map(|key| widened(key.into_raw_parts().into_raw_parts().0.into_container())).unwrap_or_default(),
        oprf,
    ];
    let binary = bits.iter().flat_map(|key| key.iter()).fold(true, |all, bit| all & (*bit <= 1));
    if binary { Ok(bits) } else { Err(EngineError::key("a secret key is not binary")) }
}
