//! FHE type numbers (kms-service §3.5) and what each holds.

use crate::errors::{EngineError, Result};

/// Bits of the types 0 (Bool) to 11 (Uint2048), in the order of their numbers.
const BITS: [usize; 12] = [1, 4, 8, 16, 32, 64, 128, 160, 256, 512, 1024, 2048];

/// A supported FHE type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FheType(u8);

impl FheType {
    pub fn parse(number: i32) -> Result<Self> {
        match u8::try_from(number) {
            Ok(n) if (n as usize) < BITS.len() => Ok(Self(n)),
            _ => {
                Err(EngineError::request(format!("FHE type {number} is not supported: 0 (Bool) to 11 (Uint2048) are")))
            }
        }
    }

    pub fn number(self) -> i32 {
        i32::from(self.0)
    }

    pub fn is_bool(self) -> bool {
        self.0 == 0
    }

    pub fn bits(self) -> usize {
        BITS[self.0 as usize]
    }

    /// Bytes of a plaintext: the width, one byte for Bool and Uint4.
    pub fn plaintext_size(self) -> usize {
        self.bits().div_ceil(8)
    }

    /// Blocks of two message bits.
    pub fn blocks(self) -> usize {
        self.bits().div_ceil(2)
    }

    /// Blocks of a squashed ciphertext: pairs of blocks, a Bool's single block unpaired.
    pub fn packed_blocks(self) -> usize {
        self.blocks().div_ceil(2)
    }
}

/// The four forms of a ciphertext (`ciphertext_format`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    SmallCompressed,
    SmallExpanded,
    BigCompressed,
    BigExpanded,
}

impl Format {
    pub fn parse(number: i32) -> Result<Self> {
        match number {
            0 => Ok(Self::SmallCompressed),
            1 => Ok(Self::SmallExpanded),
            2 => Ok(Self::BigCompressed),
            3 => Ok(Self::BigExpanded),
            _ => Err(EngineError::request(format!("ciphertext format {number} does not exist: 0 to 3 do"))),
        }
    }
}
