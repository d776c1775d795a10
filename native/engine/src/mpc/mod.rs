//! Kernels of the threshold engine: ring vectors, sharings, masks, partial decryptions, openings.
//!
//! Secret: shares, set keys, masks. All of it is wiped when dropped, and what touches it is straight-line. Sources:
//! threshold-protocols §1 to §3, of which §3.5 overrules the rest. `bind_*` are the Node-API faces.

pub mod bind_decrypt;
pub mod bind_keys;
pub mod bind_prss;
pub mod bind_vectors;
pub mod deal;
pub mod decode;
pub mod fast;
pub mod gf16;
#[cfg(target_arch = "x86_64")]
pub mod ifma;
pub mod key_bits;
pub mod key_shares;
pub mod masked;
pub mod masks;
pub mod opening;
pub mod partial;
pub mod prg;
pub mod prss;
pub mod ring;
pub mod shamir;
pub mod share_key;
pub mod squash;
pub mod toeplitz;
pub mod vector;
mod vector_ops;

#[cfg(test)]
mod tests;
