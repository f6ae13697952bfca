//! One way to answer.

use ch04_unet::{time_embedding, UNetConfig};
use ops::AutoDevice;

// ANCHOR: solutions
/// How many numbers a convolution with a square kernel and a bias holds.
pub fn conv_parameters(cin: usize, cout: usize, kernel: usize) -> usize {
    cout * (cin * kernel * kernel + 1)
}

/// The cosine of the angle between the embeddings of two timesteps: 1 if they are the
/// same.
pub fn similarity(a: usize, b: usize, width: usize) -> f32 {
    let device: AutoDevice = ops::open_device(0).expect("a device");
    let both = time_embedding(&device, &[a, b], width, true, 0.0).as_vec();
    let (a, b) = both.split_at(width);
    // Every pair of a sine and a cosine has length 1, so both vectors have the length
    // √(width / 2).
    a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>() / (width / 2) as f32
}

/// The channels of every skip, in the order in which the way down builds them.
pub fn skips(config: &UNetConfig) -> Vec<usize> {
    let widths = &config.block_out_channels;
    // One after the first convolution, one after every block, one after every halving;
    // the last level does not halve.
    let mut skips = vec![widths[0]];
    for (level, &width) in widths.iter().enumerate() {
        let halving = (level + 1 < widths.len()) as usize;
        skips.extend(vec![width; config.layers_per_block + halving]);
    }
    skips
}
// ANCHOR_END: solutions
