//! Synthetic faces: people drawn from numbers, photographed under circumstances drawn apart from
//! them, with every factor known. Pure Rust.
//!
//! An [`Identity`] (58 numbers: shape of the head, features, skin, hair) and a [`Scene`] (pose,
//! expression, light, background, clothes, glasses, camera) make a picture: [`render`]. The head
//! is a surface in space that the expression deforms; it is turned, rasterised with four samples
//! a pixel, lit by a lamp that casts shadows and by light from all around, and taken by a camera
//! that meters, blurs and adds noise. Pictures are framed as aligned face crops are (method.md
//! §7), so that the recogniser's window (rows and columns 37 to 475 of 512) holds the face.
//!
//! [`dataset::write`] fills a folder with them:
//!
//! ```text
//! DIR/synth.json                  the settings
//! DIR/labels.jsonl                one line a picture
//! DIR/person_NNNNN/NNN.png        person number, photo number
//! ```
//!
//! Person N of a seed is the same whatever else is drawn, so ranges of `first_person` are
//! disjoint sets of people of one population: one to train, one to choose, one to judge.
//!
//! # Labels
//!
//! A line of `labels.jsonl` ([`labels::Label`], read by [`labels::read`]):
//!
//! ```json
//! {"path": "person_00003/001.png", "person": 3, "photo": 1, "seed": 7, "size": 256,
//!  "identity": {"face_width": -0.4136, "face_length": 0.0112, …},
//!  "scene": {"yaw": 12.31, "pitch": -3.4, "roll": 0.52, "smile": 0.31, …},
//!  "landmarks": [[88.1, 118.4], [160.9, 121.0], [130.2, 160.3], [97.0, 197.7], [151.3, 199.9]]}
//! ```
//!
//! | key | meaning |
//! |---|---|
//! | `identity` | the fields of [`Identity`] by name, each −1 to 1 |
//! | `scene` | the fields of [`Scene`] by name, units and ranges there |
//! | `landmarks` | left and right eye as seen, tip of the nose, left and right corner of the mouth; pixels, x to the right, y down, whole numbers at pixel centres |
//!
//! # The same bytes
//!
//! A picture is a pure function of identity, scene and size: the number of threads does not
//! matter, and neither should the machine, since only `+ − × ÷ √` of IEEE 754 and the `libm`
//! crate are used (a pinned hash watches over it). The PNG file around the pixels may change
//! with the version of the `png` crate.
//!
//! ```
//! use synth::{Identity, Scene, render};
//!
//! let person = Identity::draw(7, 0);
//! let (first, second) = (Scene::draw(7, 0, 0), Scene::draw(7, 0, 1));
//! assert_ne!(first.yaw, second.yaw);
//! assert_eq!(render(&person, &first, 32), render(&person, &first, 32));
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod dataset;
pub mod labels;

mod backdrop;
mod body;
mod camera;
mod error;
mod eye;
mod factors;
mod glasses;
mod hair;
mod head;
mod identity;
mod layout;
mod light;
mod math;
mod mesh;
mod noise;
mod palette;
mod random;
mod raster;
mod relief;
mod render;
mod scene;
mod shade;
mod skin;
mod skull;
mod surfaces;
mod view;

pub use error::Error;
pub use identity::Identity;
pub use render::{Renderer, landmarks, render};
pub use scene::Scene;
