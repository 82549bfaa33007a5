//! Small arithmetic: vectors, soft steps, splines, colours.
//!
//! Only `+ − × ÷ √` of IEEE 754 and the `libm` crate, never the platform's own functions, so
//! that a picture's bytes do not depend on the machine.

/// A point, direction or linear RGB colour.
pub(crate) type V3 = [f32; 3];

pub(crate) fn add(a: V3, b: V3) -> V3 {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

pub(crate) fn minus(a: V3, b: V3) -> V3 {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

pub(crate) fn scale(a: V3, s: f32) -> V3 {
    [a[0] * s, a[1] * s, a[2] * s]
}

pub(crate) fn times(a: V3, b: V3) -> V3 {
    [a[0] * b[0], a[1] * b[1], a[2] * b[2]]
}

pub(crate) fn dot(a: V3, b: V3) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(crate) fn cross(a: V3, b: V3) -> V3 {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

/// `a` at length 1; the viewer's direction where it has none.
pub(crate) fn unit(a: V3) -> V3 {
    let square = dot(a, a);
    if square > 1e-20 { scale(a, 1.0 / square.sqrt()) } else { [0.0, 0.0, 1.0] }
}

pub(crate) fn lerp(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// From colour `a` (t = 0) to colour `b` (t = 1).
pub(crate) fn mix(a: V3, b: V3, t: f32) -> V3 {
    [lerp(a[0], b[0], t), lerp(a[1], b[1], t), lerp(a[2], b[2], t)]
}

/// 0 up to `from`, 1 beyond `to`, smooth between; `from > to` falls instead.
pub(crate) fn step(from: f32, to: f32, x: f32) -> f32 {
    let t = ((x - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// A hill of height 1 at 0 whose foot is where `square`, the squared distance, reaches 1.
pub(crate) fn hill(square: f32) -> f32 {
    let rest = (1.0 - square).max(0.0);
    rest * rest
}

/// [`hill`] over an ellipse: `x` and `y` from its centre, radii `rx` and `ry`.
pub(crate) fn hill2(x: f32, y: f32, rx: f32, ry: f32) -> f32 {
    let (x, y) = (x / rx, y / ry);
    hill(x * x + y * y)
}

/// The largest whole number not above `x`, for |x| < 2³¹. Faster than `f32::floor`, which calls a
/// function where the compiler may not assume SSE 4.1.
pub(crate) fn floor(x: f32) -> i32 {
    let towards_zero = x as i32;
    towards_zero - i32::from(x < towards_zero as f32)
}

/// The least whole number not below `x`, for |x| < 2³¹.
pub(crate) fn ceiling(x: f32) -> i32 {
    -floor(-x)
}

/// `x` less [`floor`] of it: 0 to 1.
pub(crate) fn fraction(x: f32) -> f32 {
    x - floor(x) as f32
}

/// `x` to the power `p`, x ≥ 0.
pub(crate) fn power(x: f32, p: f32) -> f32 {
    if x <= 0.0 { 0.0 } else { libm::powf(x, p) }
}

/// Catmull–Rom spline through `points` at position `t` (0 is the first point).
pub(crate) fn spline(points: &[f32], t: f32) -> f32 {
    let last = points.len() - 1;
    let i = (t.max(0.0) as usize).min(last - 1);
    let t = t - i as f32;
    let at = |k: usize| points[k.min(last)];
    let before = if i == 0 { 2.0 * at(0) - at(1) } else { at(i - 1) };
    let after = if i + 2 > last { 2.0 * at(last) - at(last - 1) } else { at(i + 2) };
    let (a, b) = (at(i), at(i + 1));
    let (u, v) = ((b - before) * 0.5, (after - a) * 0.5);
    let (t2, t3) = (t * t, t * t * t);
    a * (2.0 * t3 - 3.0 * t2 + 1.0)
        + u * (t3 - 2.0 * t2 + t)
        + b * (3.0 * t2 - 2.0 * t3)
        + v * (t3 - t2)
}

/// The squared distance of (x, y) from the segment `a`–`b`, and where on it (0 to 1) its foot is.
pub(crate) fn to_segment(x: f32, y: f32, a: [f32; 2], b: [f32; 2]) -> (f32, f32) {
    let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
    let t = (((x - a[0]) * dx + (y - a[1]) * dy) / (dx * dx + dy * dy + 1e-9)).clamp(0.0, 1.0);
    let (ex, ey) = (x - a[0] - t * dx, y - a[1] - t * dy);
    (ex * ex + ey * ey, t)
}

/// Linear light from an sRGB value, both 0 to 1.
pub(crate) fn linear(encoded: f32) -> f32 {
    if encoded <= 0.040_45 { encoded / 12.92 } else { power((encoded + 0.055) / 1.055, 2.4) }
}

/// The sRGB value of linear light, both 0 to 1.
pub(crate) fn encode(linear: f32) -> f32 {
    if linear <= 0.003_130_8 { linear * 12.92 } else { 1.055 * power(linear, 1.0 / 2.4) - 0.055 }
}

/// A linear colour from hue (turns), saturation and value as monitors show them.
pub(crate) fn hsv(hue: f32, saturation: f32, value: f32) -> V3 {
    let channel = |shift: f32| {
        let t = fraction(hue + shift) * 6.0;
        let ramp = ((t - 3.0).abs() - 1.0).clamp(0.0, 1.0);
        linear(value * (1.0 - saturation + saturation * ramp))
    };
    [channel(0.0), channel(2.0 / 3.0), channel(1.0 / 3.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splines_pass_their_points_and_colours_come_back() {
        let points = [1.0, 3.0, 2.0, 2.5];
        for (i, &point) in points.iter().enumerate() {
            assert!((spline(&points, i as f32) - point).abs() < 1e-6);
        }
        for level in [0.0, 0.02, 0.2, 0.9, 1.0] {
            assert!((encode(linear(level)) - level).abs() < 1e-5);
        }
        let red = hsv(0.0, 1.0, 1.0);
        assert!(red[0] > 0.99 && red[1] < 0.01 && red[2] < 0.01, "{red:?}");
        let green = hsv(1.0 / 3.0, 1.0, 1.0);
        assert!(green[1] > 0.99 && green[0] < 0.01 && green[2] < 0.01, "{green:?}");
    }
}
