//! Random numbers as a pure function of (seed, person, photo).

use chacha20::ChaCha20Rng;
use rand::{Rng, SeedableRng};

/// A stream of ChaCha20, named so that a seed means the same with later versions.
pub(crate) struct Stream(ChaCha20Rng);

impl Stream {
    /// The stream a person's identity is drawn from.
    pub(crate) fn person(seed: u64, person: u32) -> Stream {
        Stream::numbered(seed, u64::from(person) << 32)
    }

    /// The stream a photo's scene is drawn from: another one than any person's or photo's.
    pub(crate) fn photo(seed: u64, person: u32, photo: u32) -> Stream {
        Stream::numbered(seed, u64::from(person) << 32 | (u64::from(photo) + 1))
    }

    fn numbered(seed: u64, number: u64) -> Stream {
        let mut generator = ChaCha20Rng::seed_from_u64(seed);
        generator.set_stream(number);
        Stream(generator)
    }

    /// Uniform in [low, high], in 10 000 steps: few digits in a label, and exact ones.
    pub(crate) fn uniform(&mut self, low: f32, high: f32) -> f32 {
        let step = (u64::from(self.0.next_u32()) * 10_001) >> 32;
        let value = f64::from(low) + f64::from(high - low) * (step as f64 / 1e4);
        ((value * 1e4).round() / 1e4) as f32
    }
}

/// 64 well mixed bits from a number (SplitMix64's finaliser; Steele, Lea, Flood 2014).
pub(crate) const fn scramble(number: u64) -> u64 {
    let x = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The `k`-th (0 to 3) 16-bit piece of `bits`, scaled to [0, 1).
pub(crate) fn piece(bits: u64, k: u32) -> f32 {
    ((bits >> (16 * k)) & 0xffff) as f32 / 65536.0
}
