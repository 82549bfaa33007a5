//! What a result's bytes hold, by readers that share nothing with what wrote them.

use std::io::Cursor;
use std::path::Path;

use faces::save::{Encoded, Format, Inputs, Keep, SaveOptions, Source, save};
use faces::{RgbImage, read_photo};
use image::{ImageDecoder, ImageReader};

use crate::originals::{self, SECRET, photo};

const FORMATS: [(&str, Format); 3] =
    [("png", Format::Png), ("jpg", Format::Jpeg), ("webp", Format::WebP)];

/// Writes an original, reads it as `protect` would, and saves it as `ending`.
fn through(original: &[u8], ending: &str, keep: Keep, quality: Option<u8>) -> (RgbImage, Encoded) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("original");
    std::fs::write(&path, original).unwrap();
    let image = read_photo(&path).unwrap();
    let source = Source::read(&path).unwrap();
    let out = dir.path().join("out").with_extension(ending);
    let options = SaveOptions { keep, quality, ..SaveOptions::default() };
    let inputs = Inputs::of([&path]).unwrap();
    let encoded = save(&image, &out, &source, &inputs, &options).unwrap();
    assert_eq!(std::fs::read(&out).unwrap(), encoded.bytes);
    (read_photo(&out).unwrap(), encoded)
}

/// Names of all parts of a file, to its last byte.
fn parts(bytes: &[u8], format: Format) -> Vec<String> {
    let name = |name: &[u8]| String::from_utf8(name.to_vec()).unwrap();
    let mut found = Vec::new();
    match format {
        Format::Png => {
            let mut at = 8;
            while at < bytes.len() {
                let length = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
                found.push(name(&bytes[at + 4..at + 8]));
                at += 12 + length;
            }
            assert_eq!(at, bytes.len());
        }
        Format::WebP => {
            let length = u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize;
            assert_eq!(length + 8, bytes.len());
            let mut at = 12;
            while at < bytes.len() {
                let length = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
                found.push(name(&bytes[at..at + 4]));
                at += 8 + length + length % 2;
            }
            assert_eq!(at, bytes.len());
        }
        Format::Jpeg => {
            let mut at = 2;
            while bytes[at + 1] != 0xda {
                assert_eq!(bytes[at], 0xff);
                found.push(format!("{:02x}", bytes[at + 1]));
                if bytes[at + 1] == 0xe0 {
                    assert_eq!(&bytes[at + 2..at + 9], b"\0\x10JFIF\0", "no thumbnail");
                }
                at += 2 + usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
            }
            // In a scan 0xff is followed by 0, until the end of the image and of the file.
            let scan = &bytes[at + 2..bytes.len() - 2];
            assert!(scan.windows(2).all(|w| w[0] != 0xff || w[1] == 0));
            assert!(bytes.ends_with(&[0xff, 0xd9]));
        }
    }
    found
}

fn allowed(format: Format, keep: Keep) -> Vec<&'static str> {
    let mut names = match format {
        Format::Png => vec!["IHDR", "IDAT", "IEND"],
        Format::Jpeg => vec!["e0", "db", "c0", "c4"],
        Format::WebP => vec!["VP8L"],
    };
    match format {
        Format::Png if keep.resolution => names.push("pHYs"),
        _ => {}
    }
    if keep.profile {
        names.extend(match format {
            Format::Png => &["iCCP"][..],
            Format::Jpeg => &["e2"],
            Format::WebP => &["VP8X", "ICCP"],
        });
    }
    names
}

#[test]
fn results_hold_pixels_and_what_was_asked_for() {
    let turned = image::imageops::rotate90(&photo());
    let originals =
        [("jpeg", originals::jpeg(90)), ("png", originals::png()), ("webp", originals::webp())];
    for (name, original) in &originals {
        assert!(original.windows(SECRET.len()).filter(|w| *w == SECRET).count() >= 2, "{name}");
        for (ending, format) in FORMATS {
            for keep in [Keep::default(), Keep { profile: true, resolution: true }] {
                let case = format!("{name} → {ending}, {keep:?}");
                let (image, encoded) = through(original, ending, keep, None);
                let bytes = &encoded.bytes;
                assert!(!bytes.windows(4).any(|w| w == &SECRET[..4]), "{case}");
                let allowed = allowed(format, keep);
                for part in parts(bytes, format) {
                    assert!(allowed.contains(&&*part), "{case}: {part}");
                }
                assert_eq!(encoded.profile_dropped, !keep.profile, "{case}");

                // The orientation went into the pixels.
                assert_eq!(image.dimensions(), (32, 48), "{case}");
                let lossy = *name == "jpeg" || format == Format::Jpeg;
                let worst = image.iter().zip(turned.iter()).map(|(a, b)| a.abs_diff(*b)).max();
                assert!(worst.unwrap() <= if lossy { 14 } else { 0 }, "{case}: {worst:?}");

                let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().unwrap();
                let mut decoder = reader.into_decoder().unwrap();
                assert_eq!(decoder.exif_metadata().unwrap(), None, "{case}");
                assert_eq!(decoder.xmp_metadata().unwrap(), None, "{case}");
                assert_eq!(decoder.iptc_metadata().unwrap(), None, "{case}");
                assert_eq!(decoder.icc_profile().unwrap().is_some(), keep.profile, "{case}");
            }
        }
    }
}

/// A profile that is kept says the same of colours to a reader of profiles, and a resolution
/// the same to the decoder: 300 pixels per inch.
#[test]
fn what_is_kept_keeps_its_meaning() {
    let keep = Keep { profile: true, resolution: true };
    let before = moxcms::ColorProfile::new_from_slice(&originals::profile()).unwrap();
    for original in [originals::jpeg(90), originals::png(), originals::webp()] {
        for (ending, format) in FORMATS {
            let (_, encoded) = through(&original, ending, keep, None);
            let reader = ImageReader::new(Cursor::new(&encoded.bytes));
            let mut decoder = reader.with_guessed_format().unwrap().into_decoder().unwrap();
            let profile = decoder.icc_profile().unwrap().unwrap();
            let after = moxcms::ColorProfile::new_from_slice(&profile).unwrap();
            assert_eq!(after.red_colorant, before.red_colorant);
            assert_eq!(after.green_colorant, before.green_colorant);
            assert_eq!(after.blue_colorant, before.blue_colorant);
            // D50 to the last digit, which not every writer has.
            assert!((after.white_point.x - before.white_point.x).abs() < 1e-3);
            assert_eq!(after.chromatic_adaptation, before.chromatic_adaptation);
            let curve = |p: &moxcms::ColorProfile| format!("{:?}", p.red_trc);
            assert_eq!(curve(&after), curve(&before));
            match format {
                Format::Jpeg if !original.starts_with(b"RIFF") => {
                    assert_eq!(&encoded.bytes[13..18], &[1, 1, 44, 1, 44]);
                }
                Format::Png if !original.starts_with(b"RIFF") => {
                    assert_eq!(&encoded.bytes[37..41], b"pHYs");
                    assert_eq!(&encoded.bytes[41..45], &11811u32.to_be_bytes());
                }
                _ => {}
            }
        }
    }
}

#[test]
fn jpeg_files_keep_their_quality() {
    for quality in [35, 83, 97] {
        let (_, encoded) = through(&originals::jpeg(quality), "jpeg", Keep::default(), None);
        assert_eq!(encoded.quality, Some(quality));
        assert_eq!(Source::of(&encoded.bytes).quality, Some(quality));
    }
    let (_, encoded) = through(&originals::png(), "jpg", Keep::default(), None);
    assert_eq!(encoded.quality, Some(95));
    let (_, encoded) = through(&originals::jpeg(83), "jpg", Keep::default(), Some(40));
    assert_eq!(Source::of(&encoded.bytes).quality, Some(40));
}

#[test]
fn damaged_profiles_are_refused_by_name_if_they_should_be_kept() {
    let image = photo();
    let keep = Keep { profile: true, ..Keep::default() };
    let dir = tempfile::tempdir().unwrap();
    for (k, (from, to)) in [(&b"acsp"[..], &b"acsq"[..]), (b"rTRC", b"rTRX"), (b"RGB ", b"CMYK")]
        .into_iter()
        .enumerate()
    {
        let mut original = originals::webp();
        let at = original.windows(4).position(|w| w == from).unwrap();
        original[at..at + 4].copy_from_slice(to);
        let out = dir.path().join(format!("{k}.png"));
        let source = Source::of(&original);
        let write = |keep| {
            let options = SaveOptions { keep, ..SaveOptions::default() };
            save(&image, &out, &source, &Inputs::default(), &options)
        };
        let error = write(keep).unwrap_err().to_string();
        assert!(error.contains("colour profile") && !error.contains('\n'), "{error}");
        assert!(!Path::new(&out).exists());
        assert!(write(Keep::default()).unwrap().profile_dropped);
    }
}
