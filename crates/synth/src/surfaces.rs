//! All surfaces of a picture, and which is seen where.

use crate::body;
use crate::hair::{self, Hairline};
use crate::head;
use crate::identity::Identity;
use crate::layout::Layout;
use crate::mesh::Mesh;
use crate::raster::{Buffer, Layer};
use crate::scene::Scene;
use crate::skull::Skull;
use crate::view::View;

#[derive(Default)]
pub(crate) struct Surfaces {
    head: Mesh,
    hair: Mesh,
    neck: Mesh,
    clothes: Mesh,
    /// Left and right as seen.
    ears: [Mesh; 2],
}

impl Surfaces {
    /// The surface of that name; none for the backdrop.
    pub(crate) fn of(&self, layer: Layer) -> Option<&Mesh> {
        match layer {
            Layer::Backdrop => None,
            Layer::Skin => Some(&self.head),
            Layer::Hair => Some(&self.hair),
            Layer::Neck => Some(&self.neck),
            Layer::Clothes => Some(&self.clothes),
            Layer::EarLeft => Some(&self.ears[0]),
            Layer::EarRight => Some(&self.ears[1]),
        }
    }

    /// Builds all surfaces and draws them into the empty `buffer`.
    pub(crate) fn build(
        &mut self,
        person: &Identity,
        scene: &Scene,
        skull: &Skull,
        layout: &Layout,
        view: &View,
        buffer: &mut Buffer,
    ) {
        // As many facets as the pixels can show: at 256 pixels, where 10 cm take 108, facets of
        // two or three.
        let detail = (view.pixels() / 150.0).sqrt().clamp(0.5, 1.4);
        let line = Hairline::new(person);
        head::build(&mut self.head, skull, layout, person, &line, view, detail);
        let strands = hair::build(&mut self.hair, skull, &line, view, detail);
        body::neck(&mut self.neck, person, view, detail);
        body::clothes(&mut self.clothes, scene, view, detail);
        for (ear, right) in self.ears.iter_mut().zip([false, true]) {
            body::ear(ear, skull, person, right, view, detail);
        }
        let all = |_: u32, _: u32| true;
        buffer.draw(&self.head, Layer::Skin, false, all);
        buffer.draw(&self.ears[0], Layer::EarLeft, false, all);
        buffer.draw(&self.ears[1], Layer::EarRight, false, all);
        buffer.draw(&self.neck, Layer::Neck, false, all);
        buffer.draw(&self.clothes, Layer::Clothes, true, all);
        // Long hair shows its inside, too.
        buffer.draw(&self.hair, Layer::Hair, line.fall > 0.0, |u, v| strands.keep(u, v));
    }
}
