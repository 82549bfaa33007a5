//! Damage to sound images, drawn from a seed.

use crate::images::{Expect, OddImage, odd};

/// Cuts, flipped bits, overwritten numbers, doubled and lost pieces, 20 of each sound image.
pub(crate) fn damaged(sound: &[OddImage], seed: u64) -> Vec<OddImage> {
    let random = &mut Random(seed);
    let mut images = Vec::new();
    let numbers = [0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_fffe, u32::MAX];
    for image in sound {
        for k in 0..20 {
            let mut bytes = image.bytes.clone();
            let what = match k % 5 {
                0 => {
                    bytes.truncate(random.below(bytes.len()));
                    "cut"
                }
                1 => {
                    for _ in 0..1 << random.below(5) {
                        let at = random.below(bytes.len());
                        bytes[at] ^= 1 << random.below(8);
                    }
                    "bits flipped"
                }
                2 => {
                    // Headers have the numbers that matter.
                    let at = random.below(bytes.len().min(120).saturating_sub(4).max(1));
                    let number = numbers[random.below(numbers.len())];
                    let number = if k < 10 { number.to_be_bytes() } else { number.to_le_bytes() };
                    bytes[at..at + 4].copy_from_slice(&number);
                    "a number overwritten"
                }
                3 => {
                    let (from, to) = random.range(bytes.len());
                    let piece = bytes[from..to].to_vec();
                    let at = random.below(bytes.len());
                    bytes.splice(at..at, piece);
                    "a piece doubled"
                }
                _ => {
                    let (from, to) = random.range(bytes.len());
                    bytes.drain(from..to);
                    "a piece lost"
                }
            };
            let name = format!("{}: {what}", image.name);
            images.push(odd(name, &image.file, bytes, Expect::Either));
        }
    }
    images
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// A piece of something of `length`, at most 64 long.
    fn range(&mut self, length: usize) -> (usize, usize) {
        let from = self.below(length);
        (from, (from + 1 + self.below(64)).min(length))
    }
}
