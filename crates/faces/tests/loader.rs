//! Batches of pairs end to end: purity, pairing, replacement, early ends.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use common::{data_set, truncate};
use faces::{Error, Faces, Index, PairBatch, PairConfig, PairItem, PairLoader, Relation};
use tch::{Device, Kind, Tensor};

fn config() -> PairConfig {
    PairConfig { batch_size: 4, seed: 5, workers: 2, ..PairConfig::default() }
}

fn loader(root: &Path, config: PairConfig, rank: usize, world: usize) -> PairLoader {
    PairLoader::new(faces(root, 16), config, rank, world).unwrap()
}

fn faces(root: &Path, size: u32) -> Arc<Faces> {
    let index = Arc::new(Index::build(root, None).unwrap());
    Arc::new(Faces::new(index, size, None).unwrap())
}

fn batches(loader: &PairLoader, epoch: u64, first: u64) -> Vec<PairBatch> {
    loader.epoch(epoch, first).map(Result::unwrap).collect()
}

fn items(batches: &[PairBatch]) -> Vec<PairItem> {
    batches.iter().flat_map(|batch| batch.items.clone()).collect()
}

fn pixels(batches: &[PairBatch]) -> Vec<f32> {
    let flat = |batch: &PairBatch| {
        let (source, target) = batch.to_device(Device::Cpu).unwrap();
        let both = Tensor::cat(&[source, target], 0);
        Vec::<f32>::try_from(both.reshape([-1])).unwrap()
    };
    batches.iter().flat_map(flat).collect()
}

#[test]
fn tensors_show_the_images_that_the_items_name() {
    let dir = tempfile::tempdir().unwrap();
    data_set(dir.path(), 5, 3);
    let loader = loader(dir.path(), config(), 0, 1);
    let all = batches(&loader, 0, 0);
    assert_eq!(loader.batches_per_epoch(), 4);
    assert_eq!(all.iter().map(|b| b.items.len()).collect::<Vec<_>>(), [4, 4, 4, 3]);
    let value = |byte: usize| (byte as f32 / 127.5 - 1.0) as f64;
    for batch in &all {
        let shape = [batch.items.len() as i64, 3, 16, 16];
        for bytes in [&batch.source, &batch.target] {
            assert_eq!((bytes.kind(), &bytes.size()[..]), (Kind::Uint8, &shape[..]));
        }
        let (source, target) = batch.to_device(Device::Cpu).unwrap();
        assert_eq!(source.size(), shape);
        assert!(source.is_contiguous() && target.is_contiguous());
        for (row, item) in batch.items.iter().enumerate() {
            let file = |image: usize| format!("p{:02}/{}.png", image / 3, image % 3);
            let names = format!("{} and {}", file(item.source), file(item.target));
            assert_eq!(batch.names[row], names);
            for (tensor, image) in [(&source, item.source), (&target, item.target)] {
                let at = |channel| tensor.double_value(&[row as i64, channel, 9, 9]);
                assert_eq!(at(0), value(image / 3 * 10));
                assert_eq!(at(1), value(image % 3 * 10));
                assert_eq!(at(2), value(128));
            }
        }
    }
    let sources: BTreeSet<_> = items(&all).iter().map(|item| item.source).collect();
    assert_eq!(sources.len(), 15, "every image is the source once");
}

#[test]
fn threads_prefetch_and_starting_point_do_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    data_set(dir.path(), 5, 4);
    let base = config();
    let one = PairConfig { workers: 1, prefetch: 1, flip: true, ..base.clone() };
    let many = PairConfig { workers: 4, prefetch: 9, flip: true, ..base };
    let (one, many) = (loader(dir.path(), one, 0, 1), loader(dir.path(), many, 0, 1));
    let expected = batches(&one, 3, 0);
    let got = batches(&many, 3, 0);
    assert_eq!(items(&expected), items(&got));
    assert_eq!(pixels(&expected), pixels(&got));
    let rest = batches(&many, 3, 2);
    assert_eq!(pixels(&expected[2..]), pixels(&rest));
    assert_eq!(items(&expected[2..]), items(&rest));
    assert_eq!(many.epoch(3, 5).count(), 0);
    assert_eq!(many.epoch(3, u64::MAX).count(), 0);
    assert_ne!(items(&expected), items(&batches(&one, 4, 0)));
}

/// Two ranks with batch 2 see, position by position, the pairs of one rank with batch 4.
#[test]
fn pairs_do_not_depend_on_the_rank() {
    let dir = tempfile::tempdir().unwrap();
    data_set(dir.path(), 4, 3);
    let half = PairConfig { batch_size: 2, ..config() };
    let whole = batches(&loader(dir.path(), config(), 0, 1), 1, 0);
    let ranks = [0, 1].map(|r| batches(&loader(dir.path(), half.clone(), r, 2), 1, 0));
    for (k, batch) in whole.iter().enumerate() {
        let mut joined: Vec<_> = ranks.iter().flat_map(|rank| rank[k].items.clone()).collect();
        joined.sort_by_key(|item| item.position);
        assert_eq!(joined, batch.items);
    }
    let seeds: BTreeSet<_> = items(&whole).iter().map(|item| item.seed).collect();
    assert_eq!(seeds.len(), 12, "every item has a seed of its own");
}

/// 100 epochs of 24 items: 2400 draws. With probability 0.2 each, 400..=560 same pairs are
/// exceeded by chance with probability 5e-5; each of the 24 targets is drawn about 80 times,
/// 40..=130 are exceeded with probability below 1e-3 in all. The seed is fixed.
#[test]
fn targets_are_other_people_or_the_source_itself() {
    let dir = tempfile::tempdir().unwrap();
    data_set(dir.path(), 6, 4);
    let loader = loader(dir.path(), PairConfig { batch_size: 24, ..config() }, 0, 1);
    let (mut same, mut drawn) = (0, [0; 24]);
    for epoch in 0..100 {
        for item in items(&batches(&loader, epoch, 0)) {
            let is_same = item.relation == Relation::SameImage;
            assert_eq!(is_same, item.source == item.target);
            assert!(is_same || item.source / 4 != item.target / 4, "{item:?}");
            same += usize::from(is_same);
            drawn[item.target] += usize::from(!is_same);
        }
    }
    assert!((400..=560).contains(&same), "{same}");
    assert!(drawn.iter().all(|n| (40..=130).contains(n)), "{drawn:?}");

    let share = |same_share| {
        let config = PairConfig { same_share, ..config() };
        let all = items(&batches(&self::loader(dir.path(), config, 0, 1), 0, 0));
        all.iter().filter(|item| item.relation == Relation::SameImage).count()
    };
    assert_eq!((share(0.0), share(1.0)), (0, 24));
}

/// 100 epochs of 24 items, half of them of one person: each of a person's other images is
/// drawn, and the source never. The seed is fixed.
#[test]
fn own_pairs_are_other_photos_of_the_person() {
    let dir = tempfile::tempdir().unwrap();
    data_set(dir.path(), 6, 4);
    let config = PairConfig { batch_size: 24, same_share: 0.0, own_share: 0.5, ..config() };
    let loader = loader(dir.path(), config, 0, 1);
    let mut drawn = BTreeMap::new();
    for item in (0..100).flat_map(|epoch| items(&batches(&loader, epoch, 0))) {
        assert_eq!(item.relation == Relation::SamePerson, item.source / 4 == item.target / 4);
        assert_ne!(item.source, item.target);
        if item.relation == Relation::SamePerson {
            *drawn.entry((item.source, item.target)).or_insert(0) += 1;
        }
    }
    // 72 pairs, each drawn about 17 times: none fails to come with probability 1 − 72·e⁻¹⁷.
    assert_eq!(drawn.len(), 24 * 3);
    let own: i32 = drawn.values().sum();
    // Of 2400 draws at ½: outside with probability 4e-5.
    assert!((1100..=1300).contains(&own), "{own}");
}

#[test]
fn unreadable_images_are_replaced_and_listed() {
    let dir = tempfile::tempdir().unwrap();
    data_set(dir.path(), 4, 3);
    let faces = faces(dir.path(), 16);
    let drawn: Vec<_> = {
        let loader = PairLoader::new(faces.clone(), config(), 0, 1).unwrap();
        (0..4).flat_map(|epoch| items(&batches(&loader, epoch, 0))).collect()
    };
    // One image of p01 (number 4) and everyone of p02 (6, 7, 8).
    let bad = ["p01/1.png", "p02/0.png", "p02/1.png", "p02/2.png"];
    for path in bad {
        truncate(&dir.path().join(path));
    }
    let readable = |image: usize| !matches!(image, 4 | 6..=8);
    let run = |workers| {
        let config = PairConfig { workers, ..config() };
        let loader = PairLoader::new(faces.clone(), config, 0, 1).unwrap();
        let all: Vec<_> = (0..4).flat_map(|epoch| items(&batches(&loader, epoch, 0))).collect();
        (all, loader.faces().bad().files())
    };
    let (got, listed) = run(1);
    assert_eq!(got.len(), drawn.len(), "batches keep their size");
    for (was, is) in drawn.iter().zip(&got) {
        assert!(readable(is.source) && readable(is.target));
        assert_eq!((was.position, was.seed, was.relation), (is.position, is.seed, is.relation));
        let stand_in = |image| match image {
            4 => 5,
            6..=8 => 9,
            other => other,
        };
        assert_eq!(is.source, stand_in(was.source));
        if was.relation == Relation::SameImage {
            assert_eq!(is.target, is.source);
        } else if stand_in(was.target) / 3 != is.source / 3 {
            assert_eq!(is.target, stand_in(was.target));
        } else {
            assert_ne!(is.target / 3, is.source / 3, "never the source's person");
        }
    }
    assert_eq!(listed.iter().map(|bad| bad.path.as_str()).collect::<Vec<_>>(), bad);
    assert_eq!(run(4).0, got, "the same on every run");
}

#[test]
fn an_error_only_when_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    data_set(dir.path(), 3, 2);
    let faces = faces(dir.path(), 16);
    for path in ["p00/0.png", "p00/1.png", "p02/0.png", "p02/1.png"] {
        truncate(&dir.path().join(path));
    }
    let loader = PairLoader::new(faces, PairConfig { same_share: 0.0, ..config() }, 0, 1).unwrap();
    let mut epoch = loader.epoch(0, 0);
    let error = epoch.next().unwrap().unwrap_err();
    assert!(matches!(error, Error::NothingLeft { bad: 4, .. }), "{error}");
    assert!(!error.to_string().contains('\n'));
    assert!(epoch.next().is_none(), "ends after an error");
}

#[test]
fn images_of_another_size_are_resized_and_bgr_swaps_channels() {
    let dir = tempfile::tempdir().unwrap();
    data_set(dir.path(), 2, 1);
    let faces = faces(dir.path(), 8);
    let [rgb, bgr] = [false, true].map(|bgr| {
        let config = PairConfig { bgr, ..config() };
        let loader = PairLoader::new(faces.clone(), config, 0, 1).unwrap();
        batches(&loader, 0, 0)[0].to_device(Device::Cpu).unwrap().0
    });
    assert_eq!(rgb.size(), [2, 3, 8, 8]);
    assert_ne!(rgb, bgr);
    assert_eq!(rgb, bgr.flip([1]));
}

#[test]
fn dropping_an_epoch_early_neither_hangs_nor_harms() {
    let dir = tempfile::tempdir().unwrap();
    data_set(dir.path(), 6, 6);
    let loader = loader(dir.path(), PairConfig { prefetch: 64, ..config() }, 0, 1);
    for epoch in 0..20 {
        let mut batches = loader.epoch(epoch, 0);
        assert_eq!(batches.next().unwrap().unwrap().items.len(), 4);
    }
    let mut last = loader.epoch(20, 0);
    drop(loader); // an epoch outlives its loader
    assert_eq!(last.by_ref().map(Result::unwrap).count(), 9);
}

#[test]
fn options_out_of_range_are_named() {
    let dir = tempfile::tempdir().unwrap();
    data_set(dir.path(), 2, 1);
    let faces = faces(dir.path(), 16);
    let cases = [
        ("batch_size", PairConfig { batch_size: 0, ..config() }),
        ("same_share", PairConfig { same_share: f64::NAN, ..config() }),
        ("prefetch", PairConfig { prefetch: 0, ..config() }),
    ];
    for (key, config) in cases {
        let error = PairLoader::new(faces.clone(), config, 0, 1).err().unwrap().to_string();
        assert!(error.contains(key) && !error.contains('\n'), "{error}");
    }
    for size in [0, faces::MAX_SIDE + 1] {
        let error = Faces::new(faces.index().clone(), size, None).unwrap_err().to_string();
        assert!(error.contains("image_size") && !error.contains('\n'), "{error}");
    }
    assert!(matches!(PairLoader::new(faces, config(), 0, 3), Err(Error::TooFewImages { .. })));
}

/// Epochs after the first need no file any more where all images fit, and all of them where
/// one byte is missing.
#[test]
fn a_small_set_is_decoded_once() {
    let pixels_of = |limit| {
        let dir = tempfile::tempdir().unwrap();
        data_set(dir.path(), 3, 2);
        let index = Arc::new(Index::build(dir.path(), None).unwrap());
        let faces = Faces::new(index, 16, None).unwrap().keeping(limit);
        let config = PairConfig { flip: true, bgr: true, same_share: 0.5, ..config() };
        let loader = PairLoader::new(Arc::new(faces), config, 0, 1).unwrap();
        // Every image is some item's source.
        batches(&loader, 0, 0);
        std::fs::remove_dir_all(dir.path()).unwrap();
        let second: Result<Vec<_>, _> = loader.epoch(1, 0).collect();
        second.map(|batches| pixels(&batches))
    };
    let all = 6 * 3 * 16 * 16;
    let kept = pixels_of(all).unwrap();
    let dir = tempfile::tempdir().unwrap();
    data_set(dir.path(), 3, 2);
    let config = PairConfig { flip: true, bgr: true, same_share: 0.5, ..config() };
    assert_eq!(kept, pixels(&batches(&loader(dir.path(), config, 0, 1), 1, 0)));
    assert!(matches!(pixels_of(all - 1), Err(Error::NothingLeft { .. })));
}
