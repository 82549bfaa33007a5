//! What commands read by name is regular and bounded, and what holds faces only its owner may read.
#![allow(clippy::unwrap_used)]

mod support;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use support::photos::real_photos;
use support::{Place, error_line};

/// Every file and folder below `root` that others than its owner may use.
fn open_to_others(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in walkdir::WalkDir::new(root) {
        let entry = entry.unwrap();
        if entry.metadata().unwrap().permissions().mode() & 0o077 != 0 {
            found.push(entry.into_path());
        }
    }
    found
}

/// Runs a line of words under a umask that lets everybody do everything.
fn done(place: &Place, line: &str) -> String {
    let program = place.faceshield();
    let mut shell = Command::new("sh");
    let script = format!("umask 000; exec '{}' {line}", program.get_program().to_str().unwrap());
    shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = shell.current_dir(place.path("")).args(["-c", &script]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {stderr}");
    stderr.into_owned()
}

#[test]
fn inputs_are_regular_files_of_a_bounded_length() {
    let place = Place::new();
    place.faces(4, 2);
    let fifo = Command::new("mkfifo").arg(place.path("fifo")).status().unwrap();
    assert!(fifo.success());
    std::fs::create_dir(place.path("folder")).unwrap();
    let huge = std::fs::File::create(place.path("huge")).unwrap();
    huge.set_len(1 << 40).unwrap();
    symlink("fifo", place.path("link")).unwrap();
    let cases = [
        ("fifo", "named pipe"),
        ("link", "named pipe"),
        ("/dev/zero", "device"),
        ("folder", "folder"),
        ("huge", "at most"),
    ];
    for (file, why) in cases {
        let output = place.run(&["compare", file, "--out", "page.html"]);
        let error = error_line(&output);
        assert!(error.contains(why) && error.contains(file), "{error}");
    }
    for (file, why) in &cases[..4] {
        let attacker = format!("a={file}");
        let runs = [
            vec!["weights", "inspect", file],
            vec![
                "evaluate",
                "--data",
                "faces",
                "--baselines",
                "--attacker",
                &attacker,
                "--out",
                "out",
            ],
        ];
        for words in runs {
            // A folder is a checkpoint there, and has no model.
            let error = error_line(&place.run(&words));
            assert!(*file == "folder" || error.contains(why), "{words:?}: {error}");
        }
    }
    // Labels in a data set from elsewhere.
    for target in ["../fifo", "/dev/zero"] {
        let labels = place.path("faces/labels.jsonl");
        let _ = std::fs::remove_file(&labels);
        symlink(target, &labels).unwrap();
        let words = ["evaluate", "--data", "faces", "--baselines", "--out", "out"];
        let error = error_line(&place.run(&words));
        assert!(error.contains("labels.jsonl"), "{error}");
    }
    std::fs::remove_file(place.path("faces/labels.jsonl")).unwrap();
    // A line without end.
    let labels = std::fs::File::create(place.path("faces/labels.jsonl")).unwrap();
    labels.set_len(1 << 40).unwrap();
    let words = ["evaluate", "--data", "faces", "--baselines", "--out", "out"];
    let error = error_line(&place.run(&words));
    assert!(error.contains("labels.jsonl, line 1") && error.contains("bytes or more"), "{error}");
}

#[test]
fn reports_and_caches_are_their_owners_and_pages_say_what_they_show() {
    let place = Place::new();
    place.faces(5, 2);
    done(&place, "evaluate --data faces --baselines --without detection --out report");
    done(&place, "data index faces");
    done(&place, "data cache faces --size 16 --out kept/decoded.safetensors");
    done(&place, "compare one=report/report.json --out page.html --charts charts");
    for name in ["report", "cache", "state", "kept", "page.html", "charts"] {
        assert_eq!(open_to_others(&place.path(name)), Vec::<PathBuf>::new(), "{name}");
    }
    let text = |name: &str| std::fs::read_to_string(place.path(name)).unwrap();
    let page = text("report/report.html");
    let warning = page.find("contains original, unprotected photos").unwrap();
    assert!(warning < page.find("<h2").unwrap() && warning < page.find("<img").unwrap());
    assert!(!text("page.html").contains("unprotected photos"));

    // Links that lie in the place of results are not written through.
    std::fs::write(place.path("mine"), "kept").unwrap();
    for name in ["report.json", "report.html"] {
        std::fs::remove_file(place.path("report").join(name)).unwrap();
        symlink("../mine", place.path("report").join(name)).unwrap();
        let words = ["evaluate", "--data", "faces", "--baselines", "--without", "detection"];
        let output = place.run(&[&words[..], &["--out", "report"]].concat());
        assert!(error_line(&output).contains("symbolic link"));
        std::fs::remove_file(place.path("report").join(name)).unwrap();
        assert_eq!(text("mine"), "kept");
    }
}

/// Crops of faces; needs the detector's weights and photos with faces.
#[test]
fn crops_are_their_owners_and_stay_in_their_folder() {
    let Some((shared, demo)) = real_photos("private crops") else { return };
    let place = Place::new();
    std::fs::create_dir_all(place.path("in/sub")).unwrap();
    std::fs::copy(demo.join("astronaut.png"), place.path("in/sub/a.png")).unwrap();
    let align = |out: &str| {
        let mut program = place.faceshield();
        program
            .env("FACESHIELD_CACHE", &shared)
            .args(["align", "in", "--size", "64", "--out", out]);
        program.output().unwrap()
    };
    let output = align("faces");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(open_to_others(&place.path("faces")), Vec::<PathBuf>::new());
    // A folder of crops that is a link: nothing is written where it leads.
    std::fs::create_dir_all(place.path("elsewhere")).unwrap();
    std::fs::create_dir_all(place.path("linked")).unwrap();
    symlink("../elsewhere", place.path("linked/sub")).unwrap();
    let output = align("linked");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && stderr.contains("symbolic link"), "{stderr}");
    assert_eq!(std::fs::read_dir(place.path("elsewhere")).unwrap().count(), 0);
}
