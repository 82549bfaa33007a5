//! Bad input: each is one line that says what is wrong, and exit code 1 or 2.
#![allow(clippy::unwrap_used)]

mod support;

use std::net::TcpListener;

use support::{Place, TINY, error_line, free_port};

/// Runs a line of words; its error must be one line with all of `expected` in it.
fn fails(place: &Place, line: &str, code: i32, expected: &[&str]) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let output = place.run(&words);
    let error = error_line(&output);
    assert_eq!(output.status.code(), Some(code), "{line}: {error}");
    for text in expected {
        assert!(error.contains(text), "{line}: {error}");
    }
}

#[test]
fn command_lines_and_settings() {
    let place = Place::new();
    place.faces(2, 1);
    let fails = |line: &str, expected: &[&str]| fails(&place, line, 2, expected);
    fails("trian", &["unrecognized subcommand 'trian'", "'train'"]);
    fails("train fse", &["no data", "--data ROOT"]);
    fails("train fse --preset dmo", &["no preset `dmo`", "demo, published"]);
    fails("train fse --preset demo --set batchsize=3", &["`batchsize`", "mean `batch_size`"]);
    fails("train irc --preset demo --set fse.loss.hsick=3", &["`fse.loss.hsic`"]);
    fails("train fse --preset demo --set lr=fast", &["lr must be a number"]);
    fails("train fse --preset demo --set image_size=300", &["image_size = 300", "256, 512"]);
    fails("train fse --preset demo --data faces --set device=cuda:99", &["cuda:99"]);
    fails("train fse --preset demo --config no.toml", &["no.toml"]);
    fails("train fse --preset demo --max-hours 0", &["--max-hours", "positive number of hours"]);
    fails("train fse --preset demo --set spike_deviations=-1", &["spike_deviations"]);
    fails("train fse --preset demo --max-bad-steps 0", &["max_bad_steps must be at least 1"]);
    fails("train all --preset demo --resume step_1", &["--resume PATH", "train fse"]);
    fails("launch -- train fsee", &["unrecognized subcommand 'fsee'"]);
    fails("launch -- train fse --preset dmo", &["no preset `dmo`"]);
    fails("launch --nnodes 2 -- doctor", &["--master-addr"]);
    fails(
        "launch --nnodes 2 --master-addr 127.0.0.1 -- doctor",
        &["FACESHIELD_RUN_SECRET", "--no-secret"],
    );
    fails("weights convert a.pth b.txt", &[".safetensors or .pth"]);
}

/// Files stand where folders should be: what cannot be written looks like that to root, too.
#[test]
fn disks() {
    let place = Place::new();
    place.faces(2, 1);
    std::fs::write(place.path("file"), "").unwrap();
    let train = format!("train fse {} --data faces --max-steps 3", TINY.join(" "));
    let expected = ["cannot use file", "can be written, or choose another --run-dir"];
    fails(&place, &format!("{train} --run-dir file"), 1, &expected);
    let expected = ["cannot use file/checkpoints_FSE", "another --checkpoint-dir"];
    fails(&place, &format!("{train} --checkpoint-dir file"), 1, &expected);

    std::fs::create_dir_all(place.path("runs/demo")).unwrap();
    std::fs::write(place.path("runs/demo/preview"), "").unwrap();
    let expected = ["cannot use runs/demo/preview", "not a folder", "remove it"];
    fails(&place, &train, 1, &expected);

    // Previews alone: said once for three of them, and at the end; training is done all the same.
    std::fs::remove_file(place.path("runs/demo/preview")).unwrap();
    for step in 0..3 {
        let picture = format!("runs/demo/preview/fse_{step:08}.png");
        std::fs::create_dir_all(place.path(&picture)).unwrap();
    }
    let line = format!("{train} --set preview_every=1");
    let output = place.run(&line.split_whitespace().collect::<Vec<_>>());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(stderr.matches("cannot write runs/demo/preview/").count(), 1, "{stderr}");
    assert!(stderr.lines().last().unwrap().contains("3 records of its log"), "{stderr}");
    assert!(place.path("checkpoints_FSE/step_00000003/manifest.json").exists());
}

#[test]
fn data_sets() {
    let place = Place::new();
    let fails = |line: &str, expected: &[&str]| fails(&place, line, 1, expected);
    fails("train fse --preset demo --data nowhere", &["nowhere", "data demo"]);

    std::fs::create_dir_all(place.path("texts/a")).unwrap();
    std::fs::write(place.path("texts/a/notes.txt"), "no face").unwrap();
    fails("train fse --preset demo --data texts", &["no images in", "texts"]);

    std::fs::create_dir_all(place.path("torn/a")).unwrap();
    std::fs::write(place.path("torn/a/x.png"), "no face").unwrap();
    fails("train fse --preset demo --data torn", &["none of the 1 images", "a/x.png"]);
    fails("data check torn", &["not one image in torn"]);

    place.faces(1, 2);
    fails("train fse --preset demo --data faces", &["only one person (person_00)"]);
    fails("weights inspect faces/person_00/0.png", &["0.png", "neither a safetensors nor"]);
}

/// A truncated picture among good ones is left out, listed, and not fatal.
#[test]
fn a_truncated_image_is_left_out() {
    let place = Place::new();
    let root = place.faces(3, 2);
    let torn = root.join("person_01/1.png");
    let bytes = std::fs::read(&torn).unwrap();
    std::fs::write(&torn, &bytes[..bytes.len() / 2]).unwrap();

    let report = place.done(&["data", "check", "faces"]);
    assert!(report.contains("unreadable: person_01/1.png"), "{report}");
    assert!(report.contains("3 people, 5 images"), "{report}");

    let words = [&["train", "fse"], &TINY[..], &["--data", "faces", "--set", "epochs=1"]].concat();
    let output = place.run(&words);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("person_01/1.png"), "{stderr}");
}

#[test]
fn checkpoints_of_another_stage_or_shape() {
    let place = Place::new();
    place.faces(2, 1);
    let tiny = TINY.join(" ") + " --data faces --set preview_every=0";
    place.done(&format!("train fse {tiny} --max-steps 1").split(' ').collect::<Vec<_>>());

    let fails = |line: String, expected: &[&str]| fails(&place, &line, 1, expected);
    let step = "checkpoints_FSE/step_00000001";
    fails(format!("train irc {tiny} --resume {step}"), &[step, "stage fse", "stage irc"]);
    fails(
        format!("train fse {tiny} --set width_divisor=8"),
        &[step, "width_divisor = 16, this run has 8", "--resume none"],
    );
    let other = format!("{tiny} --set width_divisor=8 --set fse_checkpoint={step}");
    fails(format!("train irc {other}"), &[step, "[4, 64, 64]", "[8, 64, 64]"]);
    fails(format!("train irc {tiny} --checkpoint-dir elsewhere"), &["elsewhere", "stage fse"]);
    // As encoder weights, too: names that do not fit are listed.
    let encoder = format!("--set encoder_weights={step}/model.safetensors --resume none");
    fails(format!("train fse {tiny} {encoder}"), &["do not fit", "missing", "unexpected"]);
}

#[test]
fn ranks_that_cannot_meet() {
    let place = Place::new();
    place.faces(2, 1);
    let words = [&["train", "fse"], &TINY[..], &["--data", "faces"]].concat();
    let words = [&words[..], &["--set", "timeout_seconds=2"]].concat();

    let mut partial = place.faceshield();
    let output = partial.env("WORLD_SIZE", "2").env("RANK", "0").args(&words).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(error_line(&output).contains("MASTER_ADDR"));

    let held = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = held.local_addr().unwrap().port();
    let output = place.rank(0, 2, port).args(&words).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let line = error_line(&output);
    assert!(line.contains(&port.to_string()) && line.contains("in use"), "{line}");

    let mut launch = place.faceshield();
    launch.env("MASTER_PORT", port.to_string()).args(["launch", "--nproc-per-node", "2", "--"]);
    let output = launch.args(&words).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let line = error_line(&output);
    assert!(line.contains(&port.to_string()) && line.contains("in use"), "{line}");

    for (rank, missing) in [(0, "missing: rank 1"), (1, "no rank 0")] {
        let output = place.rank(rank, 2, free_port()).args(&words).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let line = error_line(&output);
        assert!(line.contains(missing) && line.contains("within 2 s"), "{line}");
    }
}
