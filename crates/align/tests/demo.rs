//! The photos of the demo: which faces are found, and where. Photos and weights are fetched
//! from the package registries once; without them the test says that it was skipped.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::Write;
use std::path::{Path, PathBuf};

use align::{Bounds, Detector, DetectorConfig, Error, Face};
use serde::Deserialize;

/// A face that a person sees.
#[derive(Deserialize)]
struct Seen {
    photo: String,
    #[serde(rename = "box")]
    bounds: [f64; 4],
    /// Absent for faces that were only seen.
    landmarks: Option<[[f64; 2]; 5]>,
}

/// Says past the test harness, which hides what passing tests print, what there is to say.
fn say(line: &str) {
    // Not `eprintln!`, which the harness catches.
    let mut stderr = std::io::stderr();
    writeln!(stderr, "{line}").unwrap();
}

/// The folders of photos and of weights, if they can be had.
fn fetch() -> Option<(PathBuf, PathBuf)> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("align");
    let out = folder.join("demo");
    let cache = faces::demo::default_cache(&out);
    let skip = |why: &dyn std::fmt::Display| say(&format!("\nSKIPPED: faces of the demo: {why}"));
    let report = faces::demo::fetch(&out, &cache, &say).map_err(|error| skip(&error)).ok()?;
    if let Some(why) = report.left_out.first() {
        skip(why);
        return None;
    }
    match align::fetch_weights(&folder, &say) {
        Ok(weights) => Some((cache, weights)),
        Err(error @ Error::Fetch(_)) => {
            skip(&error);
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
fn faces_of_the_demo() {
    let Some((photos, weights)) = fetch() else { return };
    let config = DetectorConfig::default();
    let detector = Detector::load(&weights, config, tch::Device::Cpu).unwrap();
    let seen: Vec<Seen> = serde_json::from_str(include_str!("data/seen.json")).unwrap();
    let mut names: Vec<&str> = seen.iter().map(|face| face.photo.as_str()).collect();
    names.dedup();
    assert_eq!(names.len(), 14);

    let (mut found, mut wrong, mut missed) = (0, 0, Vec::new());
    let (mut means, mut points, mut seconds) = (Vec::new(), Vec::new(), 0.0);
    for name in names {
        let photo = faces::read_photo(&photos.join(name)).unwrap();
        let start = std::time::Instant::now();
        let faces = detector.detect(&photo).unwrap();
        let time = start.elapsed().as_secs_f64();
        seconds += time;
        let scores: Vec<String> = faces.iter().map(|f| format!("{:.3}", f.score)).collect();
        let (w, h) = photo.dimensions();
        say(&format!(
            "{name} {w} × {h}: {} faces in {time:.2} s: {}",
            faces.len(),
            scores.join(" ")
        ));
        let mut matched = vec![false; faces.len()];
        for face in seen.iter().filter(|face| face.photo == name) {
            let Some(k) = nearest(&faces, face) else {
                missed.push(face);
                continue;
            };
            assert!(!matched[k], "{name}: two faces for one");
            matched[k] = true;
            let Some(landmarks) = face.landmarks else { continue };
            let width = face.bounds[2] - face.bounds[0];
            let off = landmarks
                .iter()
                .zip(&faces[k].landmarks)
                .map(|(p, q)| 100.0 * (p[0] - q[0]).hypot(p[1] - q[1]) / width);
            let off: Vec<f64> = off.collect();
            means.push(off.iter().sum::<f64>() / 5.0);
            points.extend(off);
        }
        for (face, _) in faces.iter().zip(&matched).filter(|(_, matched)| !**matched) {
            say(&format!("  no face: {face:?}"));
            wrong += 1;
        }
        found += matched.iter().filter(|matched| **matched).count();
    }
    for face in &missed {
        say(&format!("missed: {} {:?}", face.photo, face.bounds));
    }
    let (most, middle) = (means.iter().copied().fold(0.0, f64::max), median(&mut means));
    say(&format!(
        "{found} of {} faces found, {wrong} false; landmarks off by {middle:.2} % of the box's \
         width (median of faces), {most:.2} % at most; single ones by {:.2} % (median), {:.2} % \
         at most; {:.2} s a photo",
        seen.len(),
        median(&mut points),
        points.iter().copied().fold(0.0, f64::max),
        seconds / 14.0
    ));
    assert!(missed.iter().all(|face| face.landmarks.is_none()), "a listed face is missed");
    assert_eq!((found, wrong), (34, 0));
    assert!(middle < 1.5 && most < 3.0);
}

/// The face found that shares most with the one seen, if at least 40 %.
fn nearest(faces: &[Face], seen: &Seen) -> Option<usize> {
    let bounds = Bounds::from(seen.bounds);
    let share = |k: &usize| faces[*k].bounds.overlap(&bounds);
    let best = (0..faces.len()).max_by(|a, b| share(a).total_cmp(&share(b)))?;
    (share(&best) >= 0.4).then_some(best)
}
