//! A small reader of TensorBoard's event files, written from their description.

use prost::Message;
use std::path::Path;

#[derive(Clone, PartialEq, prost::Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
    #[prost(message, optional, tag = "4")]
    image: Option<Image>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Image {
    #[prost(int32, tag = "1")]
    height: i32,
    #[prost(int32, tag = "2")]
    width: i32,
    #[prost(bytes = "vec", tag = "4")]
    png: Vec<u8>,
}

/// One value of one step.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(crate) struct Point {
    pub(crate) tag: String,
    pub(crate) step: i64,
    /// `None` for a picture.
    pub(crate) scalar: Option<f32>,
}

/// Everything in a folder's event files, sorted by tag and step.
pub(crate) fn read(folder: &Path) -> Vec<Point> {
    let sum = |data: &[u8]| {
        let crc = crc32c::crc32c(data);
        crc.rotate_right(15).wrapping_add(0xa282ead8).to_le_bytes()
    };
    let mut points = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if !path.file_name().unwrap().to_str().unwrap().contains("tfevents") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let mut rest = &bytes[..];
        let mut first = true;
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            assert_eq!(rest[8..12], sum(&rest[..8]));
            let data = &rest[12..12 + length];
            assert_eq!(rest[12 + length..16 + length], sum(data));
            rest = &rest[16 + length..];
            let event = Event::decode(data).unwrap();
            assert_eq!(event.file_version.is_some(), first);
            first = false;
            for value in event.summary.into_iter().flat_map(|summary| summary.value) {
                if let Some(image) = &value.image {
                    let decoded = image::load_from_memory(&image.png).unwrap();
                    assert_eq!((decoded.width(), decoded.height()), (6, 4));
                    assert_eq!((image.width, image.height), (6, 4));
                }
                let scalar = value.simple_value;
                points.push(Point { tag: value.tag, step: event.step, scalar });
            }
        }
    }
    points.sort_by(|a, b| a.partial_cmp(b).unwrap());
    points
}

/// Those whose value does not depend on the clock.
pub(crate) fn reproducible(folder: &Path) -> Vec<Point> {
    read(folder).into_iter().filter(|point| !point.tag.starts_with("ImagesPerSecond")).collect()
}
