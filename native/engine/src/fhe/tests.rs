//! Our decryption against the crate's own, on honest ciphertexts and on random and extreme coefficients.
//!
//! Run by `cargo test --release`; everything that can be tested through JavaScript is tested there.

use std::io::Cursor;
use std::sync::OnceLock;

use tfhe::integer::ciphertext::CompressedCiphertextListBuilder;
use tfhe::integer::compression_keys::DecompressionKey;
use tfhe::integer::{RadixCiphertext, U256};
use tfhe::named::Named;
use tfhe::prelude::FheDecrypt;
use tfhe::{
    ClientKey, CompressedSquashedNoiseCiphertextList, DeserializationConfig, FheBool, FheUint64, FheUint256,
    SquashedNoiseFheBool, SquashedNoiseFheUint, Unversionize,
};

use super::encrypt::encrypt;
use super::evaluation::{Evaluation, read};
use super::generate::{self, Layout};
use super::key::FheSecretKey;
use super::params::Params;
use super::types::{FheType, Format};

struct Fixture {
    key: FheSecretKey,
    client_key: ClientKey,
    evaluation: Evaluation,
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let (key, objects) = generate::key_set(Params::Test, vec![7; 32], Layout::Uncompressed, None).unwrap();
        let client_key = key.client_key().unwrap();
        let public_key = read(Cursor::new(&objects[0].1)).unwrap();
        let server_key = read(Cursor::new(&objects[1].1)).unwrap();
        Fixture { key, client_key, evaluation: Evaluation { public_key, server_key } }
    })
}

fn crate_object<T: serde::de::DeserializeOwned + Unversionize + Named>(bytes: &[u8]) -> T {
    DeserializationConfig::new(1 << 30).disable_conformance().deserialize_from(bytes).unwrap()
}

/// What the crate decrypts, as little-endian bytes.
fn reference(bytes: &[u8], fhe_type: FheType, format: Format) -> Vec<u8> {
    let key = &fixture().client_key;
    let squashed = |value: SquashedNoiseFheUint| -> Vec<u8> {
        if fhe_type.bits() == 64 {
            let clear: u64 = value.decrypt(key);
            clear.to_le_bytes().to_vec()
        } else {
            let clear: U256 = value.decrypt(key);
            let mut bytes = vec![0; 32];
            clear.copy_to_le_byte_slice(&mut bytes);
            bytes
        }
    };
    match (format, fhe_type.bits()) {
        (Format::SmallExpanded, 1) => vec![u8::from(crate_object::<FheBool>(bytes).decrypt(key))],
        (Format::SmallExpanded, 64) => {
            let clear: u64 = crate_object::<FheUint64>(bytes).decrypt(key);
            clear.to_le_bytes().to_vec()
        }
        (Format::SmallExpanded, _) => {
            let clear: U256 = crate_object::<FheUint256>(bytes).decrypt(key);
            let mut bytes = vec![0; 32];
            clear.copy_to_le_byte_slice(&mut bytes);
            bytes
        }
        (Format::BigExpanded, 1) => vec![u8::from(crate_object::<SquashedNoiseFheBool>(bytes).decrypt(key))],
        (Format::BigExpanded, _) => squashed(crate_object(bytes)),
        (Format::BigCompressed, bits) => {
            let list: CompressedSquashedNoiseCiphertextList = crate_object(bytes);
            if bits == 1 {
                let value: SquashedNoiseFheBool = list.get(0).unwrap().unwrap();
                return vec![u8::from(value.decrypt(key))];
            }
            squashed(list.get(0).unwrap().unwrap())
        }
        (Format::SmallCompressed, _) => unreachable!("the crate opens it by a bootstrap, not exactly"),
    }
}

/// Finds the places of the coefficients of a ciphertext: offset and length of each run.
fn coefficients(bytes: &[u8], fhe_type: FheType, format: Format) -> Vec<(usize, usize)> {
    let place = |run: &[u8]| (run.as_ptr() as usize - bytes.as_ptr() as usize, run.len());
    match format {
        Format::SmallExpanded => {
            super::parse::small_expanded(bytes, Params::Test, fhe_type).unwrap().iter().map(|run| place(run)).collect()
        }
        Format::BigExpanded => {
            let (runs, _) = super::parse::big_expanded(bytes, Params::Test, fhe_type).unwrap();
            runs.iter().map(|run| place(run)).collect()
        }
        _ => {
            let list = super::parse::big_compressed(bytes, Params::Test, fhe_type).unwrap();
            list.iter().map(|glwe| place(glwe.words)).collect()
        }
    }
}

#[test]
fn decrypts_as_the_crate_does_whatever_the_coefficients() {
    let Fixture { key, evaluation, .. } = fixture();
    for number in [0, 5, 8] {
        let fhe_type = FheType::parse(number).unwrap();
        let mut value = vec![0u8; fhe_type.plaintext_size()];
        value[0] = 1;
        for format in [Format::SmallExpanded, Format::BigCompressed, Format::BigExpanded] {
            let honest = encrypt(evaluation, &value, fhe_type, format).unwrap();
            assert_eq!(reference(&honest, fhe_type, format), value);
            let places = coefficients(&honest, fhe_type, format);
            for round in 0..200 {
                let mut bytes = honest.clone();
                for (at, size) in &places {
                    fill(&mut bytes[*at..at + size], round);
                }
                let ours = key.decryption.decrypt(&bytes, fhe_type, format).unwrap();
                assert_eq!(*ours, reference(&bytes, fhe_type, format), "{fhe_type:?} {format:?} round {round}");
            }
        }
    }
}

#[test]
fn a_decompression_key_leads_from_one_key_to_another() {
    let Fixture { evaluation, key: from, .. } = fixture();
    let (to, _) = generate::key_set(Params::Test, vec![8; 32], Layout::Compressed, None).unwrap();
    let bytes = generate::decompression_key(from, &to).unwrap();
    let key: DecompressionKey = read(Cursor::new(&bytes)).unwrap();
    let (_, _, compression, ..) = evaluation.server_key.clone().into_raw_parts();
    let source: &tfhe::integer::ClientKey = fixture().client_key.as_ref();
    let list = CompressedCiphertextListBuilder::new()
        .push(source.encrypt_radix(0xdead_beefu64, 32))
        .build(&compression.unwrap());
    let opened: RadixCiphertext = list.get(0, &key).unwrap().unwrap();
    let target = to.client_key().unwrap();
    let clear: u64 = AsRef::<tfhe::integer::ClientKey>::as_ref(&target).decrypt_radix(&opened);
    assert_eq!(clear, 0xdead_beef);
}

/// Constant extremes first, then extremes at random places, then uniform noise.
fn fill(run: &mut [u8], round: usize) {
    let mut noise = vec![0u8; run.len()];
    getrandom::fill(&mut noise).unwrap();
    match round {
        0 => run.fill(0),
        1 => run.fill(0xff),
        2 => run.fill(0x80),
        3..=60 => {
            for (chunk, dice) in run.chunks_mut(8).zip(noise.chunks(8)) {
                match dice[0] % 8 {
                    0 => chunk.fill(0xff),
                    1 => chunk.fill(0),
                    2 => chunk.copy_from_slice(&(1u64 << 63).to_le_bytes()),
                    3 => chunk.copy_from_slice(&((1u64 << 58) - 1).to_le_bytes()),
                    4 => chunk.copy_from_slice(&(1u64 << 58).to_le_bytes()),
                    _ => {}
                }
            }
        }
        _ => run.copy_from_slice(&noise),
    }
}
