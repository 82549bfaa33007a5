//! A contact sheet: a row for each person, a column for each photo.
//!
//! `cargo run --release -p synth --example sheet -- OUT.png [PEOPLE] [PHOTOS] [SIZE] [SEED]`

use std::error::Error;
use std::time::Instant;

use image::{GenericImage, RgbImage};
use synth::{Identity, Renderer, Scene};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let out = arguments.next().ok_or("usage: sheet OUT.png [PEOPLE] [PHOTOS] [SIZE] [SEED]")?;
    let mut number = |default: u32| -> Result<u32, Box<dyn Error>> {
        Ok(arguments.next().map_or(Ok(default), |text| text.parse())?)
    };
    let (people, photos, size, seed) = (number(6)?, number(6)?, number(256)?, number(1)?);
    let mut sheet = RgbImage::new(photos * size, people * size);
    let mut renderer = Renderer::new(size);
    let start = Instant::now();
    for person in 0..people {
        let identity = Identity::draw(u64::from(seed), person);
        for photo in 0..photos {
            let scene = Scene::draw(u64::from(seed), person, photo);
            let picture = renderer.render(&identity, &scene);
            sheet.copy_from(&picture, photo * size, person * size)?;
        }
    }
    let each = start.elapsed().as_secs_f64() * 1e3 / f64::from(people * photos);
    sheet.save(&out)?;
    println!("{out}: {each:.2} ms a picture");
    Ok(())
}
