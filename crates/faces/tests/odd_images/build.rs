//! Image files of kinds that no encoder at hand writes, byte by byte.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

/// A PNG chunk with its checksum.
pub(crate) fn png_chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let body = [name, content].concat();
    let length = (content.len() as u32).to_be_bytes();
    [&length[..], &body, &crc32fast::hash(&body).to_be_bytes()].concat()
}

/// `length` zeros, deflated.
pub(crate) fn zeros(length: usize) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    let block = vec![0; 1 << 20];
    let mut left = length;
    while left > 0 {
        let step = left.min(block.len());
        encoder.write_all(&block[..step]).unwrap();
        left -= step;
    }
    encoder.finish().unwrap()
}

/// A black PNG image: bits per channel, colour type (0 grey, 2 RGB, 3 palette, 4 grey and
/// alpha, 6 RGBA), interlaced or not; `more` goes between header and pixels.
pub(crate) fn png(
    size: (u32, u32),
    bits: u8,
    colour: u8,
    interlaced: bool,
    more: &[u8],
) -> Vec<u8> {
    let (width, height) = size;
    let channels = [1, 0, 3, 1, 2, 0, 4][usize::from(colour)];
    let row = |width: u32| (u64::from(width) * channels * u64::from(bits)).div_ceil(8) + 1;
    // Start and step of the seven passes, across and down.
    const PASSES: [[u32; 4]; 7] = [
        [0, 8, 0, 8],
        [4, 8, 0, 8],
        [0, 4, 4, 8],
        [2, 4, 0, 4],
        [0, 2, 2, 4],
        [1, 2, 0, 2],
        [0, 1, 1, 2],
    ];
    let length: u64 = if interlaced {
        let places =
            |length: u32, start: u32, step: u32| length.saturating_sub(start).div_ceil(step);
        let passes = PASSES.map(|[left, across, top, down]| {
            let (columns, rows) = (places(width, left, across), places(height, top, down));
            if columns == 0 { 0 } else { u64::from(rows) * row(columns) }
        });
        passes.iter().sum()
    } else {
        u64::from(height) * row(width)
    };
    let palette = if colour == 3 { png_chunk(b"PLTE", &[7, 8, 9, 1, 2, 3]) } else { Vec::new() };
    [
        png_start(size, bits, colour, interlaced),
        more.to_vec(),
        palette,
        png_chunk(b"IDAT", &zeros(length as usize)),
        png_chunk(b"IEND", &[]),
    ]
    .concat()
}

/// Signature and header.
pub(crate) fn png_start(
    (width, height): (u32, u32),
    bits: u8,
    colour: u8,
    interlaced: bool,
) -> Vec<u8> {
    let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
    let header = [&size[..], &[bits, colour, 0, 0, u8::from(interlaced)]].concat();
    [b"\x89PNG\r\n\x1a\n", &png_chunk(b"IHDR", &header)[..]].concat()
}

/// Two frames of 5 × 4 pixels.
pub(crate) fn animated_png() -> Vec<u8> {
    let control = |sequence: u32| {
        let numbers = [sequence, 5, 4, 0, 0].map(u32::to_be_bytes).concat();
        png_chunk(b"fcTL", &[&numbers[..], &[0, 1, 0, 10, 0, 0]].concat())
    };
    let pixels = zeros(4 * (5 * 3 + 1));
    [
        png_start((5, 4), 8, 2, false),
        png_chunk(b"acTL", &[0, 0, 0, 2, 0, 0, 0, 0]),
        control(0),
        png_chunk(b"IDAT", &pixels),
        control(1),
        png_chunk(b"fdAT", &[&2u32.to_be_bytes()[..], &pixels].concat()),
        png_chunk(b"IEND", &[]),
    ]
    .concat()
}

/// A WebP file of chunks.
pub(crate) fn webp(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let chunk = |(name, content): &(&[u8; 4], &[u8])| {
        let length = (content.len() as u32).to_le_bytes();
        [&name[..], &length, content, &vec![0; content.len() % 2]].concat()
    };
    let body: Vec<u8> = chunks.iter().flat_map(chunk).collect();
    [b"RIFF", &(body.len() as u32 + 4).to_le_bytes()[..], b"WEBP", &body].concat()
}

/// A number of 24 bits, as WebP has sizes.
pub(crate) fn three(number: u32) -> [u8; 3] {
    let [a, b, c, _] = number.to_le_bytes();
    [a, b, c]
}

/// A canvas of `size`, and two frames that each hold `picture` (a `VP8L` chunk's content) of
/// `inner` pixels.
pub(crate) fn animated_webp(size: (u32, u32), picture: &[u8], inner: (u32, u32)) -> Vec<u8> {
    let sides = |(width, height): (u32, u32)| [three(width - 1), three(height - 1)].concat();
    let canvas = [&[0b10, 0, 0, 0][..], &sides(size)].concat();
    let length = (picture.len() as u32).to_le_bytes();
    let padding = vec![0; picture.len() % 2];
    let place = [[0; 6].to_vec(), sides(inner), three(100).to_vec(), vec![0]].concat();
    let frame = [&place[..], b"VP8L", &length, picture, &padding].concat();
    webp(&[(b"VP8X", &canvas), (b"ANIM", &[0; 6]), (b"ANMF", &frame), (b"ANMF", &frame)])
}

/// A JPEG file whose `components` have one value each all over: 1 grey, 3 YCbCr, 4 CMYK.
/// `adobe` is the colour transform that an Adobe segment tells.
pub(crate) fn jpeg(
    (width, height): (u16, u16),
    components: &[u8],
    progressive: bool,
    adobe: Option<u8>,
) -> Vec<u8> {
    let segment = |marker: u8, content: &[u8]| {
        [&[0xff, marker], &(content.len() as u16 + 2).to_be_bytes()[..], content].concat()
    };
    let count = components.len() as u8;
    let mut frame = [&[8][..], &height.to_be_bytes(), &width.to_be_bytes(), &[count]].concat();
    let mut scan = vec![count];
    for name in 1..=count {
        frame.extend([name, 0x11, 0]);
        scan.extend([name, 0]);
    }
    scan.extend([0, if progressive { 0 } else { 63 }, 0]);
    // Twelve lengths of differences with codes of four bits; "no more" with one of one bit.
    let mut dc = vec![0; 17];
    dc[4] = 12;
    dc.extend(0..12);
    let mut ac = vec![0x10; 1];
    ac.extend([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let blocks = usize::from(width.div_ceil(8)) * usize::from(height.div_ceil(8));
    let mut bits = Bits::default();
    for block in 0..blocks {
        for &value in components {
            let difference = if block == 0 { 8 * (i32::from(value) - 128) } else { 0 };
            let length = 32 - difference.unsigned_abs().leading_zeros();
            bits.push(length, 4);
            let low = if difference < 0 { difference - 1 } else { difference };
            bits.push(low as u32 & ((1 << length) - 1), length);
            if !progressive {
                bits.push(0, 1);
            }
        }
    }
    let adobe =
        adobe.map(|transform| segment(0xee, &[b"Adobe\0\x64\0\0\0\0", &[transform][..]].concat()));
    [
        vec![0xff, 0xd8],
        adobe.unwrap_or_default(),
        segment(0xdb, &[&[0][..], &[1; 64]].concat()),
        segment(if progressive { 0xc2 } else { 0xc0 }, &frame),
        segment(0xc4, &dc),
        segment(0xc4, &ac),
        segment(0xda, &scan),
        bits.finish(),
        vec![0xff, 0xd9],
    ]
    .concat()
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    current: u32,
    filled: u32,
}

impl Bits {
    fn push(&mut self, value: u32, length: u32) {
        for k in (0..length).rev() {
            self.current = self.current << 1 | (value >> k & 1);
            self.filled += 1;
            if self.filled == 8 {
                self.bytes.push(self.current as u8);
                if self.current == 0xff {
                    self.bytes.push(0);
                }
                (self.current, self.filled) = (0, 0);
            }
        }
    }

    fn finish(mut self) -> Vec<u8> {
        while self.filled != 0 {
            self.push(1, 1);
        }
        self.bytes
    }
}
