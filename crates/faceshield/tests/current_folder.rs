//! What lies in the current folder is data: no code in it runs and no settings in it count,
//! whichever command is started there. Nothing here needs a network.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::{Place, error_line};

/// Modules that `python -m pip`, `python -c` and pip itself import, from the folder if they may.
const MODULES: [&str; 13] = [
    "pip.py",
    "pip/__init__.py",
    "pip/__main__.py",
    "site.py",
    "sitecustomize.py",
    "usercustomize.py",
    "json.py",
    "zipfile.py",
    "logging.py",
    "hashlib.py",
    "shutil.py",
    "torch.py",
    "encodings/__init__.py",
];

/// Programs that commands and scripts look up.
const PROGRAMS: [&str; 18] = [
    "python3",
    "python",
    "pip3",
    "npm",
    "node",
    "nvidia-smi",
    "bash",
    "env",
    "dirname",
    "df",
    "awk",
    "uname",
    "cc",
    "c++",
    "cargo",
    "sha256sum",
    "flock",
    "wc",
];

/// A folder of photos with such files beside them; whatever runs writes its name into `marker`.
struct Hostile {
    place: Place,
    folder: PathBuf,
    marker: PathBuf,
}

impl Hostile {
    fn new() -> Hostile {
        let place = Place::new();
        let (folder, marker) = (place.path("photos"), place.path("marker"));
        let write = |name: &str, text: String| {
            let file = folder.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, text).unwrap();
            file
        };
        for name in MODULES {
            write(name, format!("open({marker:?}, 'a').write({name:?} + '\\n')\n"));
        }
        for name in PROGRAMS {
            // In `bin` for a relative entry of PATH that is not empty.
            for name in [name.to_owned(), format!("bin/{name}")] {
                let text = format!("#!/bin/sh\necho {name} >>'{}'\n", marker.display());
                let file = write(&name, text);
                std::fs::set_permissions(file, Permissions::from_mode(0o755)).unwrap();
            }
        }
        let photo = image::RgbImage::from_pixel(64, 64, image::Rgb([90; 3]));
        photo.save(folder.join("a.png")).unwrap();
        Hostile { place, folder, marker }
    }

    /// Starts the command in the folder, with settings that lead there, and pip without an index.
    fn start(&self, command: &mut Command) -> Output {
        let path = std::env::var("PATH").unwrap();
        for unset in ["LIBTORCH", "LIBTORCH_USE_PYTORCH", "PYTHON", "VIRTUAL_ENV"] {
            command.env_remove(unset);
        }
        let output = command
            .current_dir(&self.folder)
            .env("PATH", format!(":bin:.:{path}:"))
            .env("PYTHONPATH", format!(".:{}", self.folder.display()))
            .env("PIP_NO_INDEX", "1")
            .env("PIP_FIND_LINKS", "")
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        let ran = std::fs::read_to_string(&self.marker).unwrap_or_default();
        assert_eq!(ran, "", "{command:?} ran what lies in the current folder: {stderr}");
        output
    }

    fn faceshield(&self, words: &[&str]) -> Output {
        self.start(self.place.faceshield().args(words))
    }
}

#[test]
fn no_command_runs_code_of_the_current_folder() {
    let hostile = Hostile::new();
    let report = hostile.faceshield(&["doctor", "--json"]);
    assert!(report.status.success());
    let report = String::from_utf8(report.stdout).unwrap();
    assert!(!report.contains("apt install python3-pip"), "pip was not asked: {report}");

    for words in [
        &["data", "demo", "--out", "demo"][..],
        &["align", "a.png", "--out", "faces"],
        &["protect", "a.png", "--out", "protected", "--method", "solid"],
    ] {
        let output = hostile.faceshield(words);
        let error = error_line(&output);
        assert!(error.contains("cannot download"), "{words:?}: {error}");
    }
    // A Python that is named is the one that is meant, from the current folder on.
    let mut named = hostile.place.faceshield();
    named.args(["align", "a.png", "--out", "faces"]).env("PYTHON", "bin/python3");
    named.current_dir(&hostile.folder).output().unwrap();
    let ran = std::fs::read_to_string(&hostile.marker).unwrap();
    assert!(ran.lines().all(|name| name == "bin/python3") && !ran.is_empty(), "{ran}");
}

#[test]
fn setting_up_runs_no_code_of_the_current_folder() {
    let hostile = Hostile::new();
    // A repository that nothing has been set up in.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let copy = hostile.place.path("repository");
    std::fs::create_dir_all(copy.join("scripts")).unwrap();
    for script in ["setup.sh", "common.sh"] {
        let script = Path::new("scripts").join(script);
        // The state before had only the one.
        if root.join(&script).exists() {
            std::fs::copy(root.join(&script), copy.join(&script)).unwrap();
        }
    }
    let setup = copy.join("scripts/setup.sh");
    let output = hostile.start(Command::new(&setup).arg("--env"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("pip could not fetch nvidia-cuda-cupti==13.0.85"), "{stderr}");
    assert!(!output.status.success());

    // Called from the folder above by a relative name, with a CDPATH that leads elsewhere.
    let mut from_above = Command::new("/bin/bash");
    from_above.args(["-c", "exec 2>&1; cd ../repository && exec scripts/setup.sh --env"]);
    let output = hostile.start(from_above.env("CDPATH", &hostile.folder));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("pip could not fetch"), "{text}");
}

#[test]
fn a_file_in_the_current_folder_is_no_preset_of_the_program() {
    let place = Place::new();
    place.faces(2, 2);
    for folder in ["", "presets", "launch/presets"] {
        let folder = place.path(folder);
        std::fs::create_dir_all(&folder).unwrap();
        for name in ["demo", "demo.toml", "mine.toml"] {
            std::fs::write(folder.join(name), "seed = 4711\n").unwrap();
        }
    }
    let words = |preset| ["train", "fse", "--dry-run", "--data", "faces", "--preset", preset];
    assert!(!place.done(&words("demo")).contains("4711"));
    for file in ["demo.toml", "./demo.toml", "launch/presets/demo.toml"] {
        assert!(place.done(&words(file)).contains("4711"), "{file}");
    }
    for name in ["mine", "presets/mine", "../demo", ""] {
        let error = error_line(&place.run(&words(name)));
        assert!(error.contains("choose one of demo, published, small"), "{error}");
        assert!(error.contains("--preset ./mine.toml"), "{error}");
    }
}
