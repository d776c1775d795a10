//! Randomness for shares: AES-256 in counter mode under a 32-byte seed. The seed is secret and so is all that comes out.

use aes::Aes256Enc;
use aes::cipher::{Block, BlockEncrypt, KeyInit};
use zeroize::{Zeroize, Zeroizing};

use super::ring::Word;
use crate::crypto::fill_random;
use crate::errors::Result;

/// Blocks made at a time.
const BATCH: usize = 32;
const BLOCK_SIZE: usize = 16;

/// A stream of pseudorandom bytes. Wiped when dropped.
pub struct Prg {
    cipher: Aes256Enc,
    counter: u128,
    batch: [Block<Aes256Enc>; BATCH],
    used: usize,
}

impl Prg {
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let cipher = Aes256Enc::new(seed.into());
        Self { cipher, counter: 0, batch: [Block::<Aes256Enc>::default(); BATCH], used: BATCH * BLOCK_SIZE }
    }

    /// Seeded by the operating system.
    pub fn fresh() -> Result<Self> {
        let mut seed = Zeroizing::new([0; 32]);
        fill_random(&mut seed[..])?;
        Ok(Self::from_seed(&seed))
    }

    fn refill(&mut self) {
        for block in &mut self.batch {
            *block = self.counter.to_le_bytes().into();
            self.counter += 1;
        }
        self.cipher.encrypt_blocks(&mut self.batch);
        self.used = 0;
    }

    /// The next word.
    pub fn word<W: Word>(&mut self) -> W {
        self.used = self.used.next_multiple_of(W::SIZE);
        if self.used == BATCH * BLOCK_SIZE {
            self.refill();
        }
        let (block, offset) = (self.used / BLOCK_SIZE, self.used % BLOCK_SIZE);
        self.used += W::SIZE;
        W::load(&self.batch[block][offset..offset + W::SIZE])
    }
}

impl Drop for Prg {
    fn drop(&mut self) {
        self.batch.iter_mut().for_each(|block| block.as_mut_slice().zeroize());
    }
}
