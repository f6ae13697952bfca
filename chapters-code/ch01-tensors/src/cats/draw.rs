//! The drawing: simple shapes, sampled sixteen times per pixel and averaged, so that
//! they can lie anywhere between pixels.

use super::{Attributes, Background, Ears, Eyes, Fur, Pattern, Pose, SIZE};

/// Samples per pixel, along each side.
const SAMPLES: usize = 4;

type Color = [f32; 3];

const PUPIL: Color = [24.0, 22.0, 34.0];
const RIM: Color = [40.0, 32.0, 38.0];
const GLINT: Color = [255.0, 255.0, 255.0];
const PINK: Color = [246.0, 150.0, 160.0];
/// The colour of the patch on all cats but the white ones.
const CREAM: Color = [255.0, 240.0, 222.0];

/// The colours of the fur, its stripes, its patch, the muzzle and the outline.
struct Coat {
    fur: Color,
    stripe: Color,
    patch: Color,
    muzzle: Color,
    outline: Color,
}

fn coat(fur: Fur) -> Coat {
    let (fur, stripe, patch, muzzle, outline) = match fur {
        Fur::Orange => (
            [245.0, 150.0, 58.0],
            [196.0, 88.0, 20.0],
            CREAM,
            [255.0, 214.0, 164.0],
            [140.0, 66.0, 22.0],
        ),
        Fur::Blue => (
            [104.0, 146.0, 216.0],
            [52.0, 88.0, 164.0],
            CREAM,
            [184.0, 210.0, 246.0],
            [34.0, 52.0, 108.0],
        ),
        Fur::Green => (
            [124.0, 188.0, 112.0],
            [62.0, 128.0, 66.0],
            CREAM,
            [200.0, 232.0, 182.0],
            [36.0, 80.0, 44.0],
        ),
        Fur::Grey => (
            [150.0, 150.0, 158.0],
            [88.0, 88.0, 98.0],
            CREAM,
            [206.0, 206.0, 212.0],
            [64.0, 62.0, 74.0],
        ),
        Fur::White => (
            [252.0, 250.0, 246.0],
            [176.0, 168.0, 170.0],
            [232.0, 152.0, 84.0],
            [255.0, 255.0, 255.0],
            [134.0, 124.0, 130.0],
        ),
        Fur::Black => (
            [62.0, 60.0, 76.0],
            [124.0, 122.0, 146.0],
            CREAM,
            [92.0, 90.0, 108.0],
            [26.0, 24.0, 36.0],
        ),
    };
    Coat { fur, stripe, patch, muzzle, outline }
}

fn eye_color(eyes: Eyes) -> Color {
    match eyes {
        Eyes::Orange => [255.0, 190.0, 30.0],
        Eyes::Blue => [60.0, 178.0, 255.0],
        Eyes::Green => [130.0, 236.0, 80.0],
    }
}

fn background_color(background: Background) -> Color {
    match background {
        Background::Orange => [255.0, 220.0, 172.0],
        Background::Blue => [196.0, 222.0, 250.0],
        Background::Green => [200.0, 238.0, 208.0],
        Background::Pink => [252.0, 208.0, 218.0],
    }
}

fn ellipse(x: f32, y: f32, center: (f32, f32), radius: (f32, f32)) -> bool {
    let (dx, dy) = ((x - center.0) / radius.0, (y - center.1) / radius.1);
    dx * dx + dy * dy < 1.0
}

/// Whether a point lies in a triangle whose corners run clockwise on the screen, or
/// within `margin` of its edges.
fn triangle(x: f32, y: f32, corners: [(f32, f32); 3], margin: f32) -> bool {
    let top = corners.iter().fold(f32::MAX, |top, corner| top.min(corner.1));
    y > top - margin // otherwise the margin of a sharp corner would reach far
        && (0..3).all(|i| {
        let ((ax, ay), (bx, by)) = (corners[i], corners[(i + 1) % 3]);
        let (ex, ey) = (bx - ax, by - ay);
        ex * (y - ay) - ey * (x - ax) > -margin * (ex * ex + ey * ey).sqrt()
    })
}

/// The head without ears, enlarged by `margin`.
fn head(x: f32, y: f32, margin: f32) -> bool {
    ellipse(x, y, (0.0, 1.2), (5.7 + margin, 4.7 + margin))
}

// Only the right ear is described: the left half of the face mirrors the right half (`side` = |x|).
const EAR: [(f32, f32); 3] = [(1.3, -3.2), (4.6, -6.3), (5.5, -0.6)];
const INNER_EAR: [(f32, f32); 3] = [(2.5, -3.3), (4.3, -5.1), (4.8, -1.6)];
const FOLDED_EAR: [(f32, f32); 3] = [(1.9, -3.9), (5.7, -3.0), (5.0, -0.3)];

/// The colour at a point in the head's own coordinates (origin between the eyes and the
/// nose, y down), or none where the background shows.
fn color_at(x: f32, y: f32, attributes: &Attributes, coat: &Coat) -> Option<Color> {
    let side = x.abs();
    let in_ear = |margin| match attributes.ears {
        Ears::Up => triangle(side, y, EAR, margin),
        Ears::Folded => triangle(side, y, FOLDED_EAR, margin),
    };
    // From front to back: the first shape that covers the point wins.
    let (eye_x, eye_y) = (side - 2.55, y - 0.7);
    if ellipse(eye_x, eye_y, (0.0, 0.0), (1.75, 1.8)) {
        // The glint is on the same side of both eyes: it reflects the window, and is not mirrored
        // with the face.
        if ellipse(x - 2.55 * x.signum(), eye_y, (0.55, -0.7), (0.55, 0.55)) {
            return Some(GLINT);
        }
        return Some(if ellipse(eye_x, eye_y, (0.0, 0.0), (0.5, 1.1)) {
            PUPIL
        } else if ellipse(eye_x, eye_y, (0.0, 0.0), (1.55, 1.6)) {
            eye_color(attributes.eyes)
        } else {
            RIM
        });
    }
    if triangle(x, y, [(-0.95, 2.35), (0.95, 2.35), (0.0, 3.45)], 0.0) {
        return Some(PINK);
    }
    if (side - 0.75).abs() < 0.7 && (y - 3.95 + 0.5 * (side - 0.75).abs()).abs() < 0.26
    {
        return Some(coat.outline); // the mouth
    }
    if head(x, y, 0.0) {
        let whisker = side > 3.4
            && ((y - 2.7 + 0.12 * side).abs() < 0.16
                || (y - 3.5 - 0.08 * side).abs() < 0.16);
        if attributes.ears == Ears::Folded && in_ear(0.0) {
            return Some(if in_ear(-0.45) {
                mix(coat.fur, coat.outline, 0.25)
            } else {
                coat.outline
            });
        }
        if attributes.pattern == Pattern::Striped && stripe(side, y) {
            return Some(coat.stripe);
        }
        if attributes.pattern == Pattern::Patched
            && ellipse(x, y, (3.1, -0.6), (3.3, 3.4))
        {
            return Some(coat.patch);
        }
        if ellipse(side, y, (0.9, 3.5), (1.7, 1.35)) {
            return Some(coat.muzzle);
        }
        return Some(if whisker {
            mix(coat.fur, coat.outline, 0.45)
        } else {
            coat.fur
        });
    }
    if in_ear(0.0) {
        let inside = attributes.ears == Ears::Up && triangle(side, y, INNER_EAR, 0.0);
        let patched = attributes.pattern == Pattern::Patched
            && x > 0.0
            && attributes.ears == Ears::Up;
        return Some(if inside {
            PINK
        } else if patched {
            coat.patch
        } else if attributes.ears == Ears::Folded {
            mix(coat.fur, coat.outline, 0.25)
        } else {
            coat.fur
        });
    }
    (head(x, y, 0.5) || in_ear(0.45)).then_some(coat.outline)
}

/// Three stripes on the forehead and two on each cheek.
fn stripe(side: f32, y: f32) -> bool {
    let forehead = y < -1.3 && (side < 0.5 || (side - 1.9).abs() < 0.5);
    let cheek =
        side > 4.3 - 0.2 * y && ((y - 1.4).abs() < 0.42 || (y - 3.2).abs() < 0.42);
    forehead || cheek
}

fn mix(a: Color, b: Color, share: f32) -> Color {
    std::array::from_fn(|i| a[i] + (b[i] - a[i]) * share)
}

/// Draws a cat: `3 × 16 × 16` values in [-1, 1], first the red plane, then the green, then the
/// blue.
pub fn draw(attributes: &Attributes, pose: &Pose) -> Vec<f32> {
    let coat = coat(attributes.fur);
    let background = background_color(attributes.background);
    let (sin, cos) = pose.tilt.sin_cos();
    let middle = SIZE as f32 / 2.0;
    let mut image = vec![0.0; 3 * SIZE * SIZE];
    for row in 0..SIZE {
        for column in 0..SIZE {
            let mut sum = [0.0f32; 3];
            for sample in 0..SAMPLES * SAMPLES {
                let offset = |i: usize| (i as f32 + 0.5) / SAMPLES as f32;
                let x = (column as f32 + offset(sample % SAMPLES) - middle - pose.dx)
                    / pose.size;
                let y =
                    (row as f32 + offset(sample / SAMPLES) - middle - 0.4 - pose.dy)
                        / pose.size;
                let color = match color_at(
                    cos * x + sin * y,
                    cos * y - sin * x,
                    attributes,
                    &coat,
                ) {
                    Some(color) => color.map(|c| (c * pose.shade).min(255.0)),
                    None => background,
                };
                for (sum, c) in sum.iter_mut().zip(color) {
                    *sum += c;
                }
            }
            for (plane, sum) in sum.iter().enumerate() {
                let mean = sum / (SAMPLES * SAMPLES) as f32;
                image[(plane * SIZE + row) * SIZE + column] = mean / 127.5 - 1.0;
            }
        }
    }
    image
}
