//! The stored form of a whole secret key: `arca::FhePrivateKey`, described in docs/formats/private-objects.md.
//!
//! Secret: the client key inside. Buffers are sized before they are filled, so that growing leaves no copies.

use zeroize::Zeroizing;

use super::key::FheSecretKey;
use super::params::Params;
use super::reader::{HEADER, Reader};
use crate::errors::{EngineError, Result};

const NAME: &str = "arca::FhePrivateKey";
const MAX_TAG_SIZE: usize = 64;
const MAX_METADATA_SIZE: usize = 1024 * 1024;

/// Where a key comes from. Production nodes refuse `Developer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// Made whole by a node in developer mode.
    Developer = 0,
    /// Made whole by a centralized node.
    Whole = 1,
    /// Brought from another system.
    Imported = 2,
}

impl Provenance {
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "developer" => Ok(Self::Developer),
            "whole" => Ok(Self::Whole),
            "imported" => Ok(Self::Imported),
            _ => Err(EngineError::request("the provenance is 'developer', 'whole' or 'imported'")),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Developer => "developer",
            Self::Whole => "whole",
            Self::Imported => "imported",
        }
    }

    fn from_number(number: u32) -> Result<Self> {
        match number {
            0 => Ok(Self::Developer),
            1 => Ok(Self::Whole),
            2 => Ok(Self::Imported),
            _ => Err(EngineError::key(format!("unknown provenance number {number}"))),
        }
    }
}

/// A stored key and what is stored beside it.
pub struct PrivateObject {
    pub key: FheSecretKey,
    pub provenance: Provenance,
    /// Opaque to this library: the signed metadata of the key generation.
    pub metadata: Vec<u8>,
}

/// Writes the object. The result holds the secret key.
pub fn encode(key: &FheSecretKey, provenance: Provenance, metadata: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    if metadata.len() > MAX_METADATA_SIZE {
        return Err(EngineError::request(format!("metadata has at most {MAX_METADATA_SIZE} bytes")));
    }
    let size = HEADER.len() + 8 + NAME.len() + 20 + 24 + key.tag.len() + key.serialized.len() + metadata.len();
    let mut out = Zeroizing::new(Vec::with_capacity(size));
    out.extend_from_slice(HEADER);
    put_bytes(&mut out, NAME.as_bytes());
    for number in [0, 0, key.params as u32, 0, provenance as u32] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    put_bytes(&mut out, &key.tag);
    put_bytes(&mut out, &key.serialized);
    put_bytes(&mut out, metadata);
    Ok(out)
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Reads an object written by [`encode`].
pub fn decode(bytes: &[u8]) -> Result<PrivateObject> {
    read(bytes).map_err(|error| EngineError::key(format!("not a private key object: {}", error.message)))
}

fn read(bytes: &[u8]) -> Result<PrivateObject> {
    let mut reader = Reader::open(bytes, NAME)?;
    reader.version("the object", 0)?;
    reader.version("the parameters", 0)?;
    let params = Params::from_number(reader.u32()?)?;
    reader.version("the provenance", 0)?;
    let provenance = Provenance::from_number(reader.u32()?)?;
    let tag = reader.byte_string()?;
    let client_key = reader.byte_string()?;
    let metadata = reader.byte_string()?;
    reader.finish()?;
    if tag.len() > MAX_TAG_SIZE || metadata.len() > MAX_METADATA_SIZE {
        return Err(EngineError::key("the tag or the metadata is too long"));
    }
    let key = FheSecretKey::from_serialized(params, client_key)?;
    if key.tag != tag {
        return Err(EngineError::key("the tag is not that of the client key inside"));
    }
    Ok(PrivateObject { key, provenance, metadata: metadata.to_vec() })
}
