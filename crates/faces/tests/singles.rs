//! Batches of single images end to end: labels, ranks, resumption, replacement; people held out.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use common::{data_set, truncate};
use faces::{Error, FaceBatch, FaceConfig, FaceLoader, Faces, Index, Split};
use tch::{Device, Kind};

fn index(root: &Path) -> Arc<Index> {
    Arc::new(Index::build(root, None).unwrap())
}

fn loader(root: &Path, people: &[usize], batch: usize, rank: usize, world: usize) -> FaceLoader {
    let faces = Arc::new(Faces::new(index(root), 16, None).unwrap());
    let config = FaceConfig { batch_size: batch, seed: 5, workers: 2, ..FaceConfig::default() };
    FaceLoader::new(faces, people, config, rank, world).unwrap()
}

fn epoch(loader: &FaceLoader, epoch: u64, dealt: u64, first: u64) -> Vec<FaceBatch> {
    loader.rest_of_epoch(epoch, dealt, first).map(Result::unwrap).collect()
}

#[test]
fn labels_name_the_people_in_the_pictures() {
    let dir = tempfile::tempdir().unwrap();
    data_set(dir.path(), 6, 4);
    let people = [1, 4, 5];
    let loader = loader(dir.path(), &people, 5, 0, 1);
    assert_eq!(loader.images(), 12);
    let batches = epoch(&loader, 0, 0, 0);
    // The incomplete one is left out.
    assert_eq!(batches.iter().map(|b| b.items.len()).collect::<Vec<_>>(), [5, 5]);
    for batch in &batches {
        let (images, labels) = batch.to_device(Device::Cpu).unwrap();
        assert_eq!((images.size(), labels.kind()), (vec![5, 3, 16, 16], Kind::Int64));
        for (k, item) in batch.items.iter().enumerate() {
            assert_eq!(labels.int64_value(&[k as i64]), item.label as i64);
            let red = images.double_value(&[k as i64, 0, 8, 8]);
            let expected = f64::from((people[item.label] * 10) as f32 / 127.5 - 1.0);
            assert!((red - expected).abs() < 1e-6, "{red}");
            assert!(batch.names[k].starts_with(&format!("p{:02}/", people[item.label])));
        }
    }
}

#[test]
fn ranks_share_an_epoch_and_a_resumed_one_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    data_set(dir.path(), 5, 5);
    let all = [0, 1, 2, 3, 4];
    let alone = epoch(&loader(dir.path(), &all, 4, 0, 1), 3, 0, 0);
    let ranks: Vec<_> =
        (0..2).map(|rank| epoch(&loader(dir.path(), &all, 2, rank, 2), 3, 0, 0)).collect();
    let mut seen = BTreeSet::new();
    for (k, batch) in alone.iter().enumerate() {
        let both: Vec<_> =
            (0..2).flat_map(|j| ranks.iter().map(move |rank| rank[k].items[j])).collect();
        assert_eq!(both, batch.items);
        assert!(batch.items.iter().all(|item| seen.insert(item.image)));
    }
    let rest = epoch(&loader(dir.path(), &all, 4, 0, 1), 3, 0, 2);
    assert_eq!(rest[0].items, alone[2].items);
    assert_eq!(rest[0].images, alone[2].images);
    let other = epoch(&loader(dir.path(), &all, 2, 0, 1), 3, 8, 0);
    assert_eq!(other[0].items, alone[2].items[..2]);
}

#[test]
fn what_stands_in_for_a_bad_image_brings_its_label() {
    let dir = tempfile::tempdir().unwrap();
    data_set(dir.path(), 3, 2);
    let whole = loader(dir.path(), &[0, 2], 4, 0, 1);
    for number in 0..2 {
        truncate(&dir.path().join(format!("p02/{number}.png")));
    }
    drop(whole);
    let batches = epoch(&loader(dir.path(), &[0, 2], 4, 0, 1), 0, 0, 0);
    assert!(batches[0].items.iter().all(|item| item.label == 0 && item.image < 2));
    assert!(batches[0].names.iter().all(|name| name.starts_with("p00/")));
}

#[test]
fn people_are_held_out_as_asked() {
    let dir = tempfile::tempdir().unwrap();
    data_set(dir.path(), 20, 2);
    // Three of them have one image only.
    for person in [3, 7, 8] {
        std::fs::remove_file(dir.path().join(format!("p{person:02}/1.png"))).unwrap();
    }
    let index = index(dir.path());
    let split = Split::new(&index, 0.25, 1).unwrap();
    assert_eq!((split.held_out.len(), split.training.len()), (4, 16));
    assert!(split.held_out.iter().all(|person| ![3, 7, 8].contains(person)));
    let all: BTreeSet<usize> = split.held_out.iter().chain(&split.training).copied().collect();
    assert_eq!(all.len(), 20);
    assert_eq!(Split::new(&index, 0.25, 1).unwrap(), split);
    assert_ne!(Split::new(&index, 0.25, 2).unwrap(), split);
    assert_eq!(Split::new(&index, 5.0, 1).unwrap().held_out.len(), 5);
    assert!(Split::new(&index, 0.0, 1).unwrap().held_out.is_empty());
    for (wanted, expected) in [
        (1.0, "one person alone"),
        (18.0, "only 17 people have two images"),
        (2.5, "validation_people = 2.5"),
        (f64::NAN, "validation_people"),
        (-1.0, "validation_people"),
    ] {
        let error = Split::new(&index, wanted, 1).unwrap_err();
        assert!(error.to_string().contains(expected), "{wanted}: {error}");
        assert!(!error.to_string().contains('\n'));
    }
    let few = tempfile::tempdir().unwrap();
    data_set(few.path(), 3, 2);
    let index = Arc::new(Index::build(few.path(), None).unwrap());
    let error = Split::new(&index, 0.1, 1).unwrap_err();
    assert!(
        matches!(error, Error::HeldOut { .. }) && error.to_string().contains("of its 3 people")
    );
}
