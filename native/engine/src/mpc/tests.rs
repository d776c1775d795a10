//! Partial decryption and opening together, on samples made here: every party's work, at test size.

use super::key_shares::{KINDS, KeyBits, KeyKind, KeyShares, ShareProvenance, Sharing};
use super::masked::{Names, Samples, partial, zero_shares};
use super::masks::{MaskKeys, sets_of};
use super::opening::{open_blocks, open_zeros};
use super::prg::Prg;
use crate::errors::Code;
use crate::fhe::params::Params;

const NAMES: Names = Names { context: [1; 32], epoch: [2; 32], key: [3; 32] };
const SIZE: usize = 256;

fn bits(prg: &mut Prg) -> KeyBits {
    let sizes: [usize; KINDS] = [512, 1, 256, 256, 256, SIZE, 1];
    sizes.map(|size| (0..size).map(|_| prg.word::<u128>() & 1).collect::<Vec<_>>().into())
}

fn deal(n: usize, t: usize, bits: &KeyBits, seed: u8) -> (Vec<KeyShares>, Vec<MaskKeys>) {
    let sharing = Sharing {
        params: Params::Test,
        n,
        t,
        id: [seed; 32],
        provenance: ShareProvenance::Developer,
        tag: vec![4; 32],
    };
    let shares = KeyShares::split(&sharing, bits, &mut Prg::from_seed(&[seed; 32])).unwrap();
    let sets = sets_of(n, t).unwrap();
    let masks = (1..=n as u8).map(|party| {
        let held = sets.iter().enumerate().filter(|(_, set)| set.contains(&party));
        let keys: Vec<[u8; 32]> = held.map(|(rank, _)| [seed ^ (rank % 251) as u8; 32]).collect();
        let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_slice()).collect();
        MaskKeys::new(n, t, party, &keys).unwrap()
    });
    (shares, masks.collect())
}

/// A packed ciphertext of `values` under the packing key, noise below 2^70.
fn packed(prg: &mut Prg, key: &[u128], values: &[u32]) -> Vec<u8> {
    let mask: Vec<u128> = (0..SIZE).map(|_| prg.word()).collect();
    let bodies = values.iter().enumerate().map(|(i, value)| {
        let noise = (prg.word::<u128>() >> 58).wrapping_sub(1 << 69);
        let phase = (u128::from(*value) << 123).wrapping_add(noise);
        (0..SIZE).fold(phase, |sum, j| {
            let entry = if j <= i { mask[i - j] } else { mask[SIZE + i - j].wrapping_neg() };
            sum.wrapping_add(entry.wrapping_mul(key[j]))
        })
    });
    let bodies: Vec<u128> = bodies.collect();
    mask.iter().chain(&bodies).flat_map(|word| word.to_le_bytes()).collect()
}

fn bytes(words: &[u128]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[test]
fn opens_packed_ciphertexts_with_liars_and_silent_parties() {
    let mut prg = Prg::from_seed(&[8; 32]);
    let bits = bits(&mut prg);
    for (n, t) in [(4, 1), (7, 2), (13, 4)] {
        let (shares, masks) = deal(n, t, &bits, n as u8);
        for count in [1, 2, 3, 4, 16, 40, 64] {
            let values: Vec<u32> = (0..count).map(|i| (i as u32 * 7 + 15) % 16).collect();
            let ciphertext = packed(&mut prg, &bits[KeyKind::SquashCompression as usize], &values);
            let samples = Samples::Packed(vec![(&ciphertext, count)]);
            let mut parts: Vec<Vec<u8>> = shares
                .iter()
                .zip(&masks)
                .map(|(share, masks)| bytes(&partial(share, masks, &NAMES, 2, &samples).unwrap()))
                .collect();
            assert_eq!(parts[0].len(), count.div_ceil(4) * 64);
            let of = |parts: &[Vec<u8>], parties: &[u8]| {
                let list: Vec<(u8, &[u8])> =
                    parties.iter().map(|party| (*party, parts[*party as usize - 1].as_slice())).collect();
                open_blocks(n, t, count, &list).unwrap()
            };
            let all: Vec<u8> = (1..=n as u8).collect();
            let opened = of(&parts, &all).unwrap();
            assert_eq!((opened.blocks, opened.liars.len()), (values.clone(), 0));
            assert_eq!(of(&parts, &all[t..]).unwrap().blocks, values, "t silent");
            assert!(of(&parts, &all[t + 1..]).is_none(), "2t are too few");

            parts[0][5] ^= 1;
            for part in parts.iter_mut().take(t).skip(1) {
                part.fill(9);
            }
            let opened = of(&parts, &all).unwrap();
            assert_eq!((opened.blocks, opened.liars), (values.clone(), all[..t].to_vec()));
            assert!(of(&parts, &all[..n - 1]).is_none(), "{t} liars and one silent");
            parts[t - 1].truncate(63);
            assert_eq!(of(&parts, &all).unwrap().liars, all[..t].to_vec(), "a cut contribution is a lie");
        }
    }
}

#[test]
fn shares_depend_on_the_numbers_and_names_alone() {
    let mut prg = Prg::from_seed(&[9; 32]);
    let bits = bits(&mut prg);
    let (shares, masks) = deal(4, 1, &bits, 1);
    let ciphertext = packed(&mut prg, &bits[KeyKind::SquashCompression as usize], &[3; 8]);
    let run = |ciphertext: &[u8], names: &Names| {
        partial(&shares[0], &masks[0], names, 2, &Samples::Packed(vec![(ciphertext, 8)])).unwrap().to_vec()
    };
    let first = run(&ciphertext, &NAMES);
    assert_eq!(run(&ciphertext.clone(), &NAMES), first);
    for byte in [0, 4095, ciphertext.len() - 1] {
        let mut other = ciphertext.clone();
        other[byte] ^= 1;
        // Only one word moved, yet all blocks change: the mask is another.
        assert!(run(&other, &NAMES).iter().zip(&first).all(|(a, b)| a != b), "byte {byte}");
    }
    for names in
        [Names { context: [9; 32], ..NAMES }, Names { epoch: [9; 32], ..NAMES }, Names { key: [9; 32], ..NAMES }]
    {
        assert!(run(&ciphertext, &names).iter().zip(&first).all(|(a, b)| a != b));
    }
}

#[test]
fn names_an_inconsistent_epoch_and_refuses_foreign_mask_keys() {
    let mut prg = Prg::from_seed(&[10; 32]);
    let bits = bits(&mut prg);
    let (shares, _) = deal(4, 1, &bits, 1);
    let (_, masks) = deal(4, 1, &bits, 2);
    let (_, others) = deal(7, 2, &bits, 2);
    let ciphertext = packed(&mut prg, &bits[KeyKind::SquashCompression as usize], &[3; 4]);
    let samples = Samples::Packed(vec![(&ciphertext, 4)]);
    assert!(partial(&shares[0], &masks[1], &NAMES, 2, &samples).is_err());
    assert!(partial(&shares[0], &others[0], &NAMES, 2, &samples).is_err());
    // Shares of another key decode, to noise: the degree is right, the values are no blocks.
    let mut other = bits.clone();
    other[KeyKind::SquashCompression as usize][0] ^= 1;
    let (wrong, _) = deal(4, 1, &other, 1);
    let parts: Vec<Vec<u8>> = wrong
        .iter()
        .zip(&masks)
        .map(|(share, masks)| bytes(&partial(share, masks, &NAMES, 2, &samples).unwrap()))
        .collect();
    let list: Vec<(u8, &[u8])> = (1..).zip(parts.iter().map(|part| part.as_slice())).collect();
    assert_eq!(open_blocks(4, 1, 4, &list).err().unwrap().code, Code::Aborted);
}

#[test]
fn encryptions_of_zero_open_to_zero_and_tell_other_keys_and_masks() {
    let mut prg = Prg::from_seed(&[12; 32]);
    let bits = bits(&mut prg);
    for (n, t) in [(4, 1), (7, 2), (13, 4)] {
        let (shares, masks) = deal(n, t, &bits, 3);
        let of = |shares: &[KeyShares], masks: &[MaskKeys]| -> Vec<Vec<u8>> {
            shares.iter().zip(masks).map(|(share, keys)| bytes(&zero_shares(share, keys, &NAMES).unwrap())).collect()
        };
        let check = |parts: &[Vec<u8>]| {
            let list: Vec<(u8, &[u8])> = (1..).zip(parts.iter().map(|part| part.as_slice())).collect();
            open_zeros(n, t, &list)
        };
        let mut parts = of(&shares, &masks);
        assert_eq!(parts[0].len(), 2 * 64);
        assert!(check(&parts[..2 * t]).unwrap().is_none(), "2t are too few");
        assert!(check(&parts[..2 * t + 1]).unwrap().unwrap().is_empty());
        parts[1][70] ^= 4;
        assert_eq!(check(&parts).unwrap().unwrap(), [2], "a liar");

        // Every party's share of another key set: it decodes, to no zero.
        let mut other = bits.clone();
        other[KeyKind::Squash as usize].iter_mut().for_each(|bit| *bit ^= 1);
        let (mut wrong, _) = deal(n, t, &other, 3);
        for (wrong, right) in wrong.iter_mut().zip(&shares) {
            wrong.take_zeros_of(right);
        }
        assert_eq!(check(&of(&wrong, &masks)).err().unwrap().code, Code::Aborted, "another key");
        // A key of elements that are no scalars: coefficients 1 to 3 are not zero.
        let (mut skew, _) = deal(n, t, &bits, 3);
        skew.iter_mut().for_each(|share| share.add_to_all(KeyKind::SquashCompression, 2));
        assert_eq!(check(&of(&skew, &masks)).err().unwrap().code, Code::Aborted, "no bits");
    }
}

#[test]
fn stored_shares_come_back_and_damaged_ones_are_refused() {
    let mut prg = Prg::from_seed(&[11; 32]);
    let (shares, _) = deal(4, 1, &bits(&mut prg), 1);
    let stored = shares[2].encode(b"beside").unwrap();
    let read = KeyShares::decode(&stored).unwrap();
    assert_eq!((read.party, read.metadata.as_slice(), read.sharing.n), (3, &b"beside"[..], 4));
    assert_eq!(read.elements(KeyKind::Squash), shares[2].elements(KeyKind::Squash));
    assert_eq!(*read.encode(b"beside").unwrap(), *stored);
    for cut in [0, 10, 60, 100, 200, stored.len() - 1] {
        assert!(KeyShares::decode(&stored[..cut]).is_err(), "{cut}");
    }
    assert!(KeyShares::decode(&[&stored[..], &[0]].concat()).is_err());
    for (at, value) in [(60, 9), (64, 2), (68, 1), (72, 0), (72, 5), (76, 9), (200, 0)] {
        let mut bad = stored.to_vec();
        if bad[at] != value {
            bad[at] = value;
            let _ = KeyShares::decode(&bad);
        }
    }
}
