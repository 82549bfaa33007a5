//! A damaged newest checkpoint is skipped for the one before it.

use crate::toy::*;
use sha2::Digest;
use std::fs;
use std::path::Path;
use train::Config;
use train::checkpoint::newest;

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() * 3 / 4;
    bytes[middle] ^= 4;
    fs::write(path, bytes).unwrap();
}

fn halve(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

#[test]
fn damaged_checkpoints_are_named_and_skipped() {
    type Damage = (&'static str, fn(&Path), &'static str);
    let damages: [Damage; 7] = [
        ("model.safetensors", halve, "bytes instead of"),
        ("model.safetensors", flip, "SHA-256"),
        ("optimizer.safetensors", flip, "SHA-256"),
        ("rank_0000.safetensors", |path| fs::remove_file(path).unwrap(), "rank_0000"),
        ("manifest.json", |path| fs::remove_file(path).unwrap(), "no manifest.json"),
        ("manifest.json", halve, "manifest.json is damaged"),
        ("manifest.json", |path| fs::write(path, "{\"format\": 99}").unwrap(), "format is 99"),
    ];
    let config = Config { checkpoint_every: 2, ..config() };
    for (file, damage, problem) in damages {
        let folder = tempfile::tempdir().unwrap();
        train(folder.path(), &config, 6).unwrap();
        let undisturbed = (state(folder.path(), 6), metrics(folder.path()));
        damage(&checkpoint(folder.path(), 6).join(file));

        let (found, skipped) = newest(&folder.path().join("checkpoints_TOY")).unwrap();
        assert_eq!(found.unwrap().manifest().step, 4);
        assert!(skipped[0].problem.contains(problem), "{:?}", skipped[0].problem);
        let summary = train(folder.path(), &config, 6).unwrap();
        assert_eq!(summary.resumed, Some(4), "{file}");
        assert_eq!(undisturbed, (state(folder.path(), 6), metrics(folder.path())), "{file}");
    }
}

#[test]
fn no_flipped_bit_of_a_manifest_goes_unnoticed() {
    let folder = tempfile::tempdir().unwrap();
    train(folder.path(), &config(), 1).unwrap();
    let path = checkpoint(folder.path(), 1).join("manifest.json");
    let bytes = fs::read(&path).unwrap();
    for (i, bit) in (0..bytes.len()).map(|i| (i, i % 7)) {
        let mut flipped = bytes.clone();
        flipped[i] ^= 1 << bit;
        fs::write(&path, flipped).unwrap();
        assert!(train::checkpoint::Checkpoint::open(path.parent().unwrap()).is_err(), "byte {i}");
    }
}

#[test]
fn a_manifest_cannot_point_outside() {
    let folder = tempfile::tempdir().unwrap();
    train(folder.path(), &config(), 1).unwrap();
    let path = checkpoint(folder.path(), 1).join("manifest.json");
    let mut manifest: train::checkpoint::Manifest =
        serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let sum = manifest.files.remove("rank_0000.safetensors").unwrap();
    manifest.files.insert("../../run/metrics.jsonl".into(), sum);
    // Signed anew, as somebody would who means harm.
    manifest.checksum = String::new();
    let text = serde_json::to_string_pretty(&manifest).unwrap();
    let sum: String = sha2::Sha256::digest(&text).iter().map(|b| format!("{b:02x}")).collect();
    let text = text.replace("\"checksum\": \"\"", &format!("\"checksum\": \"{sum}\""));
    fs::write(&path, text).unwrap();
    let error = train::checkpoint::find(&checkpoint(folder.path(), 1), "toy").unwrap_err();
    assert!(error.to_string().contains("outside the folder"), "{error}");
}
