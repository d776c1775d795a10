//! Arca's native engine: TFHE keys and ciphertexts, signatures, user-decryption encryption, behind Node-API.
//!
//! Secrets stay on this side, behind handles. TypeScript faces: `index.ts` (secret) and `public.ts`.

pub mod bytes;
pub mod crypto;
pub mod errors;
pub mod fhe;
pub mod mpc;
pub mod scheduling;
mod task;
