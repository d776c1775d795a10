//! TFHE: keys, ciphertexts, decryption. `bind_*` are the Node-API faces; the rest knows nothing of JavaScript.

pub mod bind_decrypt;
pub mod bind_public;
pub mod bind_secret;
pub mod decrypt;
pub mod encrypt;
pub mod evaluation;
pub mod generate;
pub mod input;
pub mod key;
pub mod measure;
pub mod object;
pub mod params;
pub mod parse;
pub mod private_object;
pub mod reader;
pub mod secret;
pub mod types;

#[cfg(test)]
mod tests;
