//! Builds and reads enclave images with the crate of AWS's own tool; prints what it finds as JSON.
//!
//!     arca-eif-oracle build OUT KERNEL CMDLINE METADATA.json RAMDISK... [--sign CERTIFICATE KEY]
//!     arca-eif-oracle read IMAGE
use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{File, OpenOptions, read_to_string};
use std::path::Path;

use aws_nitro_enclaves_image_format::utils::eif_reader::EifReader;
use aws_nitro_enclaves_image_format::utils::{EifBuilder, PcrSignatureChecker, SignEnclaveInfo, get_pcrs};
use serde_json::json;
use sha2::{Digest, Sha384};

type Outcome = Result<serde_json::Value, Box<dyn Error>>;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let found = match words.as_slice() {
        ["build", out, kernel, cmdline, metadata, rest @ ..] => build(out, kernel, cmdline, metadata, rest)?,
        ["read", image] => read(image)?,
        _ => return Err("usage: see src/main.rs".into()),
    };
    println!("{found}");
    Ok(())
}

fn build(out: &str, kernel: &str, cmdline: &str, metadata: &str, rest: &[&str]) -> Outcome {
    let (disks, signer) = match rest.iter().position(|word| *word == "--sign") {
        Some(at) => (&rest[..at], Some(SignEnclaveInfo::new(rest[at + 1], rest[at + 2])?)),
        None => (rest, None),
    };
    let info = serde_json::from_str(&read_to_string(metadata)?)?;
    let mut builder = EifBuilder::new(Path::new(kernel), cmdline.to_string(), signer, Sha384::new(), 0, info);
    for disk in disks {
        builder.add_ramdisk(Path::new(disk));
    }
    let mut file: File = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(out)?;
    let registers = builder.write_to(&mut file);
    Ok(json!({ "registers": registers }))
}

fn read(image: &str) -> Outcome {
    let mut reader = EifReader::from_eif(image.to_string())?;
    let is_signed = reader.signature_section.is_some();
    let registers: BTreeMap<String, String> = get_pcrs(
        &mut reader.image_hasher,
        &mut reader.bootstrap_hasher,
        &mut reader.app_hasher,
        &mut reader.cert_hasher,
        Sha384::new(),
        is_signed,
    )?;
    let mut signature = json!(null);
    if is_signed {
        let valid = PcrSignatureChecker::from_eif(image)?.verify();
        reader.get_certificate_info(registers.clone())?;
        signature = json!({ "valid": valid.is_ok(), "ofThisImage": reader.sign_check });
    }
    Ok(json!({
        "crcHolds": reader.check_crc(),
        "crc": reader.eif_crc,
        "sections": reader.header.num_sections,
        "version": reader.header.version,
        "metadata": reader.metadata,
        "registers": registers,
        "signature": signature,
    }))
}
