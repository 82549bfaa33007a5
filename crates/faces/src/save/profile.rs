//! A colour profile reduced to its colours (ICC.1:2022; a profile of an RGB display or camera by
//! primaries and tone curves).
//!
//! Profiles carry names of devices, serial numbers, dates, texts and private tags. A new one is
//! written from the numbers that colours need: three primaries, the white point, three curves,
//! and the adaptation matrix.

/// Header, tag count.
const HEADER: usize = 128;
/// Most points of a tone curve that are kept; common ones have 1,024 to 4,096.
const MAX_POINTS: usize = 4096;
/// The tags that are needed, and those that are kept where there are.
const NEEDED: [&[u8; 4]; 6] = [b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC"];
const KEPT: [&[u8; 4]; 2] = [b"wtpt", b"chad"];
/// X, Y and Z of the light that all profiles refer to, as the format writes numbers.
const D50: [u8; 12] = [0, 0, 0xf6, 0xd6, 0, 1, 0, 0, 0, 0, 0xd3, 0x2d];
/// What stands where the format asks for a text.
const TEXT: &str = "RGB";

/// The profile written anew.
///
/// # Errors
/// Why it cannot be: it is damaged, not for RGB, or made of tables.
pub(super) fn rewrite(profile: &[u8]) -> Result<Vec<u8>, String> {
    let field = |at: usize| profile.get(at..at + 4).ok_or("it is cut short".to_string());
    if field(36)? != b"acsp" {
        return Err("it is damaged (no signature)".into());
    }
    let is_device = [b"mntr", b"scnr", b"spac"].iter().any(|class| field(12) == Ok(&class[..]));
    if !is_device || field(16)? != b"RGB " || field(20)? != b"XYZ " {
        return Err("it is not one of RGB colours by primaries and curves".into());
    }
    let major = field(8)?[0];
    let mut tags: Vec<([u8; 4], Vec<u8>)> = Vec::new();
    for name in NEEDED.into_iter().chain(KEPT) {
        match find(profile, name) {
            Some(tag) => tags.push((*name, numbers(tag).ok_or_else(|| odd(name))?)),
            None if NEEDED.contains(&name) => return Err(format!("it has no {}", text(name))),
            None => {}
        }
    }
    tags.push((*b"desc", description(major)));
    tags.push((*b"cprt", if major >= 4 { description(major) } else { plain_text() }));
    Ok(assemble(field(8)?, field(12)?, &tags))
}

fn text(name: &[u8; 4]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

fn odd(name: &[u8; 4]) -> String {
    format!("its {} is damaged or of an unknown kind", text(name))
}

/// A tag's bytes.
fn find<'a>(profile: &'a [u8], name: &[u8; 4]) -> Option<&'a [u8]> {
    let number = |at: usize| {
        let bytes = profile.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_be_bytes(bytes)).ok()
    };
    let count = number(HEADER)?.min(200);
    let mut entries = (0..count).map(|k| HEADER + 4 + 12 * k);
    let entry = entries.find(|&at| profile.get(at..at + 4) == Some(name))?;
    let start = number(entry + 4)?;
    profile.get(start..start.checked_add(number(entry + 8)?)?)
}

/// A tag of one of the known kinds, cut to the length that its kind has: nothing hides behind.
fn numbers(tag: &[u8]) -> Option<Vec<u8>> {
    let length = match tag.get(..4)? {
        b"XYZ " => 20,
        b"sf32" => 8 + 9 * 4,
        b"curv" => {
            let points = u32::from_be_bytes(tag.get(8..12)?.try_into().ok()?) as usize;
            if points > MAX_POINTS {
                return None;
            }
            12 + 2 * points
        }
        // Function 0 to 4 has 1, 3, 4, 5 or 7 parameters.
        b"para" => 12 + 4 * [1, 3, 4, 5, 7].get(usize::from(*tag.get(9)?))?,
        _ => return None,
    };
    let mut tag = tag.get(..length)?.to_vec();
    // Reserved bytes.
    tag[4..8].fill(0);
    if &tag[..4] == b"para" {
        tag[8] = 0;
        tag[10..12].fill(0);
    }
    Some(tag)
}

fn description(major: u8) -> Vec<u8> {
    if major >= 4 {
        // One record of 12 bytes: language, country, length, offset; UTF-16.
        let text: Vec<u8> = TEXT.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let length = (text.len() as u32).to_be_bytes();
        let numbers = [&1u32.to_be_bytes()[..], &12u32.to_be_bytes(), b"enUS"].concat();
        return [b"mluc\0\0\0\0", &numbers[..], &length, &28u32.to_be_bytes(), &text].concat();
    }
    // Length and text; then no Unicode (8 bytes) and no Macintosh one (3 and 67 bytes).
    let length = (TEXT.len() as u32 + 1).to_be_bytes();
    [b"desc\0\0\0\0", &length[..], TEXT.as_bytes(), &[0; 1 + 8 + 3 + 67]].concat()
}

fn plain_text() -> Vec<u8> {
    [b"text\0\0\0\0", TEXT.as_bytes(), &[0]].concat()
}

fn assemble(version: &[u8], class: &[u8], tags: &[([u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut table = (tags.len() as u32).to_be_bytes().to_vec();
    let mut data = Vec::new();
    let start = HEADER + 4 + 12 * tags.len();
    for (name, tag) in tags {
        let offset = (start + data.len()) as u32;
        table
            .extend([&name[..], &offset.to_be_bytes(), &(tag.len() as u32).to_be_bytes()].concat());
        data.extend(tag);
        data.resize(data.len().next_multiple_of(4), 0);
    }
    // No maker, date, platform, device, flags or checksum; perceptual intent.
    let mut header = vec![0; HEADER];
    header[..4].copy_from_slice(&((start + data.len()) as u32).to_be_bytes());
    header[8..10].copy_from_slice(&version[..2]);
    header[12..16].copy_from_slice(class);
    header[16..24].copy_from_slice(b"RGB XYZ ");
    header[36..40].copy_from_slice(b"acsp");
    header[68..80].copy_from_slice(&D50);
    [header, table, data].concat()
}
