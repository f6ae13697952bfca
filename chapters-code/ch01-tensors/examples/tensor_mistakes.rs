//! Six cats, and what three mistakes do to them.

use ch01_tensors::{batch, Cats, Split};
use dfdx::prelude::*;
use ops::{AutoDevice, Images};

fn main() -> Result<(), figures::FigureError> {
    let device = cli::device(0).expect("a device");
    let right: Images<AutoDevice> =
        batch(&device, &Cats::new(Split::Train), &[0, 1, 2, 3, 4, 5]);
    let (shape, values) = (*right.shape(), right.as_vec());
    // ANCHOR: mistakes
    // The range that many libraries use, 0..1, shown as if it were -1..1.
    let zero_to_one = right.clone() * 0.5 + 0.5;
    // Values stored pixel by pixel, read as if stored channel by channel.
    let plane = 16 * 16;
    let channels_last = (0..values.len())
        .map(|i| values[i / (3 * plane) * 3 * plane + i % 3 * plane + i / 3 % plane]);
    // Blue, green, red.
    let swapped = (0..values.len()).map(|i| {
        values[i / (3 * plane) * 3 * plane + (2 - i / plane % 3) * plane + i % plane]
    });
    // ANCHOR_END: mistakes
    let channels_last = device.tensor_from_vec(channels_last.collect(), shape);
    let swapped = device.tensor_from_vec(swapped.collect(), shape);
    figures::save_png(
        "tensor_mistakes.png",
        &figures::image_rows(&[right, zero_to_one, channels_last, swapped], 6),
    )
}
