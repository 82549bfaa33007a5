//! From a person and a scene to a picture.

use image::RgbImage;

use crate::backdrop::Backdrop;
use crate::body;
use crate::camera;
use crate::glasses::Glasses;
use crate::hair::{self, Hairline};
use crate::head;
use crate::identity::Identity;
use crate::layout::Layout;
use crate::light::Light;
use crate::math::{V3, add, hsv, lerp, mix, scale, step, unit};
use crate::mesh::Mesh;
use crate::noise::value;
use crate::palette::Palette;
use crate::raster::{Buffer, Layer, SAMPLES, Sample};
use crate::scene::Scene;
use crate::skin::{Skin, Surface};
use crate::skull::Skull;
use crate::view::View;

/// Draws pictures of one size; keeps its buffers from one to the next.
pub struct Renderer {
    size: u32,
    buffer: Buffer,
    head: Mesh,
    hair: Mesh,
    neck: Mesh,
    clothes: Mesh,
    ears: [Mesh; 2],
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

/// What shading a sample needs.
struct Shading<'a> {
    skin: Skin<'a>,
    light: Light,
    view: View,
    backdrop: Backdrop,
    clothes: V3,
    size: f32,
}

impl Renderer {
    /// For pictures of `size` × `size` pixels.
    pub fn new(size: u32) -> Renderer {
        Renderer {
            size,
            buffer: Buffer::default(),
            head: Mesh::default(),
            hair: Mesh::default(),
            neck: Mesh::default(),
            clothes: Mesh::default(),
            ears: [Mesh::default(), Mesh::default()],
            light: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Draws one picture.
    pub fn render(&mut self, person: &Identity, scene: &Scene) -> RgbImage {
        let (skull, layout) = (Skull::new(person), Layout::new(person, scene));
        let points = head::landmarks(&skull, &layout, person);
        let view = View::new(scene, &points, self.size);
        let line = Hairline::new(person);
        self.surfaces(person, scene, &skull, &layout, &line, &view);

        let palette = Palette::new(person);
        let light = Light::new(scene);
        let toward = view.head.back(light.towards);
        let skin = Skin {
            person,
            layout: &layout,
            palette: &palette,
            grain: person.grain(),
            pixel: 1.0 / view.pixels(),
            light: [toward[0], toward[1]],
        };
        let shading = Shading {
            skin,
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
        self.shade(&shading, glasses.as_ref());
        camera::develop(&mut self.light, &mut self.spare, self.size, scene)
    }

    /// Builds all surfaces and finds out which is seen where.
    fn surfaces(
        &mut self,
        person: &Identity,
        scene: &Scene,
        skull: &Skull,
        layout: &Layout,
        line: &Hairline,
        view: &View,
    ) {
        // As many facets as the pixels can show.
        let detail = (view.pixels() / 108.0).sqrt().clamp(0.55, 1.5);
        head::build(&mut self.head, skull, layout, person, line, view, detail);
        let strands = hair::build(&mut self.hair, skull, line, view, detail);
        body::neck(&mut self.neck, person, view, detail);
        body::clothes(&mut self.clothes, scene, view, detail);
        let all = |_: u32, _: u32| true;
        self.buffer.clear(self.size as usize);
        self.buffer.draw(&self.head, Layer::Skin, false, all);
        for (right, layer) in [(false, Layer::EarLeft), (true, Layer::EarRight)] {
            let ear = &mut self.ears[usize::from(right)];
            body::ear(ear, skull, person, right, view, detail);
            self.buffer.draw(ear, layer, false, all);
        }
        self.buffer.draw(&self.neck, Layer::Neck, false, all);
        self.buffer.draw(&self.clothes, Layer::Clothes, true, all);
        // Long hair shows its inside, too.
        let inside = line.fall > 0.0;
        self.buffer.draw(&self.hair, Layer::Hair, inside, |u, v| strands.keep(u, v));
    }

    fn shade(&mut self, shading: &Shading<'_>, glasses: Option<&Glasses>) {
        let mut light = std::mem::take(&mut self.light);
        light.clear();
        let size = self.size as usize;
        for y in 0..size {
            for x in 0..size {
                let at = |dx: usize, dy: usize| {
                    self.buffer.samples[(y * SAMPLES + dy) * self.buffer.side + x * SAMPLES + dx]
                };
                let samples = [at(0, 0), at(1, 0), at(0, 1), at(1, 1)];
                let (cx, cy) = (x as f32 + 0.5, y as f32 + 0.5);
                let mut colour = self.pixel(shading, &samples, cx, cy);
                if let Some(glasses) = glasses {
                    let near = samples.iter().map(|s| s.near).sum::<f32>() / 4.0;
                    let skin = matches!(
                        samples[0].layer(),
                        Layer::Skin | Layer::EarLeft | Layer::EarRight
                    );
                    colour = glasses.over(colour, cx, cy, near, skin, &shading.view);
                }
                light.push(colour);
            }
        }
        self.light = light;
    }

    /// The light of one pixel: shaded once where its samples see the same surface, else each.
    fn pixel(&self, shading: &Shading<'_>, samples: &[Sample; 4], x: f32, y: f32) -> V3 {
        let first = samples[0];
        if samples.iter().all(|s| s.layer() == first.layer() && (s.near - first.near).abs() < 0.12)
        {
            let (mut u, mut v, mut near) = (0.0, 0.0, 0.0);
            for sample in samples {
                let (su, sv) = sample.place();
                (u, v, near) = (u + su * 0.25, v + sv * 0.25, near + sample.near * 0.25);
            }
            return self.sample(shading, first.layer(), u, v, near, x, y);
        }
        let mut sum = [0.0; 3];
        for (i, sample) in samples.iter().enumerate() {
            let (sx, sy) = (x - 0.25 + 0.5 * (i % 2) as f32, y - 0.25 + 0.5 * (i / 2) as f32);
            let (u, v) = sample.place();
            sum = add(sum, self.sample(shading, sample.layer(), u, v, sample.near, sx, sy));
        }
        scale(sum, 0.25)
    }

    #[allow(clippy::too_many_arguments)]
    fn sample(
        &self,
        s: &Shading<'_>,
        layer: Layer,
        u: f32,
        v: f32,
        near: f32,
        x: f32,
        y: f32,
    ) -> V3 {
        let mesh = match layer {
            Layer::Backdrop => return s.backdrop.at(x / s.size - 0.5, y / s.size - 0.5),
            Layer::Skin => &self.head,
            Layer::Hair => &self.hair,
            Layer::Neck => &self.neck,
            Layer::Clothes => &self.clothes,
            Layer::EarLeft => &self.ears[0],
            Layer::EarRight => &self.ears[1],
        };
        let point = mesh.at(u, v);
        let mut normal = point.normal;
        let surface = match layer {
            Layer::Skin => {
                let surface = s.skin.at(point.chart, point.extra);
                if let Some((ball, share)) = surface.ball {
                    normal = unit(mix(normal, s.view.head.apply(ball), share));
                }
                surface
            }
            Layer::Hair => {
                if normal[2] < 0.0 {
                    normal = scale(normal, -1.0);
                }
                let (surface, tilted) = hair_surface(s, point.chart, normal);
                normal = tilted;
                surface
            }
            Layer::Clothes => {
                if normal[2] < 0.0 {
                    normal = scale(normal, -1.0);
                }
                let weave = value(point.chart[0] * 40.0, point.chart[1] * 40.0, 11) - 0.5;
                Surface::matt(scale(s.clothes, 1.0 + 0.15 * weave))
            }
            _ => {
                let [cx, cy] = point.chart;
                let pores = value(cx * 9.0, cy * 9.0, s.skin.grain) - 0.5;
                let colour = scale(s.skin.palette.skin, 1.0 + 0.1 * pores);
                let ear = !matches!(layer, Layer::Neck);
                let colour =
                    if ear { [colour[0], colour[1] * 0.86, colour[2] * 0.86] } else { colour };
                Surface { colour, gloss: 0.7, soft: 1.0, ball: None, spark: 0.0 }
            }
        };
        let lit = s.light.reaching(&self.buffer, &s.view, x, y, near);
        let lit = if matches!(layer, Layer::Hair) { lerp(1.0, lit, 0.6) } else { lit };
        s.light.on(&surface, normal, point.open, lit)
    }
}

/// Hair's surface: strands of their own shade and gloss.
fn hair_surface(s: &Shading<'_>, chart: [f32; 2], normal: V3) -> (Surface, V3) {
    let [around, down] = chart;
    let grain = s.skin.grain;
    let curl = 1.0 + 3.0 * s.skin.person.hair_curl.max(0.0);
    let bend = 0.25 * curl * (value(around * 6.0, down * 3.0 * curl, grain ^ 8) - 0.5);
    let fine = value(around * 95.0 + 14.0 * bend, down * 3.0 * curl, grain ^ 9);
    let coarse = value(around * 26.0 + 6.0 * bend, down * 2.0 * curl, grain ^ 10);
    let shade = 0.45 + 0.6 * fine + 0.5 * coarse;
    let ends = 1.0 - 0.2 * step(0.3, 0.0, down);
    let colour = scale(s.skin.palette.hair, shade * ends);
    let tilt = 0.55 * (coarse - 0.5) + 0.45 * (fine - 0.5);
    let normal = unit([normal[0] + tilt, normal[1] + 0.3 * bend, normal[2]]);
    (
        Surface { colour, gloss: 0.35 + 0.9 * fine * coarse, soft: 0.35, ball: None, spark: 0.0 },
        normal,
    )
}
