//! `labels.jsonl`: everything that is known of each picture.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::render::landmarks;
use crate::{Error, Identity, Scene};

/// The labels' file, in the data set's folder.
pub const FILE: &str = "labels.jsonl";

/// Bytes of a line; ours have about 2000.
const LONGEST: u64 = 64 << 10;

/// What is known of one picture: one line of [`FILE`]. The crate's page describes it as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// The picture's file, relative to the data set's folder, parts joined by `/`.
    pub path: String,
    /// The person's number in the population.
    pub person: u32,
    /// The photo's number among the person's.
    pub photo: u32,
    /// The population.
    pub seed: u64,
    /// The picture's side in pixels.
    pub size: u32,
    /// Who it is.
    pub identity: Identity,
    /// How the photo was taken.
    pub scene: Scene,
    /// Left and right eye as seen, tip of the nose, left and right corner of the mouth: pixels,
    /// x to the right, y down, whole numbers at pixel centres.
    pub landmarks: [[f32; 2]; 5],
}

impl Label {
    /// What the picture of that number shows: a pure function.
    pub fn of(seed: u64, person: u32, photo: u32, size: u32) -> Label {
        let (identity, scene) = (Identity::draw(seed, person), Scene::draw(seed, person, photo));
        // Hundredths of a pixel: enough, and short.
        let round = |x: f32| (x * 100.0).round() / 100.0;
        Label {
            path: format!("person_{person:05}/{photo:03}.png"),
            person,
            photo,
            seed,
            size,
            identity,
            scene,
            landmarks: landmarks(&identity, &scene, size).map(|p| p.map(round)),
        }
    }
}

/// Reads the labels of the data set in the folder `root`, in their order.
///
/// # Errors
/// No such file, or a line that is not a [`Label`].
pub fn read(root: &Path) -> Result<Vec<Label>, Error> {
    let path = root.join(FILE);
    let wrong = |line, reason| Error::Label { path: path.clone(), line, reason };
    let mut file = BufReader::new(files::input::open(&path).map_err(Error::io(&path))?);
    let mut labels = Vec::new();
    for number in 1.. {
        let mut line = Vec::new();
        file.by_ref().take(LONGEST).read_until(b'\n', &mut line).map_err(Error::io(&path))?;
        if line.is_empty() {
            break;
        }
        if line.len() as u64 == LONGEST {
            return Err(wrong(number, format!("it has {LONGEST} bytes or more")));
        }
        let label = serde_json::from_slice(&line);
        labels.push(label.map_err(|error| wrong(number, error.to_string()))?);
    }
    Ok(labels)
}
