//! Names and texts that somebody else chose (files, people, tensors, keys of settings) are printed
//! so that they neither drive a terminal nor pass for lines of the program.
#![allow(clippy::unwrap_used)]

mod support;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Output;

use image::RgbImage;
use support::photos::real_photos;
use support::{Place, TINY};

/// What a hostile name holds: it clears the screen, begins lines of its own, goes back to a line's
/// beginning, turns the direction of text, hides, and drives a terminal by a single byte of C1.
const HOSTILE: &str =
    "a\u{1b}[2J\nerror: forged\r\nwarning: forged\rb\u{202e}gnp\u{200b}\u{9b}1m\u{7f}";

/// The same as a file's name, and bytes that are no text.
fn name(ending: &str) -> OsString {
    OsStr::from_bytes(&[HOSTILE.as_bytes(), b"\xff\xfe", ending.as_bytes()].concat()).to_owned()
}

/// Checks both outputs; returns what was printed.
fn clean(what: &str, output: &Output) -> String {
    let mut all = String::new();
    for bytes in [&output.stdout, &output.stderr] {
        let text = String::from_utf8(bytes.clone()).unwrap_or_else(|_| panic!("{what}: not UTF-8"));
        for c in text.chars() {
            let unsafe_one = c.is_control() && c != '\n' && c != '\t'
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}');
            assert!(!unsafe_one, "{what}: {c:?} in {text:?}");
        }
        for line in text.lines() {
            let forged = ["error: forged", "warning: forged"].iter().any(|f| line.starts_with(f));
            assert!(!forged, "{what}: a forged line in {text:?}");
        }
        all += &text;
    }
    for trace in ["panicked", "stack backtrace", "internal error"] {
        assert!(!all.contains(trace), "{what}: {all}");
    }
    all
}

/// Runs the program with words of which some are no text.
fn run(place: &Place, line: &str, more: &[&OsStr]) -> Output {
    place.faceshield().args(line.split_whitespace()).args(more).output().unwrap()
}

/// Checks what a command prints; `shown` must be in it, so that the name was printed at all.
fn prints(place: &Place, line: &str, more: &[&OsStr], shown: &str) {
    let output = run(place, line, more);
    let all = clean(line, &output);
    assert!(all.contains(shown), "{line}: no {shown} in {all}");
}

/// Five people with hostile names; of each a photo, and a file that is none.
fn people(root: &Path) {
    for person in 0..5u8 {
        let folder = root.join(format!("{person}{HOSTILE}"));
        std::fs::create_dir_all(&folder).unwrap();
        for photo in 0..2 {
            let picture = RgbImage::from_fn(64, 64, |x, y| {
                image::Rgb([x as u8 * person, y as u8 * (photo + 1), person * 50])
            });
            let file = folder.join(format!("{photo}{HOSTILE}.png"));
            picture.save_with_format(file, image::ImageFormat::Png).unwrap();
        }
        std::fs::write(folder.join(format!("bad{HOSTILE}.png")), "no picture").unwrap();
    }
    std::fs::write(root.join(format!("0{HOSTILE}")).join(name(".png")), "no picture").unwrap();
}

#[test]
fn data_sets() {
    let place = Place::new();
    let root = place.path("people");
    people(&root);
    for json in ["", " --json"] {
        prints(&place, &format!("data check people{json}"), &[], "forged");
        prints(&place, &format!("data index people{json}"), &[], "forged");
        prints(&place, &format!("data cache people --size 16 --out c{json}"), &[], "unreadable");
    }
    prints(&place, "data check people", &[], "\\xff\\xfe.png");
    prints(&place, "data check", &[&name("")], "\\u{1b}[2J\\nerror: forged");
    // What is printed as JSON still says what the names are.
    let output = run(&place, "data check people --json", &[]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let bad = report["bad"].as_array().unwrap();
    let path = format!("1{HOSTILE}/bad{HOSTILE}.png");
    assert!(bad.iter().any(|bad| bad["path"] == path.as_str()), "{report}");

    // Links out of the data set, told of by their names.
    std::os::unix::fs::symlink("/etc/hostname", root.join(format!("1{HOSTILE}/link.png"))).unwrap();
    prints(&place, "data check people", &[], "lead out of");
    prints(&place, "data check people --no-follow", &[], "1 symbolic link skipped");

    // The root itself, trained on: unreadable files are warned of.
    std::fs::rename(&root, place.path(HOSTILE)).unwrap();
    let train = format!("train fse {} --max-steps 1 --data", TINY.join(" "));
    prints(&place, &train, &[OsStr::new(HOSTILE)], "unreadable image left out");
    prints(
        &place,
        "evaluate --baselines --without detection --out report --data",
        &[OsStr::new(HOSTILE)],
        "report:",
    );
    let page = std::fs::read_to_string(place.path("report/report.html")).unwrap();
    assert!(!page.contains(['\u{1b}', '\u{202e}', '\u{9b}', '\u{7f}']));
}

#[test]
fn weight_files() {
    let place = Place::new();
    let json = |text: &str| serde_json::to_string(text).unwrap();
    let key = json(HOSTILE);
    let header = format!(
        "{{\"__metadata__\":{{{key}:{key}}},{key}:{{\"dtype\":\"U8\",\"shape\":[1],\
         \"data_offsets\":[0,1]}}}}"
    );
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), b"\x07"].concat();
    let file = place.path("").join(name(".safetensors"));
    std::fs::write(&file, &bytes).unwrap();
    // The older .pth format: magic and protocol number, facts of the machine, the object (a dict of
    // one text under a hostile key), and no storages.
    let text = [&b"X"[..], &(HOSTILE.len() as u32).to_le_bytes(), HOSTILE.as_bytes()].concat();
    let old = [
        &b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}."[..],
        b"\x80\x02}",
        &text,
        &text,
        b"s.\x80\x02].",
    ];
    std::fs::write(place.path("old.pth"), old.concat()).unwrap();
    for json in ["", " --json"] {
        prints(&place, &format!("weights inspect{json}"), &[file.as_os_str()], "forged");
        prints(&place, &format!("weights inspect old.pth{json}"), &[], "forged");
    }
    prints(&place, "weights inspect", &[&name("none")], "\\xff\\xfenone: cannot be opened");
    prints(&place, "weights convert", &[file.as_os_str(), &name("")], "\\nerror: forged");
    prints(&place, "weights convert --json old.pth", &[&name(".safetensors")], "");
    std::fs::write(place.path(HOSTILE), "junk").unwrap();
    prints(&place, "weights inspect", &[OsStr::new(HOSTILE)], "\\u{202e}gnp");
    prints(&place, "prototypes --data none --out x.safetensors --checkpoint", &[&name("")], "none");
}

#[test]
fn words_settings_and_reports() {
    let place = Place::new();
    let hostile = OsStr::new(HOSTILE);
    let setting = format!("{HOSTILE}=1");
    prints(&place, "", &[hostile], "unrecognized subcommand");
    prints(&place, "train fse --preset", &[hostile], "no preset");
    prints(&place, "train fse --preset demo --set", &[OsStr::new(&setting)], "forged");
    prints(&place, "train fse --preset demo --config", &[&name("")], "forged");
    let setting = format!("data={HOSTILE}");
    prints(&place, "train fse --preset demo --dry-run --set", &[OsStr::new(&setting)], "u001b");
    // TOML has no bare DEL in a string, JSON has.
    let key = serde_json::to_string(HOSTILE).unwrap().replace('\u{7f}', "\\u007f");
    for (config, shown) in [
        (format!("{key} = 1\n"), "forged"),
        (format!("lr = {key}\n"), "lr must be a number"),
        (format!("[fse.{key}]\nx = 1\n"), "forged"),
    ] {
        std::fs::write(place.path("c.toml"), config).unwrap();
        prints(&place, "train fse --preset demo --config c.toml", &[], shown);
    }
    prints(&place, "launch --", &[hostile], "unrecognized subcommand");
    for command in ["align", "protect"] {
        prints(&place, &format!("{command} --out faces"), &[&name(".png")], "forged");
        prints(&place, &format!("{command} x.png --out"), &[&name("")], "no such photo");
    }

    // A report whose protections have hostile names, and one that is none.
    let number =
        |value: f64| serde_json::json!({ "value": value, "low": value, "high": value, "n": 4 });
    let report = serde_json::json!({
        "format": 1, "data": { "people": 4, "photos": 8 },
        "protections": [{
            "name": HOSTILE,
            "privacy": [{ "against": "own_photo", "auc": number(0.5) }],
            "utility": { "psnr": number(20.0), "ssim": number(0.5) },
        }],
    });
    std::fs::write(place.path("r.json"), report.to_string()).unwrap();
    let named = format!("{HOSTILE}=r.json");
    prints(&place, "compare --out page.html", &[OsStr::new(&named)], "AUC 0.500");
    let page = std::fs::read_to_string(place.path("page.html")).unwrap();
    assert!(!page.contains(['\u{1b}', '\u{202e}', '\u{9b}', '\u{7f}']));
    prints(&place, "compare --out page.html", &[&name("")], "invalid UTF-8");
    std::fs::write(place.path(HOSTILE), "{\"a\u{1b}\": 1}").unwrap();
    prints(&place, "compare --out page.html", &[hostile], "no report.json");
}

/// Lines about single photos; needs the detector's weights.
#[test]
fn photos() {
    let Some((cache, _)) = real_photos("photos with hostile names") else { return };
    let place = Place::new();
    std::fs::create_dir(place.path("in")).unwrap();
    std::fs::write(place.path("in").join(name(".png")), "no picture").unwrap();
    let grey = RgbImage::from_pixel(64, 64, image::Rgb([90; 3]));
    grey.save(place.path("in").join(format!("grey{HOSTILE}.png"))).unwrap();
    for json in ["", " --json"] {
        for command in ["align in --out faces", "protect in --out covered --method solid"] {
            let line = format!("{command}{json}");
            let mut run = place.faceshield();
            run.env("FACESHIELD_CACHE", &cache).args(line.split_whitespace());
            let all = clean(&line, &run.output().unwrap());
            assert!(all.contains("forged") && all.contains("\\xff\\xfe.png"), "{line}: {all}");
        }
    }
}
