//! Input ciphertexts: compact lists with a zero-knowledge proof, made by users, verified and expanded by coprocessors.
//!
//! Lists are hostile: parsed with a limit, checked against the public key's and the CRS's parameters, then verified.

use std::io::Cursor;

use tfhe::integer::ciphertext::IntegerProvenCompactCiphertextListConformanceParams;
use tfhe::prelude::CiphertextList;
use tfhe::zk::{CompactPkeCrs, ZkComputeLoad};
use tfhe::{CompactPublicKey, DeserializationConfig, ProvenCompactCiphertextList, with_server_key_as_context};

use super::encrypt::{extract, push};
use super::evaluation::Evaluation;
use super::generate::serialize;
use super::types::{FheType, Format};
use crate::errors::{EngineError, Result};

/// Largest proven list that is looked at.
const MAX_LIST_SIZE: u64 = 66 * 1024 * 1024;
/// Most metadata that a proof binds.
const MAX_METADATA_SIZE: usize = 64 * 1024;

/// Encrypts values under a public key and proves that they are well formed, bound to `metadata`.
pub fn prove(
    public_key: &CompactPublicKey,
    crs: &CompactPkeCrs,
    values: &[(Vec<u8>, FheType)],
    metadata: &[u8],
) -> Result<Vec<u8>> {
    if metadata.len() > MAX_METADATA_SIZE {
        return Err(EngineError::request(format!("metadata has at most {MAX_METADATA_SIZE} bytes")));
    }
    if values.is_empty() {
        return Err(EngineError::request("a list needs at least one value"));
    }
    let mut builder = ProvenCompactCiphertextList::builder(public_key);
    for (value, fhe_type) in values {
        push(&mut builder, value, *fhe_type)?;
    }
    let list = builder
        .build_with_proof_packed(crs, metadata, ZkComputeLoad::Verify)
        .map_err(|_| EngineError::request("the CRS does not cover these values under this public key"))?;
    serialize(&list)
}

/// Verifies a list and gives its elements as `SmallExpanded` ciphertexts, in order.
pub fn verify_and_expand(
    keys: &Evaluation,
    crs: &CompactPkeCrs,
    list: &[u8],
    metadata: &[u8],
) -> Result<Vec<(FheType, Vec<u8>)>> {
    if list.len() as u64 > MAX_LIST_SIZE {
        return Err(EngineError::ciphertext(format!("a list has at most {MAX_LIST_SIZE} bytes")));
    }
    let conformance =
        IntegerProvenCompactCiphertextListConformanceParams::from_crs_and_parameters(keys.public_key.parameters(), crs);
    let mut cursor = Cursor::new(list);
    let proven: ProvenCompactCiphertextList = DeserializationConfig::new(MAX_LIST_SIZE)
        .deserialize_from(&mut cursor, &conformance)
        .map_err(|_| EngineError::ciphertext("not a proven list under this public key and CRS"))?;
    if cursor.position() != list.len() as u64 {
        return Err(EngineError::ciphertext("bytes follow the list"));
    }
    if proven.is_empty() {
        return Err(EngineError::ciphertext("the list is empty"));
    }
    with_server_key_as_context(keys.server_key.clone(), || {
        let expander = proven
            .verify_and_expand(crs, &keys.public_key, metadata)
            .map_err(|_| EngineError::ciphertext("the list's proof does not hold for this metadata"))?;
        (0..expander.len())
            .map(|index| {
                let kind =
                    expander.get_kind_of(index).ok_or_else(|| EngineError::ciphertext("an element has no type"))?;
                let fhe_type = FheType::parse(kind as i32)?;
                Ok((fhe_type, extract(&expander, index, fhe_type, Format::SmallExpanded)?))
            })
            .collect()
    })
}
