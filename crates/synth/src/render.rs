//! From a person and a scene to a picture.

use image::RgbImage;

use crate::backdrop::Backdrop;
use crate::camera;
use crate::glasses::Glasses;
use crate::head;
use crate::identity::Identity;
use crate::layout::Layout;
use crate::light::Light;
use crate::math::{V3, hsv};
use crate::palette::Palette;
use crate::raster::{Buffer, Layer, SAMPLES};
use crate::scene::Scene;
use crate::shade::Shading;
use crate::skin::Skin;
use crate::skull::Skull;
use crate::surfaces::Surfaces;
use crate::view::View;

/// Draws pictures of one size; keeps its buffers from one to the next.
pub struct Renderer {
    size: u32,
    buffer: Buffer,
    surfaces: Surfaces,
    light: Vec<V3>,
    spare: Vec<V3>,
}

/// Draws one picture of `size` × `size` pixels: a pure function, the same on any machine.
/// Use a [`Renderer`] for many.
///
/// # Panics
/// When `size` is 0 or so large that memory does not suffice.
pub fn render(person: &Identity, scene: &Scene, size: u32) -> RgbImage {
    Renderer::new(size).render(person, scene)
}

/// Where left and right eye as seen, the tip of the nose, and left and right corner of the mouth
/// lie in the picture: pixels, x to the right, y down, whole numbers at pixel centres.
pub fn landmarks(person: &Identity, scene: &Scene, size: u32) -> [[f32; 2]; 5] {
    let (skull, layout) = (Skull::new(person), Layout::new(person, scene));
    let points = head::landmarks(&skull, &layout, person);
    let view = View::new(scene, &points, size);
    points.map(|point| {
        let [x, y, _] = view.picture(view.head.place(point));
        [x - 0.5, y - 0.5]
    })
}

impl Renderer {
    /// For pictures of `size` × `size` pixels.
    pub fn new(size: u32) -> Renderer {
        Renderer {
            size,
            buffer: Buffer::default(),
            surfaces: Surfaces::default(),
            light: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Draws one picture.
    pub fn render(&mut self, person: &Identity, scene: &Scene) -> RgbImage {
        let (skull, layout) = (Skull::new(person), Layout::new(person, scene));
        let points = head::landmarks(&skull, &layout, person);
        let view = View::new(scene, &points, self.size);
        self.buffer.clear(self.size as usize);
        self.surfaces.build(person, scene, &skull, &layout, &view, &mut self.buffer);

        let palette = Palette::new(person);
        let light = Light::new(scene);
        let towards = view.head.back(light.towards);
        let shading = Shading {
            surfaces: &self.surfaces,
            buffer: &self.buffer,
            skin: Skin {
                person,
                layout: &layout,
                palette: &palette,
                grain: person.grain(),
                pixel: 1.0 / view.pixels(),
                light: [towards[0], towards[1]],
            },
            light,
            view,
            backdrop: Backdrop::new(scene),
            clothes: hsv(scene.clothes_hue, scene.clothes_saturation, scene.clothes_value),
            size: self.size as f32,
        };
        let glasses = (scene.glasses > 0.5).then(|| {
            let bridge = [0.0, layout.eye[1], 0.80 + layout.nose_out[0]];
            let wide = 0.72 * (1.0 + 0.075 * person.face_width);
            Glasses::new(scene, &layout, bridge, wide, &view)
        });
        expose(&mut self.light, &shading, glasses.as_ref(), self.size as usize);
        camera::develop(&mut self.light, &mut self.spare, self.size, scene)
    }
}

/// Fills `light` with that of all pixels.
fn expose(light: &mut Vec<V3>, shading: &Shading<'_>, glasses: Option<&Glasses>, size: usize) {
    light.clear();
    let buffer = shading.buffer;
    for y in 0..size {
        for x in 0..size {
            let at = |dx: usize, dy: usize| {
                buffer.samples[(y * SAMPLES + dy) * buffer.side + x * SAMPLES + dx]
            };
            let samples = [at(0, 0), at(1, 0), at(0, 1), at(1, 1)];
            let (cx, cy) = (x as f32 + 0.5, y as f32 + 0.5);
            let mut colour = shading.pixel(&samples, cx, cy);
            if let Some(glasses) = glasses {
                let near = samples.iter().map(|s| s.near).sum::<f32>() / 4.0;
                let skin = [Layer::Skin, Layer::EarLeft, Layer::EarRight];
                let skin = skin.contains(&samples[0].layer());
                colour = glasses.over(colour, cx, cy, near, skin, &shading.view);
            }
            light.push(colour);
        }
    }
}
