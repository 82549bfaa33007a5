//! Loading does not take more memory the longer it goes on.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;

use faces::{Faces, Index, PairConfig, PairLoader, RgbImage};
use tch::Device;

/// Resident size of this process in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// 10,000 images of 3 KB, 30 MB in all, after 2,000 that let pools and arenas reach their
/// size. What is alive at a time is bounded: `prefetch` batches of 16 pairs, one image a
/// thread (0.5 MB), so the resident size can only move by what the C library's arenas keep.
/// The bound of 4 MB is an eighth of the images: were each one's pixels, or 400 bytes an
/// image, kept, it would be exceeded.
#[test]
fn ten_thousand_images_do_not_grow_the_process() {
    let dir = tempfile::tempdir().unwrap();
    for (person, number) in (0..4).flat_map(|person| (0..4).map(move |number| (person, number))) {
        let folder = dir.path().join(format!("p{person}"));
        std::fs::create_dir_all(&folder).unwrap();
        let draw = |x: u32, y: u32| image::Rgb([(x * y) as u8, (x + person) as u8, number]);
        RgbImage::from_fn(32, 32, draw).save(folder.join(format!("{number}.png"))).unwrap();
    }
    let index = Arc::new(Index::build(dir.path(), None).unwrap());
    let faces = Arc::new(Faces::new(index, 32, None).unwrap());
    let config = PairConfig { batch_size: 16, same_share: 0.0, workers: 2, ..Default::default() };
    let loader = PairLoader::new(faces, config, 0, 1).unwrap();
    let mut batches = (0..).flat_map(|epoch| loader.epoch(epoch, 0));
    let mut load = |images: usize| {
        let mut loaded = 0;
        while loaded < images {
            let batch = batches.next().unwrap().unwrap();
            loaded += 2 * batch.items.len();
            let (source, _) = batch.to_device(Device::Cpu).unwrap();
            assert_eq!(source.size()[1..], [3, 32, 32]);
        }
    };
    load(2_000);
    let before = resident();
    load(10_000);
    let growth = resident().saturating_sub(before);
    println!("grew by {growth} KiB");
    assert!(growth < 4_096, "grew by {growth} KiB");
}
