//! Bounds-checked reading of the crate's wire form (tfhe.md §3): bincode with fixed little-endian integers, a version
//! number before every library struct. Borrows from the input; allocates nothing.

use crate::errors::{EngineError, Result};

/// A position in untrusted bytes. Every read checks the rest first.
pub struct Reader<'a> {
    bytes: &'a [u8],
}

/// `str "0.5" · u32 0 · str "0.1"`: what stands before the type name of every versioned object.
pub const HEADER: &[u8] = b"\x03\0\0\0\0\0\0\x000.5\0\0\0\0\x03\0\0\0\0\0\0\x000.1";

fn malformed(what: &str) -> EngineError {
    EngineError::ciphertext(what)
}

impl<'a> Reader<'a> {
    /// Starts behind the header of an object named `name`.
    pub fn open(bytes: &'a [u8], name: &str) -> Result<Self> {
        let mut reader = Self { bytes };
        if reader.take(HEADER.len()).ok() != Some(HEADER) {
            return Err(malformed("not a versioned safe serialization of format 0.5"));
        }
        let found = reader.byte_string().ok();
        if found != Some(name.as_bytes()) {
            return Err(malformed(&format!("the object is not a {name}")));
        }
        Ok(reader)
    }

    pub fn take(&mut self, size: usize) -> Result<&'a [u8]> {
        let (head, rest) =
            self.bytes.split_at_checked(size).ok_or_else(|| malformed("the serialization is cut short"))?;
        self.bytes = rest;
        Ok(head)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) =
            self.bytes.split_first_chunk::<N>().ok_or_else(|| malformed("the serialization is cut short"))?;
        self.bytes = rest;
        Ok(*head)
    }

    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub fn u128(&mut self) -> Result<u128> {
        Ok(u128::from_le_bytes(self.array()?))
    }

    /// A version number of at most `newest`.
    pub fn version(&mut self, what: &str, newest: u32) -> Result<u32> {
        let version = self.u32()?;
        if version > newest {
            return Err(malformed(&format!("{what} has version {version}, newer than {newest}")));
        }
        Ok(version)
    }

    /// A `u64` that must be `wanted`.
    pub fn expect_u64(&mut self, what: &str, wanted: u64) -> Result<()> {
        let found = self.u64()?;
        if found != wanted {
            return Err(malformed(&format!("{what} is {found} and should be {wanted}")));
        }
        Ok(())
    }

    /// A versioned newtype around a number (`LweDimension` and the like) that must be `wanted`.
    pub fn expect_wrapped(&mut self, what: &str, wanted: u64) -> Result<()> {
        self.version(what, 0)?;
        self.expect_u64(what, wanted)
    }

    /// A versioned newtype around a number of at most `most`.
    pub fn wrapped_at_most(&mut self, what: &str, most: u64) -> Result<u64> {
        self.version(what, 0)?;
        let found = self.u64()?;
        if found > most {
            return Err(malformed(&format!("{what} is {found}, more than {most}")));
        }
        Ok(found)
    }

    /// An enum variant that must be `wanted`.
    pub fn expect_variant(&mut self, what: &str, wanted: u32) -> Result<()> {
        let found = self.u32()?;
        if found != wanted {
            return Err(malformed(&format!("{what} is variant {found} and should be {wanted}")));
        }
        Ok(())
    }

    /// `u64 count` of items of `size` bytes, as one slice.
    pub fn items(&mut self, what: &str, count: usize, size: usize) -> Result<&'a [u8]> {
        self.expect_u64(what, count as u64)?;
        self.take(count.checked_mul(size).ok_or_else(|| malformed("a length overflows"))?)
    }

    pub fn byte_string(&mut self) -> Result<&'a [u8]> {
        let length = usize::try_from(self.u64()?).map_err(|_| malformed("a length overflows"))?;
        self.take(length)
    }

    /// `Option`'s tag, which must say that the value is there.
    pub fn expect_some(&mut self, what: &str) -> Result<()> {
        match self.u8()? {
            1 => Ok(()),
            _ => Err(malformed(&format!("{what} is missing"))),
        }
    }

    /// `CiphertextModulus`: native of `bits` bits.
    pub fn expect_native_modulus(&mut self, bits: u64) -> Result<()> {
        self.version("the ciphertext modulus", 0)?;
        let modulus = self.u128()?;
        if modulus != 0 {
            return Err(malformed("the ciphertext modulus is not the native one"));
        }
        self.expect_u64("the modulus width", bits)
    }

    /// Message and carry modulus, 4 each in both parameter sets.
    pub fn expect_block_moduli(&mut self) -> Result<()> {
        self.expect_wrapped("the message modulus", 4)?;
        self.expect_wrapped("the carry modulus", 4)
    }

    /// A tag or other opaque bytes inside a version-0 struct.
    pub fn opaque(&mut self, what: &str) -> Result<&'a [u8]> {
        self.version(what, 0)?;
        self.byte_string()
    }

    /// What is left, without consuming it.
    pub fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// Nothing may follow.
    pub fn finish(self) -> Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        Err(malformed(&format!("{} bytes follow the object", self.bytes.len())))
    }
}
